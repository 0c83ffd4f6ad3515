//! `mcpool logs`: what a server wrote to its standard error.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use config::ServerName;
use serde_json::json;
use shim::places::Places;

use crate::{
    exit::Exit,
    follow::{self, Follower},
    ui::Ui,
};

/// The log of the daemon itself.
const DAEMON: &str = "daemon";

/// More numbers than the daemon gives to put-aside logs.
const ASIDE_MAX: u32 = 9;

/// Show what a server wrote to stderr; `daemon` is the daemon's own log
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the server, or `daemon`
    name: ServerName,
    /// Go on showing what comes
    #[arg(short, long)]
    follow: bool,
    /// Show the last so many lines
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    lines: usize,
    /// Print an object of JSON for each line, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let path = places.logs.join(format!("{}.log", args.name));
    let (text, open) =
        last_lines(&path, args.lines).with_context(|| format!("cannot read {}", path.display()))?;
    if text.is_empty() && open.is_none() && !args.follow {
        let name = args.name.as_str();
        if name == DAEMON {
            bail!("the daemon has written no log in {}", places.logs.display());
        }
        bail!(
            "`{name}` has written no log in {}; if it has not been started, `mcpool doctor` may say why; \
             `mcpool list` and `mcpool status` show the names that there are",
            places.logs.display()
        );
    }
    let mut printed = Printed {
        is_json: args.json,
        begun: Vec::new(),
    };
    printed.show(&text, ui)?;
    if args.follow {
        let mut follower = Follower::watch(&path, open)
            .with_context(|| format!("cannot watch {}", places.logs.display()))?;
        loop {
            printed.show(&follower.next()?, ui)?;
        }
    }
    printed.end(ui)?;
    Ok(Exit::Done)
}

/// A log on its way to whoever reads it.
struct Printed {
    is_json: bool,
    /// The beginning of a line of which there is no more yet, for an object.
    begun: Vec<u8>,
}

impl Printed {
    fn show(&mut self, text: &[u8], ui: &mut Ui) -> anyhow::Result<()> {
        if !self.is_json {
            return ui.write(text);
        }
        self.begun.extend_from_slice(text);
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n');
        let rest = self.begun.split_off(whole.map_or(0, |at| at + 1));
        let lines = std::mem::replace(&mut self.begun, rest);
        ui.write(&objects(&lines))
    }

    /// Nothing more will come.
    fn end(self, ui: &mut Ui) -> anyhow::Result<()> {
        ui.write(&objects(&self.begun))
    }
}

/// Each line as an object on a line of its own.
fn objects(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let objects = lines.map(|line| {
        let line = String::from_utf8_lossy(line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        format!("{}\n", json!({ "line": line }))
    });
    objects.collect::<String>().into_bytes()
}

/// The last lines of a log and of those that were put aside before it; and the log
/// itself, read to its end.
fn last_lines(path: &Path, count: usize) -> io::Result<(Vec<u8>, Option<File>)> {
    let mut open = follow::open(path)?;
    let mut text = Vec::new();
    if let Some(file) = &mut open {
        file.read_to_end(&mut text)?;
    }
    for number in 1..=ASIDE_MAX {
        if text.split(|byte| *byte == b'\n').count() > count {
            break;
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{number}"));
        let Some(mut file) = follow::open(&PathBuf::from(aside))? else {
            continue;
        };
        let mut older = Vec::new();
        file.read_to_end(&mut older)?;
        older.append(&mut text);
        text = older;
    }
    Ok((tail(&text, count).to_vec(), open))
}

/// The last lines of a text; one that is not ended yet counts as well.
fn tail(text: &[u8], count: usize) -> &[u8] {
    let ended = text.strip_suffix(b"\n").unwrap_or(text);
    let begin = match count.checked_sub(1) {
        None => text.len(),
        Some(before) => ended
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
            .nth(before)
            .map_or(0, |(at, _)| at + 1),
    };
    &text[begin..]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_lines_are_whole_lines() {
        for (count, expected) in [(0, ""), (1, "c\n"), (2, "b\nc\n"), (9, "a\nb\nc\n")] {
            assert_eq!(tail(b"a\nb\nc\n", count), expected.as_bytes(), "{count}");
        }
        assert_eq!(tail(b"a\nb", 1), b"b");
        assert_eq!(tail(b"", 5), b"");
    }

    #[test]
    fn a_line_is_an_object_whatever_is_in_it() {
        let text = b"one \"1\"\n\n\xfftwo";
        let expected =
            "{\"line\":\"one \\\"1\\\"\"}\n{\"line\":\"\"}\n{\"line\":\"\u{fffd}two\"}\n";
        assert_eq!(String::from_utf8(objects(text)).unwrap(), expected);
        assert!(objects(b"").is_empty());
    }

    #[test]
    fn lines_that_were_put_aside_are_found_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::write(folder.path().join("x.log.2"), "1\n2\n").unwrap();
        fs::write(folder.path().join("x.log.1"), "3\n4\n").unwrap();
        let (text, open) = last_lines(&path, 3).unwrap();
        assert_eq!(
            (text.as_slice(), open.is_some()),
            (&b"2\n3\n4\n"[..], false)
        );
        fs::write(&path, "5\n").unwrap();
        let (text, open) = last_lines(&path, 2).unwrap();
        assert_eq!((text.as_slice(), open.is_some()), (&b"4\n5\n"[..], true));
    }
}
