//! Files of ours, and the user's configuration, cut off anywhere and with wrong bits.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fastrand::Rng;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[18],
    fault: "state and configuration are damaged",
    short: 2,
    play,
};

/// A file, as it is when nothing is wrong with it.
struct Good {
    /// Within the folder of the installation.
    name: PathBuf,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    CutAt(usize),
    /// The bit of this number is another.
    Flipped(usize),
}

#[derive(Default)]
struct Seen {
    damages: u64,
    served: u64,
    /// Sessions that were told what is wrong with the configuration.
    named: u64,
    ready: Vec<Duration>,
}

/// Of each file at most so many places are damaged in each way as there are rounds; those of a short
/// file all are, if there are enough.
fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let files = files(&home)?;
    let mut chance = Rng::with_seed(stage.seed);
    let mut seen = Seen::default();
    for file in &files {
        let mut damages = Vec::new();
        for at in places(file.bytes.len(), rounds, &mut chance) {
            damages.push(Damage::CutAt(at));
        }
        for bit in places(8 * file.bytes.len(), rounds, &mut chance) {
            damages.push(Damage::Flipped(bit));
        }
        for damage in damages {
            for file in &files {
                put(&home, file, &file.bytes)?;
            }
            put(&home, file, &damage.done_to(&file.bytes))?;
            let is_configuration = file.name == Path::new("config.toml");
            seen.damages += 1;
            if let Err(error) = start(&home, is_configuration, &mut seen) {
                shown.tell(format!("{}: {damage:?}: {error:#}", file.name.display()));
            }
        }
    }
    shown.fact("files", files.len());
    shown.all(
        "served, or told what is wrong in the configuration",
        seen.served + seen.named,
        seen.damages,
    );
    shown.within(
        "started and served after, longest",
        percentile(&seen.ready, 100),
        Duration::from_secs(1),
    );
    // A panic is a complaint in the log.
    home.end()?.show(shown);
    Ok(())
}

/// Everything that an installation has on its disk when it does not run, and what a crash leaves.
fn files(home: &Home<'_>) -> anyhow::Result<Vec<Good>> {
    home.configure(&home.fake_server("fake", &[], ""))?;
    let mut session = home.session("fake")?;
    session.must_call("echo", json!({}))?;
    session.close()?;
    home.done(&["stop"])?;
    let left = [
        ("state/daemon.lock", "4194303\n/nowhere/mcpool.sock\n"),
        ("guard.pid", "4194303 12345\n"),
    ];
    let mut files: Vec<Good> = left
        .map(|(name, text)| Good {
            name: PathBuf::from(name),
            bytes: text.as_bytes().to_vec(),
        })
        .into();
    let words = home.pool().join("state/kept-words");
    let entries = fs::read_dir(&words).context("nothing is kept of what servers say")?;
    for entry in entries {
        let entry = entry?;
        files.push(Good {
            name: Path::new("state/kept-words").join(entry.file_name()),
            bytes: fs::read(entry.path())?,
        });
    }
    files.push(Good {
        name: PathBuf::from("config.toml"),
        bytes: fs::read(home.pool().join("config.toml"))?,
    });
    Ok(files)
}

/// So many different places, or all if there are not more.
fn places(all: usize, wanted: u32, chance: &mut Rng) -> Vec<usize> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if all <= wanted {
        return (0..all).collect();
    }
    // One in each of as many parts of equal length.
    let part = |number: usize| number * all / wanted;
    (0..wanted)
        .map(|number| chance.usize(part(number)..part(number + 1)))
        .collect()
}

impl Damage {
    fn done_to(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Damage::CutAt(at) => bytes.iter().take(at).copied().collect(),
            Damage::Flipped(bit) => {
                let flip = |(at, byte): (usize, &u8)| {
                    if at == bit / 8 {
                        byte ^ (1 << (bit % 8))
                    } else {
                        *byte
                    }
                };
                bytes.iter().enumerate().map(flip).collect()
            }
        }
    }
}

fn put(home: &Home<'_>, file: &Good, bytes: &[u8]) -> anyhow::Result<()> {
    let path = home.pool().join(&file.name);
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn start(home: &Home<'_>, is_configuration: bool, seen: &mut Seen) -> anyhow::Result<()> {
    let begun = Instant::now();
    let served = home.session("fake").and_then(|mut session| {
        session.must_call("echo", json!({}))?;
        session.close()
    });
    let took = begun.elapsed();
    home.done(&["stop"])?;
    match served {
        Ok(()) => {
            seen.served += 1;
            seen.ready.push(took);
            Ok(())
        }
        Err(error) => {
            let words = format!("{error:#}");
            // Another name, or another program, is as right as the one that stood there.
            let is_named = [
                "config.toml",
                "no server named",
                "cannot run",
                "start-failed",
            ]
            .iter()
            .any(|word| words.contains(word));
            if is_configuration && is_named {
                seen.named += 1;
                return Ok(());
            }
            Err(error)
        }
    }
}
