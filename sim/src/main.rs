//! Explores worlds, or plays one again: what `cargo xtask sim` runs.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser;
use sim::{Broken, Fault, Kind, Order, Pinned, Played, Seed, Setting, Tally, Trace};

/// Longest time that is spent on making a failing list of steps short.
const PATIENCE: Duration = Duration::from_secs(20);

/// Worlds after which a fault that never happened is a fault of the simulation.
const ENOUGH: u64 = 1000;

/// How many worlds a plain run plays. In so many nothing that can be reached may be missing.
const WORLDS: u64 = 10_000;

/// What need not be seen in so many, though it can be reached.
const RARE: [(Kind, &str); 1] = [
    // Whoever alone knows how to start a server has left, and one that had joined it wants it again
    // after its process has died.
    (Kind::State, "stopped"),
];

/// The time that so many worlds may take where a change is checked.
const GOAL: Duration = Duration::from_mins(1);

/// One world in so many is played twice, and must be the same.
const TWICE: u64 = 100;

/// Seeded worlds around the core of mcpool
#[derive(Debug, Parser)]
struct Args {
    /// How many worlds to play [default: 10000, and every order of six steps in a small world]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Play only the world of this seed
    #[arg(long, conflicts_with_all = ["seeds", "from", "minutes"])]
    seed: Option<u64>,
    /// Play as many worlds as fit into this time
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// Play these steps again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "from", "minutes"])]
    replay: Option<PathBuf>,
    /// Play this order of steps in a small world again; each of its digits is a step
    #[arg(long, value_name = "DIGITS", conflicts_with_all = ["replay", "seed", "seeds", "from", "minutes"])]
    order: Option<Order>,
    /// Show the whole conversation of that world
    #[arg(long)]
    trace: bool,
    /// Stop at the first world that fails
    #[arg(long)]
    first: bool,
    /// Keep the steps of what fails among the regressions under this name, not under that of its seed or order
    #[arg(long, value_name = "NAME")]
    pin: Option<String>,
    /// Only say what fails: make its steps neither few nor a regression
    #[arg(long, conflicts_with = "pin")]
    no_pin: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // A panic of the core is reported as what it is; its words go into the report.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(file) = &args.replay {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let pinned = Pinned::parse(&text).with_context(|| format!("reading {}", file.display()))?;
        return Ok(show(&args, |trace| pinned.play(trace)));
    }
    if let Some(order) = &args.order {
        let code = show(&args, |trace| order.play(trace));
        if code != ExitCode::SUCCESS {
            describe_order(&args, order)?;
        }
        return Ok(code);
    }
    match args.seed {
        Some(seed) => {
            let code = show(&args, |trace| sim::play_seed(Seed(seed), trace));
            if code != ExitCode::SUCCESS {
                describe(&args, Seed(seed))?;
            }
            Ok(code)
        }
        None => explore(&args),
    }
}

fn line(text: impl AsRef<str>) {
    // A reader that went away is no reason to fail.
    let _gone = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// Plays one world, and shows it if that is wanted.
fn show(args: &Args, play: impl Fn(Trace) -> Played) -> ExitCode {
    let trace = if args.trace {
        Trace::Lines(Vec::new())
    } else {
        Trace::Off
    };
    let played = play(trace);
    if let Trace::Lines(lines) = &played.trace {
        lines.iter().for_each(line);
    }
    if let Some(Broken(words)) = played.broken {
        line(format!("FAILED {words}"));
        ExitCode::FAILURE
    } else {
        line(format!(
            "{} steps, {} messages: nothing is broken",
            played.tally.steps, played.tally.given
        ));
        ExitCode::SUCCESS
    }
}

/// What all threads work on.
struct Work {
    next: AtomicU64,
    stop: AtomicBool,
    found: Mutex<(Tally, Vec<(Seed, Broken)>)>,
}

fn explore(args: &Args) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let until = args
        .minutes
        .map(|minutes| began + Duration::from_mins(minutes));
    // Each exploration is of worlds that nobody has seen.
    let first = match until {
        Some(_) if args.from == 1 => {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)?
                .as_secs()
                << 20
        }
        Some(_) | None => args.from,
    };
    let last = if until.is_some() {
        u64::MAX
    } else {
        first + args.seeds.unwrap_or(WORLDS)
    };
    let work = Work {
        next: AtomicU64::new(first),
        stop: AtomicBool::new(false),
        found: Mutex::default(),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| labour(&work, last, until, args.first));
        }
    });
    let (tally, failures) = work
        .found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let code = conclude(args, began.elapsed(), &tally, failures)?;
    let is_whole = args.seeds.is_none() && args.minutes.is_none();
    Ok(if is_whole && !play_orders(args, cores)? {
        ExitCode::FAILURE
    } else {
        code
    })
}

/// Plays every order of six steps in a small world; says whether all of them went well.
fn play_orders(args: &Args, cores: usize) -> anyhow::Result<bool> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let (orders, messages) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures: Mutex<Vec<(Order, String)>> = Mutex::default();
    let see = |order: &Order, played: Played| {
        orders.fetch_add(1, Ordering::Relaxed);
        messages.fetch_add(played.tally.given, Ordering::Relaxed);
        if let Some(Broken(words)) = played.broken {
            let steps: Vec<String> = played.steps.iter().map(|s| format!("{s:?}")).collect();
            let words = format!("{words}, after {}", steps.join(" "));
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push((order.clone(), words));
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= sim::PARTS {
                        break;
                    }
                    sim::play_part(part, see);
                }
            });
        }
    });
    let mut failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|(_, words)| words.len());
    if let Some((order, words)) = failures.first() {
        line(format!("FAILED in an order: {words}"));
        line(format!("play it again: cargo xtask sim --order={order}"));
        describe_order(args, order)?;
    }
    line(format!(
        "{} orders of six steps in {:.1} s, of which {} differ, {} messages: {} broken",
        sim::ORDERS,
        began.elapsed().as_secs_f64(),
        orders.into_inner(),
        messages.into_inner(),
        failures.len()
    ));
    Ok(failures.is_empty())
}

/// Says what was seen and what was broken.
fn conclude(
    args: &Args,
    took: Duration,
    tally: &Tally,
    mut failures: Vec<(Seed, Broken)>,
) -> anyhow::Result<ExitCode> {
    line(sim::report(tally).trim_end());
    let mut is_broken = !failures.is_empty();
    failures.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, Broken(words))) = failures.first() {
        line(format!("FAILED {words}"));
        line(format!(
            "{} worlds failed; play the first again: cargo xtask sim --seed {}",
            failures.len(),
            seed.0
        ));
        if !args.first {
            tell_kinds(&failures);
        }
        describe(args, *seed)?;
    }
    is_broken |= !is_lively(tally);
    let goal = if tally.worlds == WORLDS {
        format!(" (goal: {} s)", GOAL.as_secs())
    } else {
        String::new()
    };
    line(format!(
        "\n{} worlds in {:.1} s{goal}, {} kinds of faults: {}",
        tally.worlds,
        took.as_secs_f64(),
        Fault::ALL.len() - tally.missing(Kind::Fault).len(),
        if is_broken {
            "something is broken"
        } else {
            "nothing is broken"
        }
    ));
    Ok(if is_broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Whether nothing is missing that so many worlds must have seen; says what is.
fn is_lively(tally: &Tally) -> bool {
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        let enough = if *kind == Kind::Fault { ENOUGH } else { WORLDS };
        tally.worlds >= enough
    });
    let mut is_lively = true;
    for kind in kinds {
        let (title, mut missing) = (kind.all().0, tally.missing(kind));
        missing.retain(|name| !RARE.contains(&(kind, *name)));
        if !missing.is_empty() {
            let missing = missing.join(", ");
            line(format!("FAILED these {title} never happened: {missing}"));
            is_lively = false;
        }
    }
    is_lively
}

/// Says what was broken how often, and which seed shows each.
fn tell_kinds(failures: &[(Seed, Broken)]) {
    let mut kinds: BTreeMap<String, (usize, Seed)> = BTreeMap::new();
    for (seed, broken) in failures {
        let kind = kinds.entry(broken.kind()).or_insert((0, *seed));
        kind.0 += 1;
    }
    for (kind, (count, Seed(seed))) in kinds {
        line(format!("{count:>6} worlds, as {seed}: {kind}"));
    }
}

fn labour(work: &Work, last: u64, until: Option<Instant>, stops_at_first: bool) {
    let mut tally = Tally::default();
    while !work.stop.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
        let seed = work.next.fetch_add(1, Ordering::Relaxed);
        if seed >= last {
            break;
        }
        let played = play_checked(Seed(seed));
        tally.add(&played.tally);
        if let Some(broken) = played.broken {
            work.stop.fetch_or(stops_at_first, Ordering::Relaxed);
            let mut found = work.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.1.push((Seed(seed), broken));
        }
    }
    work.found
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .0
        .add(&tally);
}

/// Plays a world, and now and then once more to see whether it is the same.
fn play_checked(seed: Seed) -> Played {
    if !seed.0.is_multiple_of(TWICE) {
        return sim::play_seed(seed, Trace::Off);
    }
    let mut played = sim::play_seed(seed, Trace::hash());
    let again = sim::play_seed(seed, Trace::hash());
    if played.trace.digest() != again.trace.digest() {
        played
            .broken
            .get_or_insert(Broken("the same seed gives another world".to_owned()));
    }
    played
}

fn describe(args: &Args, seed: Seed) -> anyhow::Result<()> {
    let name = format!("seed_{}", seed.0);
    keep(args, name, Setting::of(seed), || {
        sim::play_seed(seed, Trace::Off)
    })
}

fn describe_order(args: &Args, order: &Order) -> anyhow::Result<()> {
    let name = format!("order_{order}");
    keep(args, name, Order::SETTING, || order.play(Trace::Off))
}

/// Makes the steps of a failing world few, and keeps them: `cargo test` plays them from now on.
fn keep(
    args: &Args,
    name: String,
    setting: Setting,
    play: impl FnOnce() -> Played,
) -> anyhow::Result<()> {
    if args.no_pin {
        return Ok(());
    }
    let played = play();
    let Some(broken) = played.broken else {
        return Ok(());
    };
    let steps = sim::minimise(setting, &played.steps, &broken, PATIENCE);
    let pinned = Pinned {
        words: broken.0,
        setting,
        steps,
    };
    let name = args.pin.clone().unwrap_or(name);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join(format!("{name}.jsonl"));
    fs::write(&file, pinned.to_text()).with_context(|| format!("writing {}", file.display()))?;
    line(format!(
        "its {} steps are {}:",
        pinned.steps.len(),
        file.display()
    ));
    line(pinned.to_text().trim_end());
    Ok(())
}
