//! The rows that are about hooks: a process for each event, which its agent waits for.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use rustix::param::clock_ticks_per_second;

use super::{
    report::{Goal, Row, median, p95},
    setup::Setup,
    speed::microseconds,
    stand::Stand,
};

/// As many as an agent may run at the same time.
const CROWD: usize = 50;

/// Crowds of a round.
const CROWDS: usize = 8;

/// Hooks of a round, one after the other.
const ALONE: usize = 400;

/// What an agent says of a call of a tool.
const EVENT: &[u8] = br#"{"session_id":"6f1c0a52-0000-4000-8000-000000000000","transcript_path":"/home/ada/.agent/t.jsonl","cwd":"/tmp","hook_event_name":"PostToolUse","tool_name":"Edit","tool_input":{"file_path":"/home/ada/project/src/main.rs","old_string":"let a = 1;","new_string":"let a = 2;"},"tool_response":{"success":true}}"#;

/// One hook after the other: what its agent waits for.
pub(crate) fn alone(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let stand = Stand::mcpool(setup)?;
    let ways = ways(setup, &stand)?;
    let mut turns = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (way, figures) in ways.iter().zip(&mut turns) {
            let times: anyhow::Result<Vec<f64>> = (0..ALONE).map(|_| way.time()).collect();
            figures.push(p95(times?));
        }
    }
    let [nothing, posted, hook] = turns.map(median);
    let row = Row::new(
        "hook, from its spawn to its end, p95",
        hook * 1e3,
        "ms",
        Goal::AtMost(3.0),
    );
    Ok(row
        .with("a process that does nothing", microseconds(nothing))
        .with("posted by `mcpool hook --url`", microseconds(posted))
        .with("to a tool", microseconds(hook)))
}

/// Fifty at once, over as many processes that do nothing: the cores are shared by all.
pub(crate) fn crowd(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let stand = Stand::mcpool(setup)?;
    let ways = ways(setup, &stand)?;
    let mut turns = [const { Vec::new() }; 3];
    // A round is so short that several make one.
    for _ in 0..rounds {
        for (way, figures) in ways.iter().zip(&mut turns) {
            let mut times = Vec::new();
            for _ in 0..CROWDS {
                times.extend(at_once(way)?);
            }
            figures.push(p95(times));
        }
    }
    let ratio = over_nothing(&turns);
    let [nothing, posted, hook] = turns.map(median);
    let row = Row::new(
        format!("{CROWD} hooks at once, p95, over processes that do nothing"),
        ratio,
        "×",
        Goal::AtMost(4.0),
    );
    Ok(row
        .with("a process that does nothing", microseconds(nothing))
        .with("posted by `mcpool hook --url`", microseconds(posted))
        .with("to a tool", microseconds(hook)))
}

/// What the process of a hook takes of a core, alone and among fifty, over one that does nothing: how many of them
/// a machine bears at once is a matter of its cores, this is not.
pub(crate) fn cpu(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let stand = Stand::mcpool(setup)?;
    let ways = ways(setup, &stand)?;
    let mut alone = [const { Vec::new() }; 3];
    let mut among = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (way, figures) in ways.iter().zip(&mut alone) {
            let one_after_the_other = || (0..ALONE).try_for_each(|_| way.time().map(drop));
            figures.push(cpu_of_each(ALONE, one_after_the_other)?);
        }
        for (way, figures) in ways.iter().zip(&mut among) {
            let crowds = || (0..CROWDS).try_for_each(|_| at_once(way).map(drop));
            figures.push(cpu_of_each(CROWDS * CROWD, crowds)?);
        }
    }
    let (ratio_alone, ratio_among) = (over_nothing(&alone), over_nothing(&among));
    let row = Row::new(
        "CPU time of a hook's process, over one that does nothing",
        ratio_alone,
        "×",
        Goal::AtMost(1.5),
    );
    let [nothing, posted, hook] = alone.map(median);
    let [nothing_among, posted_among, hook_among] = among.map(median);
    Ok(row
        .with("nothing", microseconds(nothing))
        .with("posted by `mcpool hook --url`", microseconds(posted))
        .with("to a tool", microseconds(hook))
        .with("fifty at once: nothing", microseconds(nothing_among))
        .with("posted", microseconds(posted_among))
        .with("to a tool", microseconds(hook_among))
        .with("over nothing", format!("{ratio_among:.3} ×")))
}

/// A hook over a process that does nothing, turn by turn.
fn over_nothing([nothing, _, hook]: &[Vec<f64>; 3]) -> f64 {
    let ratios = hook.iter().zip(nothing);
    median(ratios.map(|(hook, nothing)| hook / nothing).collect())
}

/// What each of so many processes has taken of a core, in seconds, if these are all that end meanwhile.
fn cpu_of_each(count: usize, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = cpu_of_ended()?;
    run()?;
    let ticks = cpu_of_ended()? - before;
    // The system counts them in nanoseconds and rounds the sum.
    #[expect(clippy::cast_precision_loss, reason = "small numbers, for people")]
    let seconds = ticks as f64 / clock_ticks_per_second() as f64 / count as f64;
    Ok(seconds)
}

/// What our processes that have ended have taken of all cores, in user space and for them in the system, in ticks.
fn cpu_of_ended() -> anyhow::Result<u64> {
    const CHILDREN_IN_USER_SPACE: usize = 13;
    let text = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text
        .rsplit_once(") ")
        .context("/proc/self/stat has a name")?;
    let words = rest.split(' ').skip(CHILDREN_IN_USER_SPACE).take(2);
    let ticks: Result<Vec<u64>, _> = words.map(str::parse).collect();
    Ok(ticks.context("/proc/self/stat has numbers")?.iter().sum())
}

/// One way to run a hook.
struct Way {
    program: std::path::PathBuf,
    words: Vec<String>,
}

/// Nothing at all, a post to the daemon, and a call over its socket.
fn ways(setup: &Setup, stand: &Stand<'_>) -> anyhow::Result<[Way; 3]> {
    let arg = "file=${tool_input.file_path}";
    let url = format!(
        "http://{}/hook/PostToolUse?server=echo&tool=echo&arg=file=x",
        stand.address
    );
    let home = stand.home()?.display().to_string();
    let hook = |words: &[&str]| Way {
        program: setup.mcpool().to_owned(),
        words: [&["hook", "PostToolUse"], words]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
    };
    let ways = [
        Way {
            program: "/bin/true".into(),
            words: Vec::new(),
        },
        hook(&["--url", &url]),
        hook(&[
            "--home", &home, "--server", "echo", "--tool", "echo", "--arg", arg,
        ]),
    ];
    // The first of each may have something to find out.
    for way in &ways {
        way.time()?;
    }
    Ok(ways)
}

impl Way {
    /// How long it takes, in seconds. As of some agents, its standard input stays open.
    fn time(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut child = Command::new(&self.program)
            .args(&self.words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let mut pipe = child
            .stdin
            .take()
            .context("a piped standard input is there")?;
        // Whoever does nothing does not read it.
        let _unread = pipe.write_all(EVENT);
        let status = child.wait()?;
        let taken = begun.elapsed().as_secs_f64();
        ensure!(
            status.success(),
            "{} ended with {status}",
            self.program.display()
        );
        Ok(taken)
    }
}

fn at_once(way: &Way) -> anyhow::Result<Vec<f64>> {
    let start = Barrier::new(CROWD);
    thread::scope(|scope| {
        let hooks: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    way.time()
                })
            })
            .collect();
        hooks
            .into_iter()
            .map(|hook| {
                hook.join()
                    .map_err(|_| anyhow::anyhow!("a hook panicked"))?
            })
            .collect()
    })
}
