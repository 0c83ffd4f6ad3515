//! Sessions that are no good neighbours. Each makes its noise while it is told to, and then comes to rest.
//!
//! **Invariant:** all noise is bounded: in time by whoever measures, and each kind by an amount of its own.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::pipes::{Moved, Pipes};

/// Bytes that a flooding session has ready to be written: it never waits for an answer.
const READY: usize = 256 << 10;

/// Lines that a flooding session puts in at once.
const BATCH: u64 = 64;

/// What one flood may write in all: some seconds at full speed.
const LINES_MAX: u64 = 3_000_000;

/// One answer that a slow reader asks for, and how many of them in one go: 50 MB.
const BLOB: usize = 1_000_000;
const BLOBS: u64 = 50;

/// How a slow reader reads: 1 KiB/s, a little at a time.
const SIP: usize = 102;
const SIP_EVERY: Duration = Duration::from_millis(100);

/// What a server may write to its standard error in one go, and how often it is made to begin again.
const ERRORS: usize = 1_000_000_000;
const ERRORS_EVERY: Duration = Duration::from_millis(20);

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A way to be a nuisance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Calls, written as fast as they are taken.
    Calls,
    /// Lines that are no messages, each of which is refused.
    Garbage,
    /// 50 MB that were asked for, and are read at 1 KiB/s.
    SlowReader,
    /// A server that writes up to 1 GB to its standard error, as fast as that is taken.
    Errors,
}

impl Noise {
    pub(crate) const ALL: [Noise; 4] = [
        Noise::Calls,
        Noise::Garbage,
        Noise::SlowReader,
        Noise::Errors,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Noise::Calls => "calls",
            Noise::Garbage => "garbage",
            Noise::SlowReader => "slow reader",
            Noise::Errors => "standard error",
        }
    }
}

/// One such session.
#[derive(Debug)]
pub(crate) struct Hostile {
    noise: Noise,
    pipes: Pipes,
    /// Lines that are to be answered, and answers.
    said: u64,
    heard: u64,
}

impl Hostile {
    pub(crate) fn open(command: Command, noise: Noise) -> anyhow::Result<Hostile> {
        let mut hostile = Hostile {
            noise,
            pipes: Pipes::open(command)?,
            said: 0,
            heard: 0,
        };
        hostile.say(
            r#""method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"hostile","version":"1"}}"#,
        );
        hostile.come_to_rest()?;
        hostile
            .pipes
            .say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        hostile.call("echo", "{}");
        hostile.come_to_rest()?;
        Ok(hostile)
    }

    /// Makes noise until told to stop, or until it has made enough, and comes to rest.
    pub(crate) fn run(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        match self.noise {
            Noise::Calls | Noise::Garbage => self.flood(stop),
            Noise::SlowReader => self.read_slowly(stop),
            Noise::Errors => self.have_errors_written(stop),
        }
        .with_context(|| format!("making noise with {}", self.noise.name()))?;
        self.come_to_rest()
    }

    fn flood(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let begun = self.said;
        while !stop.load(Ordering::Relaxed) && self.said - begun < LINES_MAX {
            while self.pipes.unsaid() < READY {
                for _ in 0..BATCH {
                    if self.noise == Noise::Calls {
                        self.call("echo", r#"{"text":"hello, server"}"#);
                    } else {
                        self.pipes
                            .say("this is not a message, and there is a lot of it");
                        self.said += 1;
                    }
                }
            }
            self.exchange()?;
        }
        Ok(())
    }

    fn read_slowly(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        for _ in 0..BLOBS {
            self.call("blob", &format!(r#"{{"bytes":{BLOB}}}"#));
        }
        let begun = Instant::now();
        while !stop.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
            self.heard += self.pipes.sip(SIP)?;
            std::thread::sleep(SIP_EVERY);
        }
        Ok(())
    }

    fn have_errors_written(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.call("flood", &format!(r#"{{"bytes":{ERRORS}}}"#));
            self.come_to_rest()?;
            std::thread::sleep(ERRORS_EVERY);
        }
        self.call("calm", "{}");
        Ok(())
    }

    fn come_to_rest(&mut self) -> anyhow::Result<()> {
        while self.heard < self.said {
            self.exchange()?;
        }
        Ok(())
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        let moved = self.pipes.exchange(PATIENCE)?;
        ensure!(moved == Moved::Something, "{moved:?} came");
        self.heard += self.pipes.drop_lines();
        Ok(())
    }

    fn call(&mut self, tool: &str, arguments: &str) {
        self.say(&format!(
            r#""method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}"#
        ));
    }

    fn say(&mut self, rest: &str) {
        self.said += 1;
        let id = self.said;
        self.pipes
            .say(&format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}}}"#));
    }
}
