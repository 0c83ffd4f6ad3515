//! Servers that have started processes of their own come to their end, in every way.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::{Home, ZOMBIE_AGE},
    processes::{self, Process, until},
    session::{PATIENCE, Session, reason},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[25],
    fault: "servers with children of their own end",
    short: 24,
    play,
};

/// Trees that end at about the same time.
const AT_ONCE: usize = 12;

/// How a server comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Crash,
    Kill,
    Restart,
    LastSession,
}

const ENDS: [End; 4] = [End::Crash, End::Kill, End::Restart, End::LastSession];

/// A server that has started two children before it served, and two more since.
struct Tree {
    session: Option<Session>,
    name: String,
    end: End,
    server: Process,
    /// All of its processes.
    all: Vec<Process>,
}

/// How it went with one.
struct Felled {
    /// After how long nothing was left.
    gone: Duration,
    /// After how long the call was answered that was open when the server died.
    told: Option<Duration>,
}

#[derive(Default)]
struct Seen {
    cycles: u64,
    gone: Vec<Duration>,
    told: Vec<Duration>,
    survivors: u64,
    zombies: u64,
    /// The longest time that one was there.
    oldest_zombie: Duration,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let configuration = (0..rounds).map(|round| {
        let name = format!("tree-{round}");
        let record = home.file(&name);
        let mut options = vec!["--record", &record, "--grandchild", "--double-fork"];
        // One that does not end before it must.
        if (round / 4).is_multiple_of(2) {
            options.extend(["--ignore-term", "--ignore-eof"]);
        }
        home.fake_server(&name, &options, "idle_timeout = \"0s\"")
    });
    home.configure(&configuration.collect::<String>())?;
    let mut seen = Seen::default();
    for batch in (0..rounds).collect::<Vec<_>>().chunks(AT_ONCE) {
        let trees = batch.iter().map(|round| grow(&home, *round));
        let trees = trees.collect::<anyhow::Result<Vec<Tree>>>()?;
        fell_all(&home, trees, &mut seen)?;
    }
    shown.fact("trees that ended", seen.cycles);
    shown.at_most("survivors", seen.survivors, 0);
    shown.at_most("zombies that stay", seen.zombies, 0);
    shown.within("zombie, oldest", Some(seen.oldest_zombie), ZOMBIE_AGE);
    shown.within(
        "gone after, longest",
        percentile(&seen.gone, 100),
        Duration::from_secs(6),
    );
    shown.within(
        "error after, longest",
        percentile(&seen.told, 100),
        Duration::from_secs(1),
    );
    // The last ones end with the daemon.
    let trees = (0..rounds.min(4)).map(|round| grow(&home, round));
    let last = trees.collect::<anyhow::Result<Vec<Tree>>>()?;
    let all: Vec<Process> = last.iter().flat_map(|tree| tree.all.clone()).collect();
    let begun = Instant::now();
    home.done(&["stop"])?;
    let _late = until(PATIENCE, || !all.iter().any(Process::is_alive));
    let survivors = all.iter().filter(|process| process.is_alive()).count();
    shown.at_most("survivors of a stop", survivors as u64, 0);
    shown.within(
        "gone after a stop",
        Some(begun.elapsed()),
        Duration::from_secs(6),
    );
    drop(last);
    home.end()?.show(shown);
    Ok(())
}

fn grow(home: &Home<'_>, round: u32) -> anyhow::Result<Tree> {
    let name = format!("tree-{round}");
    let mut session = home.session(&name)?;
    let before = home.count(&name, "lingering ");
    session.must_call("fork-grandchild", json!({}))?;
    session.must_call("double-fork", json!({}))?;
    let is_grown = || home.count(&name, "lingering ") >= before + 2;
    until(PATIENCE, is_grown).context("descendants do not start")?;
    let server = session.server()?;
    let lines = home.lines(&name);
    let descendants = lines
        .iter()
        .filter_map(|line| line.strip_prefix("lingering "));
    let descendants = descendants.filter_map(|pid| Process::of(pid.parse().ok()?));
    let mut all: Vec<Process> = descendants.collect();
    all.push(server);
    Ok(Tree {
        session: Some(session),
        name,
        end: ENDS[round as usize % ENDS.len()],
        server,
        all,
    })
}

/// Has them all end, each in its way, and looks at what is left.
fn fell_all(home: &Home<'_>, mut trees: Vec<Tree>, seen: &mut Seen) -> anyhow::Result<()> {
    let mut zombies = Zombies::new(home, &trees)?;
    let felled = thread::scope(|scope| {
        let fellings: Vec<_> = trees
            .iter_mut()
            .map(|tree| scope.spawn(move || fell(home, tree)))
            .collect();
        while !fellings.iter().all(thread::ScopedJoinHandle::is_finished) {
            zombies.look();
            thread::sleep(Duration::from_millis(10));
        }
        let joined = fellings.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|gone| gone.unwrap_or_else(|_| anyhow::bail!("an end panicked")))
            .collect::<anyhow::Result<Vec<Felled>>>()
    })?;
    seen.gone.extend(felled.iter().map(|felled| felled.gone));
    seen.told
        .extend(felled.iter().filter_map(|felled| felled.told));
    let processes = trees.iter().flat_map(|tree| &tree.all);
    seen.survivors += processes.filter(|process| process.is_alive()).count() as u64;
    let last_look = Instant::now();
    while zombies.look() > 0 && last_look.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    seen.zombies += zombies.look();
    seen.oldest_zombie = seen.oldest_zombie.max(zombies.oldest);
    seen.cycles += trees.len() as u64;
    for tree in &mut trees {
        if let Some(mut session) = tree.session.take() {
            // Behind its end there is a next one, which ends with its only session.
            session.must_call("echo", json!({}))?;
            session.close()?;
        }
    }
    let is_empty = || processes::with_descendants(zombies.guardian).len() == 1;
    until(PATIENCE, is_empty).context("the next servers do not end with their sessions")?;
    Ok(())
}

/// Has one end in its way.
fn fell(home: &Home<'_>, tree: &mut Tree) -> anyhow::Result<Felled> {
    let before = home.count(&tree.name, "call hang");
    let hanging = match (tree.end, &mut tree.session) {
        (End::Kill, Some(session)) => {
            let call = session.begin_call("hang", json!({}))?;
            let has_come = || home.count(&tree.name, "call hang") > before;
            until(PATIENCE, has_come).context("a call does not reach its server")?;
            Some(call)
        }
        (End::Kill | End::Crash | End::Restart | End::LastSession, _) => None,
    };
    let begun = Instant::now();
    let open = match (tree.end, &mut tree.session) {
        (End::Crash, Some(session)) => Some(session.begin_call("crash", json!({}))?),
        (End::Kill, _) => {
            tree.server.kill();
            hanging
        }
        (End::Restart, _) => {
            home.done(&["restart", &tree.name])?;
            None
        }
        (End::LastSession, _) => {
            if let Some(session) = tree.session.take() {
                session.close()?;
            }
            None
        }
        (End::Crash, None) => anyhow::bail!("a tree without a session"),
    };
    let told = match (open, &mut tree.session) {
        (Some(call), Some(session)) => {
            let answer = session.answer(call)?;
            if reason(&answer) != "upstream-exited" {
                anyhow::bail!("the call to a server that died was answered with {answer}");
            }
            Some(begun.elapsed())
        }
        (None, _) | (_, None) => None,
    };
    let _late = until(PATIENCE, || !tree.all.iter().any(Process::is_alive));
    let gone = begun.elapsed();
    Ok(Felled { gone, told })
}

/// The zombies of a guardian, and since when each is one.
struct Zombies {
    guardian: Process,
    /// Each server, with all of its tree.
    trees: Vec<(Process, Vec<Process>)>,
    since: BTreeMap<Process, Instant>,
    oldest: Duration,
}

impl Zombies {
    fn new(home: &Home<'_>, trees: &[Tree]) -> anyhow::Result<Zombies> {
        let trees = trees.iter().map(|tree| (tree.server, tree.all.clone()));
        Ok(Zombies {
            guardian: home.guardian()?,
            trees: trees.collect(),
            since: BTreeMap::new(),
            oldest: Duration::ZERO,
        })
    }

    /// How many there are.
    fn look(&mut self) -> u64 {
        let now: Vec<Process> = processes::with_descendants(self.guardian)
            .into_iter()
            .filter(|process| process.is_zombie() && !self.is_kept(process))
            .collect();
        self.since.retain(|process, _| now.contains(process));
        let count = now.len() as u64;
        for process in now {
            let since = self.since.entry(process).or_insert_with(Instant::now);
            self.oldest = self.oldest.max(since.elapsed());
        }
        count
    }

    /// A server that has ended keeps its number, which its group has, until all of its tree has ended.
    fn is_kept(&self, zombie: &Process) -> bool {
        let mut own = self.trees.iter().filter(|(server, _)| server == zombie);
        own.any(|(_, tree)| tree.iter().any(Process::is_alive))
    }
}
