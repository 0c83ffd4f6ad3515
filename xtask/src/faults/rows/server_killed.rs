//! A server dies under load: killed from outside, or at any byte of an answer of its own.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fastrand::Rng;
use serde_json::{Value, json};

use super::Row;
use crate::{
    bench::Front,
    faults::{
        Stage,
        home::Home,
        load::{Book, Crowd, Door},
        processes::{Process, until},
        session::{PATIENCE, Session},
        shown::{Shown, percentile},
    },
    soak::record::{Kind, Outcome, Record},
};

pub(super) const ROW: Row = Row {
    numbers: &[1],
    fault: "a server dies under load",
    short: 24,
    play,
};

/// Servers that die at about the same time, each with sessions of its own.
const CROWDS: usize = 4;
/// Two over stdio, and one over each of the other fronts.
const STDIO: usize = 2;
const SESSIONS: usize = STDIO + 2;

/// The longest life of a server under load before it dies.
const LIFE: Duration = Duration::from_millis(120);

/// Starts without mcpool that are looked at.
const OWN_STARTS: usize = 20;

/// What a restart may take beside the server's own start: the first wait after a death.
const RESTART: Duration = Duration::from_millis(100);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let own_start = own_start(&home)?;
    let door = Door::new()?;
    home.configure(&(door.configured() + &servers(&home, rounds)))?;
    let book = Book::default();
    let bystanders = Crowd::new(&book);
    let mut restarts = Vec::new();
    let all: Vec<u32> = (0..rounds).collect();
    thread::scope(|scope| {
        let command = home.connect("bystander");
        let bystander = scope.spawn(|| bystanders.attend(command));
        for batch in all.chunks(CROWDS) {
            let (home, book, door) = (&home, &book, &door);
            let dying = batch
                .iter()
                .map(|round| scope.spawn(move || crowd(home, (book, door), *round)));
            for dying in dying.collect::<Vec<_>>() {
                restarts.push(dying.join());
            }
        }
        bystanders.end();
        let _ended = bystander.join();
    });
    let restarts = restarts.into_iter();
    let restarts = restarts
        .map(|restart| restart.unwrap_or_else(|_| anyhow::bail!("a crowd panicked")))
        .collect::<anyhow::Result<Vec<Duration>>>()?;
    shown.fact("deaths", restarts.len());
    home.done(&["stop"])?;
    book.close(&home.ledgers(), 0, shown)?;
    shown.at_most("connections that broke", book.lost_connections(), 0);
    shown.fact("server's own start, p99", format!("{own_start:.1?}"));
    shown.within(
        "restart p50",
        percentile(&restarts, 50),
        RESTART + own_start,
    );
    shown.within(
        "restart p99",
        percentile(&restarts, 99),
        RESTART + own_start,
    );
    home.end()?.show(shown);
    Ok(())
}

/// Each dies once only, because a second death has a longer wait behind it.
fn servers(home: &Home<'_>, rounds: u32) -> String {
    let names = (0..rounds).map(|round| format!("crowd-{round}"));
    let names = names.chain(["bystander".to_owned()]);
    names.map(|name| home.soak_server(&name)).collect()
}

/// One server with its sessions, and its death; how long after it the next process answered.
fn crowd(home: &Home<'_>, (book, door): (&Book, &Door), round: u32) -> anyhow::Result<Duration> {
    let mut chance = Rng::with_seed(home.stage.seed.wrapping_add(u64::from(round) << 32));
    let crowd = Crowd::new(book);
    let name = format!("crowd-{round}");
    thread::scope(|scope| {
        let (crowd, name) = (&crowd, &name);
        for _ in 0..STDIO {
            let command = home.connect(name);
            scope.spawn(move || crowd.attend(command));
        }
        for front in [Front::Http, Front::WebSocket] {
            scope.spawn(move || crowd.visit(front, door, name));
        }
        let restart = death(home, book, crowd, name, &mut chance);
        crowd.end();
        restart
    })
}

fn death(
    home: &Home<'_>,
    book: &Book,
    crowd: &Crowd<'_>,
    name: &str,
    chance: &mut Rng,
) -> anyhow::Result<Duration> {
    until(PATIENCE, || crowd.at_work() == SESSIONS).context("not all sessions were served")?;
    // Greeted before, so that nothing but the call is between us and its death.
    let mut killer = chance
        .bool()
        .then(|| Session::greeted(home.connect(name)))
        .transpose()?;
    thread::sleep(LIFE.mul_f64(chance.f64()));
    let pid = crowd.pid.load(std::sync::atomic::Ordering::Acquire);
    let begun = Instant::now();
    match &mut killer {
        Some(killer) => crash(killer, book, chance)?,
        None => Process::of(pid)
            .context("a server that answers is there")?
            .kill(),
    }
    let mut next = None;
    until(PATIENCE, || {
        next = crowd.successor(pid, begun);
        next.is_some()
    });
    let (_, at) = next.with_context(|| format!("nothing came after {pid}"))?;
    killer.map(Session::close).transpose()?;
    Ok(at.duration_since(begun))
}

/// Has it die behind so many bytes of the answer.
fn crash(killer: &mut Session, book: &Book, chance: &mut Rng) -> anyhow::Result<()> {
    let number = book.number();
    let mut record = Record::default();
    record.add(Kind::Call, 0);
    let arguments = json!({"mark": [number, 0, 1], "steps": chance.u32(..180)});
    let (answer, _) = killer.call("crash", arguments)?;
    let outcome = match answer["result"]["pid"].as_u64() {
        Some(pid) => Outcome::Answered {
            pid: u32::try_from(pid)?,
        },
        None => Outcome::Refused {
            maybe_executed: maybe_executed(&answer),
        },
    };
    record.set(1, outcome);
    book.hand_in(number, record);
    Ok(())
}

fn maybe_executed(answer: &Value) -> Option<bool> {
    answer["error"]["data"]["maybeExecuted"].as_bool()
}

/// What a start takes without us, from the spawn to the greeting.
fn own_start(home: &Home<'_>) -> anyhow::Result<Duration> {
    let mut starts = Vec::new();
    for _ in 0..OWN_STARTS {
        let mut command = Command::new(&home.stage.soak_server);
        command.arg(home.root().join("user")).arg("alone");
        let begun = Instant::now();
        let session = Session::greeted(command)?;
        starts.push(begun.elapsed());
        session.close()?;
    }
    Ok(percentile(&starts, 99).unwrap_or_default())
}
