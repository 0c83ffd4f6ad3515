//! A client that rewrites its file all the time, as sessions do that note what has happened.
//!
//! Each writer counts in the file under a name of its own, and keeps the others out while it does,
//! as sessions of one client do; of anybody else it knows nothing.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
};
use serde_json::{Value, json};

/// What it is started with, and behind it the file, a name, and the word `in-place` if it does not
/// put another file in the place of the old one.
pub(crate) const ROLE: &str = "rewriter";

/// How long it waits between two changes: 50 of them a second, if nobody holds it up.
const PAUSE: Duration = Duration::from_millis(20);

/// Counts until its input ends, and says how far it has come. Fails when a count of its own is
/// lost, or when the file is none.
pub(crate) fn play(file: &OsStr) -> anyhow::Result<ExitCode> {
    let path = PathBuf::from(file);
    let mut rest = env::args().skip(3);
    let name = rest.next().context("a name is missing")?;
    let is_in_place = rest.next().is_some_and(|word| word == "in-place");
    let lock = File::create(path.with_extension("lock"))?;
    let mut count = 0_u64;
    while !has_ended()? {
        flock(&lock, FlockOperation::LockExclusive)?;
        let text = fs::read_to_string(&path)?;
        let mut said: Value = serde_json::from_str(&text)
            .with_context(|| format!("what is there is none: {text:?}"))?;
        ensure!(
            said[&name] == json!(count) || count == 0,
            "count {count} of {name} is lost: {text}"
        );
        count += 1;
        said[&name] = json!(count);
        let text = serde_json::to_string_pretty(&said)?;
        if is_in_place {
            overwrite(&path, &text)?;
        } else {
            replace(&path, &name, &text)?;
        }
        flock(&lock, FlockOperation::Unlock)?;
    }
    writeln!(io::stdout(), "{count}")?;
    Ok(ExitCode::SUCCESS)
}

/// Waits; whether its input has ended meanwhile.
fn has_ended() -> anyhow::Result<bool> {
    let stdin = io::stdin();
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(PAUSE.subsec_nanos()),
    };
    let mut ends = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut ends, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => bail!("waiting: {error}"),
    }
}

/// As most clients do.
fn replace(path: &Path, name: &str, text: &str) -> io::Result<()> {
    let aside = path.with_file_name(name);
    fs::write(&aside, text)?;
    fs::rename(aside, path)
}

/// As some do: in place, in two parts.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    let (one, other) = text.split_at(text.len() / 2);
    file.write_all(one.as_bytes())?;
    file.write_all(other.as_bytes())
}
