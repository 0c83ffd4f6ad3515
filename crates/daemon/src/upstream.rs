//! Upstreams that are no processes of ours: servers that run already, reached by URL.
//!
//! To the hub such an upstream has a standard input, output and error as any other, with all that follows from
//! that. At the other ends of the three pipes is a task here, which turns what it reads into requests, or
//! frames, and what comes back into lines.
//!
//! **Invariant:** the hub hears of each exactly one beginning or that there is none, and then exactly one end,
//! whatever becomes of its task.

mod connect;
mod ends;
mod http;
mod pinned;
mod rest;
mod sse;
mod standing;
mod target;
mod ws;

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use mux::Exit;
use tokio::{
    sync::{
        mpsc::{self, Sender},
        watch,
    },
    task::JoinHandle,
    time::{self, Instant},
};
use wire::Frame;

use crate::{
    hub::{Input, ProcessId},
    launch::RemoteSpec,
    link::Room,
    tasks,
};
use connect::Connector;
pub use connect::secured;
use ends::{Ear, Pipes, Voice, tell};
use target::Protocol;

pub(crate) use ends::{Ends, MARK_BYTES, WeakEnds, unmarked};
pub(crate) use rest::LeftAlone;
pub(crate) use standing::{Resumable, Standing};
pub(crate) use target::Target;

/// Messages on their way to the hub.
const TOLD_MAX: usize = 16;

/// All that there is to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) process: ProcessId,
    /// What the server is called.
    pub(crate) server: Arc<str>,
    pub(crate) spec: Arc<RemoteSpec>,
    pub(crate) standing: Standing,
    pub(crate) inbox: Sender<Input>,
    /// How long a server that is not there yet is waited for.
    pub(crate) wait: Duration,
    /// The longest message.
    pub(crate) message_bytes: usize,
    /// For all that is held of messages.
    pub(crate) room: Arc<Room>,
    /// Which servers want to be left alone.
    pub(crate) left_alone: LeftAlone,
}

/// What the hub hears of it beside the pipes.
#[derive(Debug)]
pub(crate) enum News {
    /// There is a way to the server.
    Reached,
    /// It is over.
    Ended(End),
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) exit: Exit,
    /// Why it could not even be greeted, for a person.
    pub(crate) unstarted: Option<String>,
    /// Requests that the server cannot have seen.
    pub(crate) undelivered: Vec<Frame>,
}

impl End {
    fn of(exit: Exit, undelivered: Vec<Frame>) -> Self {
        End {
            exit,
            unstarted: None,
            undelivered,
        }
    }

    /// The hub wanted it.
    fn told() -> Self {
        End::of(Exit::Disconnected, Vec::new())
    }

    fn unstarted(why: String) -> Self {
        End {
            unstarted: Some(why),
            ..End::of(Exit::Disconnected, Vec::new())
        }
    }
}

/// When it has to be over, as far as that has been said.
#[derive(Debug)]
pub(crate) struct Wanted(watch::Receiver<Option<Instant>>);

/// Has it end in time. When this is gone, it ends at once.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<Option<Instant>>);

impl Stopper {
    pub(crate) fn new() -> (Self, Wanted) {
        let (sender, receiver) = watch::channel(None);
        (Stopper(sender), Wanted(receiver))
    }

    /// It has to be over by then, or sooner if that was said before.
    pub(crate) fn stop(&self, patience: Duration) {
        let until = Instant::now() + patience;
        self.0
            .send_modify(|before| *before = Some(before.map_or(until, |before| before.min(until))));
    }
}

impl Wanted {
    /// Returns when it has to be over.
    async fn overdue(&mut self) {
        loop {
            let until = *self.0.borrow_and_update();
            let changed = self.0.changed();
            let changed = match until {
                None => changed.await,
                Some(until) => tokio::select! {
                    changed = changed => changed,
                    () = time::sleep_until(until) => return,
                },
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// How much of this time is left; `None` if there is nobody any more who would wait.
    fn left(&self, most: Duration) -> Option<Duration> {
        if self.0.has_changed().is_err() {
            return None;
        }
        let until = *self.0.borrow();
        let left = until.map_or(most, |until| {
            until.saturating_duration_since(Instant::now())
        });
        Some(left.min(most))
    }
}

/// A task that ends with whoever has begun it.
#[derive(Debug)]
struct Task(JoinHandle<Option<()>>);

impl Task {
    fn spawn(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Task(tasks::spawn(name, work))
    }

    /// Returns when it has come to its end.
    async fn ended(mut self) {
        let _ended = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Is an upstream, from the wish for it to its end.
pub(crate) async fn run(job: Job, ends: Ends, mut wanted: Wanted, resumed: Option<Resumable>) {
    let Ends {
        input,
        output,
        errors,
    } = ends;
    let mut ear = Ear::new(input, job.standing.clone());
    let (say, told) = mpsc::channel(TOLD_MAX);
    let telling = tasks::spawn("remote output", tell(output, errors, told));
    let voice = Voice(say, job.standing.clone());
    let conversing = converse(&job, resumed, (&mut ear, voice), &mut wanted);
    let end = tasks::caught("remote server", conversing).await;
    let mut end = end.unwrap_or_else(|| End::of(Exit::Unknown, Vec::new()));
    let pipes = last_words(telling, &wanted).await;
    // From here to the closing of the pipe nobody else has a turn: what is written later fails where it is.
    end.undelivered.extend(ear.rest());
    let input = Input::Remote {
        process: job.process,
        news: News::Ended(end),
    };
    let _hub_gone = job.inbox.send(input).await;
    drop(pipes);
}

/// Waits until all that was told has been written, and keeps the pipes open.
async fn last_words(telling: JoinHandle<Option<Pipes>>, wanted: &Wanted) -> Option<Pipes> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let patience = wanted.left(PATIENCE)?;
    let abort = telling.abort_handle();
    match time::timeout(patience, telling).await {
        Ok(Ok(pipes)) => pipes,
        Ok(Err(_)) => None,
        Err(_late) => {
            abort.abort();
            None
        }
    }
}

async fn converse(
    job: &Job,
    resumed: Option<Resumable>,
    (ear, voice): (&mut Ear, Voice),
    wanted: &mut Wanted,
) -> End {
    // It was taken apart once when the session came.
    let target = match Target::parse(&job.spec.url) {
        Ok(target) => target,
        Err(why) => return End::unstarted(format!("`url` {why}")),
    };
    let shown = target.to_string();
    let reached = tokio::select! {
        biased;
        () = wanted.overdue() => return End::told(),
        reached = reach(target, job, resumed) => reached,
    };
    match reached {
        Err(why) => End::unstarted(format!("{shown}: {why}")),
        Ok((connector, Some(begin))) => {
            if let http::Begin::Anew(_) = &begin {
                job.tell_reached().await;
            }
            http::converse(job, (connector, begin), ear, voice, wanted).await
        }
        Ok((connector, None)) => {
            job.standing.bind();
            ws::converse(job, connector, ear, voice, wanted).await
        }
    }
}

/// Finds out whether there is a way at all, and how a conversation over HTTP begins there.
async fn reach(
    target: Target,
    job: &Job,
    resumed: Option<Resumable>,
) -> Result<(Connector, Option<http::Begin>), String> {
    let protocol = target.protocol;
    let connector = Connector::to(target, job.spec.ca_cert.clone()).await?;
    let begin = match (protocol, resumed) {
        (Protocol::WebSocket, _) => None,
        (Protocol::Http, Some(resumed)) => Some(http::Begin::Again(resumed)),
        (Protocol::Http, None) => {
            let first = http::Connection::open(&connector).await?;
            Some(http::Begin::Anew(first))
        }
    };
    Ok((connector, begin))
}

/// What a status says to a person, and how long the server wants to be left alone, if it has said that.
fn words_of(status: StatusCode, rest: Option<Duration>, target: &Target, server: &str) -> String {
    if let Some(rest) = rest {
        return format!("{target} answered {status}; {}", rest::words(rest));
    }
    let hint = match status.as_u16() {
        401 => format!(
            "; it wants to know who asks: put that into `headers` of `[servers.{server}]`, for example \
             `Authorization`"
        ),
        403 => format!(
            "; what stands in `headers` of `[servers.{server}]` does not do, or it lets nobody in from here"
        ),
        404 => "; is the path right?".to_owned(),
        429 | 503 => "; it has too much to do, try again later".to_owned(),
        500..=599 => "; it, or whatever stands before it, has trouble".to_owned(),
        _other => String::new(),
    };
    format!("{target} answered {status}{hint}")
}

impl Job {
    async fn tell_reached(&self) {
        let input = Input::Remote {
            process: self.process,
            news: News::Reached,
        };
        let _hub_gone = self.inbox.send(input).await;
    }
}
