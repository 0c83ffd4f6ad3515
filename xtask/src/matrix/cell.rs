//! One client against one server: alone first, then eight times at once through mcpool.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{
    clients::{Client, Script, Target},
    normalise::{comparable, differences, in_era_of},
    pool::Pool,
    running::Running,
    servers::{MARK, Server, Sharing},
};
use crate::provision::Provisioned;

/// How many sessions are open at the same time.
const SESSIONS: usize = 8;
/// How long all of them may take together; a loaded machine starts 16 interpreters in this time.
const PATIENCE: Duration = Duration::from_mins(2);

/// One client and one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) client: Client,
    pub(crate) server: Server,
}

/// What a cell needs to run.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) provisioned: &'a Provisioned,
    /// The executable `mcpool`; without it only the direct half runs.
    pub(crate) mcpool: Option<&'a Path>,
}

impl Cell {
    pub(crate) fn name(self) -> String {
        format!("{} × {}", self.client.name(), self.server.name())
    }

    /// Runs both halves in `folder` and compares them.
    pub(crate) fn run(self, bench: &Bench<'_>, folder: &Path) -> anyhow::Result<()> {
        let work = folder.join("work");
        let direct = self
            .direct(bench, folder, &work)
            .context("without mcpool")?;
        let Some(mcpool) = bench.mcpool else {
            return Ok(());
        };
        let pool = Pool::new(mcpool, folder)?;
        self.pooled(bench, folder, &work, &pool, &direct)
            .with_context(|| format!("through mcpool\n{}", pool.logs()))?;
        pool.stop()
            .with_context(|| format!("stopping mcpool\n{}", pool.logs()))
    }

    /// Each script once, each with a server of its own: what a session must get.
    fn direct(self, bench: &Bench<'_>, folder: &Path, work: &Path) -> anyhow::Result<Vec<Value>> {
        fresh(self.server, work)?;
        let target = Target {
            command: self.server.command(bench.provisioned, work),
            env: self.server.env(work),
        };
        let mut transcripts = Vec::new();
        for (index, script) in self.client.scripts(self.server, work).iter().enumerate() {
            let session = Session::new(folder, format!("direct-{index}"))?;
            let mut running = self.start(bench, &session, script, &target, work)?;
            let said = running.said(Instant::now() + PATIENCE)?;
            transcripts.push(self.transcript(&session, script, &said, running)?);
        }
        Ok(transcripts)
    }

    /// Eight sessions at once, every one compared with its script's direct transcript.
    fn pooled(
        self,
        bench: &Bench<'_>,
        folder: &Path,
        work: &Path,
        pool: &Pool,
        direct: &[Value],
    ) -> anyhow::Result<()> {
        fresh(self.server, work)?;
        let env = self.server.env(work);
        let target = Target {
            command: pool.connect(
                self.server,
                &env,
                &self.server.command(bench.provisioned, work),
            ),
            env,
        };
        let scripts = self.client.scripts(self.server, work);
        let mut sessions = Vec::new();
        for index in 0..SESSIONS {
            let which = index % scripts.len();
            let session = Session::new(folder, format!("session-{index}"))?;
            let running = self.start(bench, &session, &scripts[which], &target, work)?;
            sessions.push((which, session, running));
        }
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        for (_, session, running) in &mut sessions {
            said.push(running.said(until).with_context(|| session.mark.clone())?);
        }
        // Every session of a driver is open now. The Inspector's have ended, and
        // left the process that they shared behind for the next one.
        self.check_status(pool)?;
        for ((which, session, running), said) in sessions.into_iter().zip(said) {
            let transcript = self.transcript(&session, &scripts[which], &said, running)?;
            let transcript = in_era_of(&direct[which], transcript);
            let found = differences(&direct[which], &transcript, 8);
            ensure!(
                found.is_empty(),
                "{} differs from the direct run:\n  {}",
                session.mark,
                found.join("\n  ")
            );
        }
        Ok(())
    }

    fn start(
        self,
        bench: &Bench<'_>,
        session: &Session,
        script: &Script,
        target: &Target,
        work: &Path,
    ) -> anyhow::Result<Running> {
        let script = session.marked(script)?;
        let command = self
            .client
            .command(bench.provisioned, &session.folder, &script, target)?;
        Running::start(command, &script, work, &session.folder)
    }

    /// What the session got, with all that varies replaced.
    fn transcript(
        self,
        session: &Session,
        script: &Script,
        said: &str,
        running: Running,
    ) -> anyhow::Result<Value> {
        let errors = running.errors();
        let status = running.finish(PATIENCE)?;
        let transcript = match script {
            Script::Session(_) => {
                ensure!(
                    status.success(),
                    "{}: the client ended with {status}\n{errors}",
                    session.mark
                );
                serde_json::from_str(said).with_context(|| {
                    format!(
                        "{}: reading the transcript {said:?}\n{errors}",
                        session.mark
                    )
                })?
            }
            // A refused call is an exit code and an object on one of the streams.
            Script::OneShot(_) => {
                let text = if said.trim().is_empty() {
                    fs::read_to_string(session.folder.join("stderr"))?
                } else {
                    said.to_owned()
                };
                let answer: Value = serde_json::from_str(text.trim())
                    .with_context(|| format!("{}: reading {text:?}\n{errors}", session.mark))?;
                json!({"exit": status.code(), "answer": answer})
            }
        };
        Ok(comparable(
            transcript,
            self.server.normalisations(),
            (&session.mark, MARK),
        ))
    }

    /// One process per share key, and every session that is open.
    fn check_status(self, pool: &Pool) -> anyhow::Result<()> {
        let status = pool.status()?;
        let (upstreams, sessions) = (status.upstreams(self.server), status.sessions(self.server));
        let expected = match (self.client, self.server.sharing()) {
            // One process each, which has ended with its session.
            (Client::Inspector, Sharing::PerSession) => return Ok(()),
            (_, Sharing::One) => 1,
            (_, Sharing::PerSession) => SESSIONS,
        };
        if upstreams.len() != expected {
            bail!(
                "{SESSIONS} sessions run {} processes, not {expected}: {status}",
                upstreams.len()
            );
        }
        if self.client != Client::Inspector && sessions != SESSIONS {
            bail!("`status` knows {sessions} sessions, not {SESSIONS}: {status}");
        }
        Ok(())
    }
}

/// One run of a client: its folder, and the word that marks what it writes.
struct Session {
    folder: PathBuf,
    mark: String,
}

impl Session {
    fn new(folder: &Path, mark: String) -> anyhow::Result<Session> {
        let folder = folder.join(&mark);
        fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Session { folder, mark })
    }

    /// The script with this session's mark in it.
    fn marked(&self, script: &Script) -> anyhow::Result<Script> {
        Ok(match script {
            Script::Session(steps) => {
                let text = serde_json::to_string(steps)?.replace(MARK, &self.mark);
                Script::Session(serde_json::from_str(&text)?)
            }
            Script::OneShot(words) => Script::OneShot(
                words
                    .iter()
                    .map(|word| word.replace(MARK, &self.mark))
                    .collect(),
            ),
        })
    }
}

/// An empty folder with what the server's steps need; both halves use the same path.
fn fresh(server: Server, work: &Path) -> anyhow::Result<()> {
    if work.exists() {
        fs::remove_dir_all(work).with_context(|| format!("removing {}", work.display()))?;
    }
    fs::create_dir_all(work).with_context(|| format!("creating {}", work.display()))?;
    server.prepare(work)
}
