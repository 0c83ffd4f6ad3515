//! The daemon is killed under load, again and again.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fastrand::Rng;

use super::Row;
use crate::bench::Front;
use crate::faults::{
    Stage,
    home::Home,
    load::{Book, Crowd, Door, pids},
    processes::until,
    session::PATIENCE,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[9],
    fault: "the daemon is killed under load",
    short: 5,
    play,
};

const SERVERS: usize = 4;
/// Over stdio, and over each of the other fronts.
const STDIO: usize = 24;
const VISITORS: usize = SERVERS;
const SESSIONS: usize = STDIO + 2 * VISITORS;

/// The longest life of a daemon under load before it dies.
const LIFE: Duration = Duration::from_millis(400);

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
    let killed = thread::scope(|scope| {
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
        let killed = kill_again_and_again(&home, &crowds, rounds);
        for crowd in &crowds {
            crowd.end();
        }
        killed
    })?;
    shown.all("daemons killed", killed.daemons, u64::from(rounds));
    shown.all(
        "one daemon came after",
        killed.successors,
        u64::from(rounds),
    );
    shown.at_most("sessions of no use afterwards", killed.useless, 0);
    shown.at_most("servers that ended with a daemon", killed.servers, 0);
    home.done(&["stop"])?;
    book.close(&home.ledgers(), killed.daemons, shown)?;
    shown.fact("connections that broke", book.lost_connections());
    let most = Duration::from_secs(2);
    shown.within(
        "all sessions answered after, p50",
        percentile(&killed.answered, 50),
        most,
    );
    shown.within(
        "all sessions answered after, p99",
        percentile(&killed.answered, 99),
        most,
    );
    home.end()?.show(shown);
    Ok(())
}

#[derive(Default)]
struct Killed {
    daemons: u64,
    /// Deaths after which there was one other daemon.
    successors: u64,
    /// Servers that answered before a death, and others in their place behind it.
    servers: u64,
    /// Sessions that had no answer any more.
    useless: u64,
    /// From a death until each session had an answer again.
    answered: Vec<Duration>,
}

fn kill_again_and_again(
    home: &Home<'_>,
    crowds: &[Crowd<'_>],
    rounds: u32,
) -> anyhow::Result<Killed> {
    let mut chance = Rng::with_seed(home.stage.seed);
    let mut killed = Killed::default();
    let at_work = || crowds.iter().map(Crowd::at_work).sum::<usize>() == SESSIONS;
    until(PATIENCE, at_work).context("not all sessions were served")?;
    for _ in 0..rounds {
        thread::sleep(LIFE.mul_f64(chance.f64()));
        let servers = pids(crowds);
        let daemon = home.daemon().context("a daemon runs")?;
        let begun = Instant::now();
        daemon.kill();
        killed.daemons += 1;
        // What was read before it died may still be told; so each must be asked anew.
        let asked = Instant::now();
        let answered = || {
            crowds
                .iter()
                .map(|crowd| crowd.answered_since(asked))
                .sum::<usize>()
        };
        let is_answered = until(PATIENCE, || answered() == SESSIONS).is_some();
        let took = begun.elapsed();
        let next = home.daemon();
        killed.successors += u64::from(next.is_some_and(|next| next != daemon));
        killed.servers += servers.difference(&pids(crowds)).count() as u64;
        if !is_answered {
            killed.useless = (SESSIONS - answered()) as u64;
            break;
        }
        killed.answered.push(took);
    }
    Ok(killed)
}
