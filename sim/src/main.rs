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
use sim::{
    Broken, Fault, Kind, Order, Pinned, Played, Seed, Setting, Steps, Tally, Trace,
    eras::{self, EraOrder},
};

/// Longest time that is spent on making a failing list of steps short.
const PATIENCE: Duration = Duration::from_secs(20);

/// Worlds after which a fault that never happened is a fault of the simulation.
const ENOUGH: u64 = 1000;

/// How many worlds a plain run plays. In so many nothing that can be reached may be missing.
const WORLDS: u64 = 10_000;

/// What need not be seen in so many, though it can be reached.
const RARE: [(Kind, &str); 2] = [
    // Whoever alone knows how to start a server has left, and one that had joined it wants it again
    // after its process has died.
    (Kind::State, "stopped"),
    // A server has to insist nine times before its client has left, has cancelled or has been told something else.
    (Kind::Era, "went many times"),
];

/// The time that so many worlds may take where a change is checked.
const GOAL: Duration = Duration::from_mins(1);

/// One world in so many is played twice, and must be the same.
const TWICE: u64 = 100;

/// Seeded worlds around the core of mcpool
#[derive(Debug, Parser)]
struct Args {
    /// How many worlds to play [default: 10000 of each kind, and every order of some steps in small worlds]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Play only the world of this seed
    #[arg(long, conflicts_with_all = ["seeds", "from", "minutes"])]
    seed: Option<u64>,
    /// Play only worlds of this kind [default: both, and of one seed that of links]
    #[arg(long, value_enum)]
    of: Option<Of>,
    /// Play as many worlds as fit into this time
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// Play these steps again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "from", "minutes"])]
    replay: Option<PathBuf>,
    /// Play this order of steps in a small world again; each of its digits is a step
    #[arg(long, value_name = "DIGITS", conflicts_with_all = ["replay", "seed", "seeds", "from", "minutes"])]
    order: Option<Order>,
    /// Play this order of steps in a small world of both eras again; its first digit is the server, each of the
    /// others a step
    #[arg(long, value_name = "DIGITS", conflicts_with_all = ["order", "replay", "seed", "seeds", "from", "minutes"])]
    era_order: Option<EraOrder>,
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

/// The kinds of worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Of {
    /// Everybody speaks with a handshake, over links that misbehave
    Links,
    /// Clients and servers are of both eras
    Eras,
}

/// What became of a world of either kind.
struct Seen {
    steps: Steps,
    tally: Tally,
    trace: Trace,
    broken: Option<Broken>,
}

impl Of {
    const ALL: [Of; 2] = [Of::Links, Of::Eras];

    fn name(self) -> &'static str {
        match self {
            Of::Links => "links",
            Of::Eras => "eras",
        }
    }

    fn play(self, seed: Seed, trace: Trace) -> Seen {
        match self {
            Of::Links => sim::play_seed(seed, trace).into(),
            Of::Eras => eras::play_seed(seed, trace).into(),
        }
    }
}

impl From<Played<eras::Step>> for Seen {
    fn from(played: Played<eras::Step>) -> Self {
        Seen {
            steps: Steps::OfEras(played.steps),
            tally: played.tally,
            trace: played.trace,
            broken: played.broken,
        }
    }
}

impl From<Played> for Seen {
    fn from(played: Played) -> Self {
        Seen {
            steps: Steps::OfLinks(played.steps),
            tally: played.tally,
            trace: played.trace,
            broken: played.broken,
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // A panic of the core is reported as what it is; its words go into the report.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(file) = &args.replay {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let pinned = Pinned::parse(&text).with_context(|| format!("reading {}", file.display()))?;
        return Ok(show(&args, |trace| {
            let (tally, trace, broken) = pinned.play(trace);
            let steps = pinned.steps.clone();
            Seen {
                steps,
                tally,
                trace,
                broken,
            }
        }));
    }
    if let Some(order) = &args.order {
        let code = show(&args, |trace| order.play(trace).into());
        if code != ExitCode::SUCCESS {
            describe_order(&args, order)?;
        }
        return Ok(code);
    }
    if let Some(order) = &args.era_order {
        let code = show(&args, |trace| order.play(trace).into());
        if code != ExitCode::SUCCESS {
            describe_era_order(&args, order)?;
        }
        return Ok(code);
    }
    match args.seed {
        Some(seed) => {
            let of = args.of.unwrap_or(Of::Links);
            let code = show(&args, |trace| of.play(Seed(seed), trace));
            if code != ExitCode::SUCCESS {
                describe(&args, of, Seed(seed))?;
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
fn show(args: &Args, play: impl Fn(Trace) -> Seen) -> ExitCode {
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
    found: Mutex<(Tally, Vec<Failure>)>,
}

/// A world that failed.
struct Failure {
    of: Of,
    seed: Seed,
    broken: Broken,
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
            scope.spawn(|| labour(&work, last, until, args));
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

/// A part of all orders of one kind, shown one by one: each as text and with what it was like.
type PlayPart<'a> = &'a (dyn Fn(usize, &mut dyn FnMut(String, Seen)) + Sync);

/// Plays every order of some steps in small worlds; says whether all of them went well.
fn play_orders(args: &Args, cores: usize) -> anyhow::Result<bool> {
    let of_links: PlayPart<'_> = &|part, see| {
        sim::play_part(part, |order, played| see(order.to_string(), played.into()));
    };
    let of_eras: PlayPart<'_> = &|part, see| {
        eras::play_part(part, |order, played| see(order.to_string(), played.into()));
    };
    let are_well = play_all(
        cores,
        (sim::PARTS, of_links),
        ("six", sim::ORDERS),
        |order| describe_order(args, &order.parse().map_err(anyhow::Error::msg)?),
    )?;
    let eras_are_well = play_all(
        cores,
        (eras::PARTS, of_eras),
        ("five", eras::ORDERS),
        |order| describe_era_order(args, &order.parse().map_err(anyhow::Error::msg)?),
    )?;
    Ok(are_well && eras_are_well)
}

/// Plays all orders of one kind.
fn play_all(
    cores: usize,
    (parts, play_part): (usize, PlayPart<'_>),
    (steps, all): (&str, usize),
    describe: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let (orders, messages) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures: Mutex<Vec<(String, String)>> = Mutex::default();
    let see = |order: String, played: Seen| {
        orders.fetch_add(1, Ordering::Relaxed);
        messages.fetch_add(played.tally.given, Ordering::Relaxed);
        if let Some(Broken(words)) = played.broken {
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push((order, words));
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= parts {
                        break;
                    }
                    play_part(part, &mut |order, played| see(order, played));
                }
            });
        }
    });
    let mut failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|(order, _)| order.len());
    if let Some((order, words)) = failures.first() {
        line(format!("FAILED in the order {order}: {words}"));
        describe(order)?;
    }
    line(format!(
        "{all} orders of {steps} steps in {:.1} s, of which {} differ, {} messages: {} broken",
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
    mut failures: Vec<Failure>,
) -> anyhow::Result<ExitCode> {
    line(sim::report(tally).trim_end());
    let mut is_broken = !failures.is_empty();
    failures.sort_by_key(|failure| (failure.of, failure.seed));
    if let Some(Failure { of, seed, broken }) = failures.first() {
        line(format!("FAILED {}", broken.0));
        line(format!(
            "{} worlds failed; play the first again: cargo xtask sim --of {} --seed {}",
            failures.len(),
            of.name(),
            seed.0
        ));
        if !args.first {
            tell_kinds(&failures);
        }
        describe(args, *of, *seed)?;
    }
    is_broken |= !is_lively(args, tally);
    let goal = if tally.worlds == WORLDS * Of::ALL.len() as u64 {
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
fn is_lively(args: &Args, tally: &Tally) -> bool {
    // In worlds of one kind alone most of what the others can do never happens.
    let worlds = if args.of.is_some() {
        0
    } else {
        tally.worlds / Of::ALL.len() as u64
    };
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        let enough = if *kind == Kind::Fault { ENOUGH } else { WORLDS };
        worlds >= enough
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
fn tell_kinds(failures: &[Failure]) {
    let mut kinds: BTreeMap<String, (usize, &Failure)> = BTreeMap::new();
    for failure in failures {
        let kind = kinds.entry(failure.broken.kind()).or_insert((0, failure));
        kind.0 += 1;
    }
    for (kind, (count, Failure { of, seed, .. })) in kinds {
        let of = of.name();
        line(format!(
            "{count:>6} worlds, as --of {of} --seed {}: {kind}",
            seed.0
        ));
    }
}

fn labour(work: &Work, last: u64, until: Option<Instant>, args: &Args) {
    let mut tally = Tally::default();
    while !work.stop.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
        let seed = work.next.fetch_add(1, Ordering::Relaxed);
        if seed >= last {
            break;
        }
        let kinds = Of::ALL.into_iter();
        for of in kinds.filter(|of| args.of.is_none_or(|only| only == *of)) {
            let seed = Seed(seed);
            let played = play_checked(of, seed);
            tally.add(&played.tally);
            if let Some(broken) = played.broken {
                work.stop.fetch_or(args.first, Ordering::Relaxed);
                let mut found = work.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.1.push(Failure { of, seed, broken });
            }
        }
    }
    work.found
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .0
        .add(&tally);
}

/// Plays a world, and now and then once more to see whether it is the same.
fn play_checked(of: Of, seed: Seed) -> Seen {
    if !seed.0.is_multiple_of(TWICE) {
        return of.play(seed, Trace::Off);
    }
    let mut played = of.play(seed, Trace::hash());
    let again = of.play(seed, Trace::hash());
    if played.trace.digest() != again.trace.digest() {
        played
            .broken
            .get_or_insert(Broken("the same seed gives another world".to_owned()));
    }
    played
}

fn describe(args: &Args, of: Of, seed: Seed) -> anyhow::Result<()> {
    let name = match of {
        Of::Links => format!("seed_{}", seed.0),
        Of::Eras => format!("eras_{}", seed.0),
    };
    keep(args, name, Setting::of(seed), || of.play(seed, Trace::Off))
}

fn describe_order(args: &Args, order: &Order) -> anyhow::Result<()> {
    line(format!("play it again: cargo xtask sim --order={order}"));
    let name = format!("order_{order}");
    keep(args, name, Order::SETTING, || order.play(Trace::Off).into())
}

fn describe_era_order(args: &Args, order: &EraOrder) -> anyhow::Result<()> {
    line(format!(
        "play it again: cargo xtask sim --era-order={order}"
    ));
    let name = format!("era_order_{order}");
    keep(args, name, EraOrder::SETTING, || {
        order.play(Trace::Off).into()
    })
}

/// Makes the steps of a failing world few, and keeps them: `cargo test` plays them from now on.
fn keep(
    args: &Args,
    name: String,
    setting: Setting,
    play: impl FnOnce() -> Seen,
) -> anyhow::Result<()> {
    if args.no_pin {
        return Ok(());
    }
    let played = play();
    let Some(broken) = played.broken else {
        return Ok(());
    };
    let steps = match played.steps {
        Steps::OfLinks(steps) => {
            Steps::OfLinks(sim::minimise(&steps, &broken, PATIENCE, |steps| {
                sim::replay(setting, steps, Trace::Off).broken
            }))
        }
        Steps::OfEras(steps) => Steps::OfEras(sim::minimise(&steps, &broken, PATIENCE, |steps| {
            eras::replay(setting, steps, Trace::Off).broken
        })),
    };
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
