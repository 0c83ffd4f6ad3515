//! The daemon is upgraded under load, again and again.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fastrand::Rng;
use serde_json::Value;

use super::Row;
use crate::bench::Front;
use crate::faults::{
    Stage,
    home::{Home, number},
    load::{Book, Crowd, Door, pids},
    processes::until,
    session::PATIENCE,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[12],
    fault: "the daemon is upgraded under load",
    short: 5,
    play,
};

const SERVERS: usize = 4;
/// Over stdio, and over each of the other fronts.
const STDIO: usize = 24;
const VISITORS: usize = SERVERS;
const SESSIONS: usize = STDIO + 2 * VISITORS;

/// The longest time between two upgrades.
const LIFE: Duration = Duration::from_millis(400);

/// For so long nobody may be heard.
const PAUSE: Duration = Duration::from_millis(250);

/// The load that there must be, in requests a second.
const LOAD: u64 = 200;

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let names: Vec<String> = (0..SERVERS)
        .map(|number| format!("server-{number}"))
        .collect();
    let servers = names.iter().map(|name| home.soak_server(name));
    let door = Door::new()?;
    home.configure(&(door.configured() + &servers.collect::<String>()))?;
    let book = Book::default();
    let crowds: Vec<Crowd<'_>> = names.iter().map(|_| Crowd::new(&book)).collect();
    let begun = Instant::now();
    let upgrades = thread::scope(|scope| {
        for session in 0..STDIO {
            let at = session % SERVERS;
            let (crowd, command) = (&crowds[at], home.connect(&names[at]));
            scope.spawn(move || crowd.attend(command));
        }
        for visitor in 0..VISITORS {
            let at = visitor % SERVERS;
            let (crowd, door, name) = (&crowds[at], &door, &names[at]);
            for front in [Front::Http, Front::WebSocket] {
                scope.spawn(move || crowd.visit(front, door, name));
            }
        }
        let upgrades = upgrade_again_and_again(&home, &crowds, rounds);
        for crowd in &crowds {
            crowd.end();
        }
        upgrades
    })?;
    let seconds = begun.elapsed().as_secs().max(1);
    let all = u64::from(rounds);
    shown.all("upgrades", upgrades.pauses.len() as u64, all);
    shown.all("the daemon is the same process", upgrades.same_daemon, all);
    shown.at_most("servers that ended with an upgrade", upgrades.servers, 0);
    home.done(&["stop"])?;
    book.close(&home.ledgers(), 0, shown)?;
    shown.at_least("requests a second", book.requests() / seconds, LOAD);
    shown.at_most("errors to calls that should be none", book.refusals(), 0);
    shown.at_most("connections that broke", book.lost_connections(), 0);
    for (name, percent) in [
        ("pause, p50", 50),
        ("pause, p99", 99),
        ("pause, longest", 100),
    ] {
        shown.within(name, percentile(&upgrades.pauses, percent), PAUSE);
    }
    shown.fact("longest answer", format!("{:?}", book.longest_answer()));
    home.end()?.show(shown);
    Ok(())
}

#[derive(Default)]
struct Upgrades {
    /// For how long nobody was heard, as the daemon says.
    pauses: Vec<Duration>,
    same_daemon: u64,
    /// Servers that answered before an upgrade, and others in their place behind it.
    servers: u64,
}

fn upgrade_again_and_again(
    home: &Home<'_>,
    crowds: &[Crowd<'_>],
    rounds: u32,
) -> anyhow::Result<Upgrades> {
    let mut chance = Rng::with_seed(home.stage.seed);
    let mut upgrades = Upgrades::default();
    let at_work = || crowds.iter().map(Crowd::at_work).sum::<usize>() == SESSIONS;
    until(PATIENCE, at_work).context("not all sessions were served")?;
    let daemon = home.daemon().context("a daemon runs")?;
    for _ in 0..rounds {
        thread::sleep(LIFE.mul_f64(chance.f64()));
        let servers = pids(crowds);
        let told: Value = serde_json::from_str(&home.done(&["upgrade", "--json"])?)?;
        upgrades
            .pauses
            .push(Duration::from_millis(number(&told["pause_ms"])));
        let asked = Instant::now();
        let answered = || {
            let answered = crowds.iter().map(|crowd| crowd.answered_since(asked));
            answered.sum::<usize>() == SESSIONS
        };
        until(PATIENCE, answered).context("not all sessions were served after an upgrade")?;
        upgrades.same_daemon += u64::from(home.daemon() == Some(daemon));
        upgrades.servers += servers.difference(&pids(crowds)).count() as u64;
    }
    Ok(upgrades)
}
