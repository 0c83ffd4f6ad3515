//! Sessions that call without a pause, on every front, and the book of what they were told.
//!
//! Each request carries its owner's mark, and its answer is compared byte for byte. What the servers'
//! ledgers say is compared with what the sessions were told at the end, as in a soak.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::Value;

use super::{
    processes::until,
    session::PATIENCE,
    shown::{Shown, percentile},
};
use crate::{
    bench::{Caller, Front, is_hung_up},
    pipes::{Moved, Pipes},
    soak::{
        faults::{Class, Faults},
        record::{self, Fates, Kind, Outcome, Record, Records},
        words::{self, Mark},
    },
};

/// Requests that a session has open at once.
const WINDOW: usize = 4;

/// The least time between two requests of a session: the load is to be there, not to be all.
const PACE: Duration = Duration::from_millis(4);

/// Every so many requests is one that only reads.
const READ_EVERY: u64 = 4;

/// All sessions of a row, and what they have found.
#[derive(Debug, Default)]
pub(crate) struct Book {
    sessions: AtomicU16,
    faults: Faults,
    records: Mutex<Records>,
    told: Mutex<Told>,
}

/// What the sessions of a row were told.
#[derive(Debug, Default)]
struct Told {
    answers: Vec<Duration>,
    /// Of calls that were refused because their server had ended.
    refusals: Vec<Duration>,
    /// Requests that only read, and were refused.
    refused_reads: u64,
    /// Refusals that do not say whether the call may have been executed.
    unclear: u64,
    /// Connections over HTTP and WebSockets that broke.
    lost_connections: u64,
}

/// Sessions of one server.
pub(crate) struct Crowd<'a> {
    book: &'a Book,
    is_over: AtomicBool,
    /// The process that answered last.
    pub(crate) pid: AtomicU32,
    /// Sessions that have had an answer.
    at_work: AtomicU16,
    /// When each process answered for the first time.
    first_answers: Mutex<BTreeMap<u32, Instant>>,
    /// When the last request was sent to which a session has had an answer.
    last_answered: Mutex<BTreeMap<u16, Instant>>,
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(book: &'a Book) -> Crowd<'a> {
        Crowd {
            book,
            is_over: AtomicBool::new(false),
            pid: AtomicU32::new(0),
            at_work: AtomicU16::new(0),
            first_answers: Mutex::default(),
            last_answered: Mutex::default(),
        }
    }

    /// Its sessions shall end.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// How many of its sessions have had an answer.
    pub(crate) fn at_work(&self) -> usize {
        usize::from(self.at_work.load(Ordering::Acquire))
    }

    /// How many of its sessions have had an answer to what they asked after that.
    pub(crate) fn answered_since(&self, asked: Instant) -> usize {
        let last_answered = lock(&self.last_answered);
        last_answered.values().filter(|at| **at > asked).count()
    }

    /// The first answer of another process than this: its number, and when it came.
    pub(crate) fn successor(&self, of: u32, after: Instant) -> Option<(u32, Instant)> {
        let first_answers = lock(&self.first_answers);
        let later = first_answers
            .iter()
            .find(|(pid, at)| **pid != of && **at >= after);
        later.map(|(pid, at)| (*pid, *at))
    }

    /// Lives through one session over stdio, to the end of the crowd.
    pub(crate) fn attend(&self, command: Command) {
        self.live("stdio", |speaker| {
            let pipes = Pipes::open(command)?;
            Player { speaker, pipes }.live()
        });
    }

    /// The same over HTTP or a WebSocket, once there is a daemon behind the door.
    pub(crate) fn visit(&self, front: Front, door: &Door, server: &str) {
        self.live(front.name(), |speaker| {
            let mut met = None;
            let is_met = || {
                met = Caller::greeted(front, door.address, server).ok();
                met.is_some()
            };
            until(PATIENCE, is_met);
            let caller = met.context("nobody was met at the door")?;
            let visitor = Visitor {
                speaker,
                caller,
                door,
            };
            visitor.live()
        });
    }

    fn live(&self, front: &str, life: impl FnOnce(Speaker<'_>) -> anyhow::Result<()>) {
        let number = self.book.sessions.fetch_add(1, Ordering::Relaxed);
        let mut record = Record::default();
        let speaker = Speaker {
            crowd: self,
            number,
            record: &mut record,
            open: BTreeMap::new(),
            last_pid: 0,
        };
        if let Err(error) = life(speaker) {
            let what = format!("session {number} over {front}: {error:#}");
            self.book.faults.note(Class::Unexpected, what);
        }
        lock(&self.book.records).insert((number, 0), record);
    }
}

/// The processes that have answered last.
pub(crate) fn pids(crowds: &[Crowd<'_>]) -> BTreeSet<u32> {
    crowds
        .iter()
        .map(|crowd| crowd.pid.load(Ordering::Acquire))
        .collect()
}

impl Book {
    /// Something that must not be.
    pub(crate) fn note(&self, class: Class, what: String) {
        self.faults.note(class, what);
    }

    /// A number for a session that keeps its record itself, and hands it in.
    pub(crate) fn number(&self) -> u16 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn hand_in(&self, number: u16, record: Record) {
        lock(&self.records).insert((number, 0), record);
    }

    /// How many requests were said.
    pub(crate) fn requests(&self) -> u64 {
        let records = lock(&self.records);
        records.values().map(|record| record.0.len() as u64).sum()
    }

    /// How many calls were refused.
    pub(crate) fn refusals(&self) -> u64 {
        lock(&self.told).refusals.len() as u64
    }

    /// How many connections over HTTP and WebSockets broke.
    pub(crate) fn lost_connections(&self) -> u64 {
        lock(&self.told).lost_connections
    }

    pub(crate) fn longest_answer(&self) -> Duration {
        let told = lock(&self.told);
        told.answers.iter().copied().max().unwrap_or_default()
    }

    /// Compares with the ledgers, and shows what was told and what was done, with so many daemons
    /// killed.
    pub(crate) fn close(
        &self,
        ledgers: &Path,
        daemons_killed: u64,
        shown: &mut Shown,
    ) -> anyhow::Result<()> {
        let records = lock(&self.records);
        let fates = Fates {
            alive: &[],
            daemons_killed,
        };
        record::compare(&records, ledgers, fates, &self.faults)?;
        let told = lock(&self.told);
        let requests: usize = records.values().map(|record| record.0.len()).sum();
        shown.fact("requests", requests);
        shown.fact("errors to calls", told.refusals.len());
        for class in Class::ALL {
            shown.at_most(class.name(), self.faults.count(class) as u64, 0);
        }
        shown.at_most("errors to what only reads", told.refused_reads, 0);
        shown.at_most("errors that do not say if it ran", told.unclear, 0);
        if !told.refusals.is_empty() {
            shown.within(
                "error after, longest",
                percentile(&told.refusals, 100),
                Duration::from_secs(1),
            );
        }
        for words in self.faults.told() {
            shown.tell(words);
        }
        Ok(())
    }
}

/// What one session of a crowd says, and what it makes of what it hears.
struct Speaker<'a> {
    crowd: &'a Crowd<'a>,
    number: u16,
    record: &'a mut Record,
    open: BTreeMap<u64, Open>,
    last_pid: u32,
}

struct Open {
    kind: Kind,
    params: String,
    at: Instant,
}

impl Speaker<'_> {
    /// The next request.
    fn request(&mut self) -> String {
        let number = self.record.0.len() as u64 + 1;
        let mark = self.mark(number);
        let (kind, method, params) = if number.is_multiple_of(READ_EVERY) {
            let params = format!(r#"{{"uri":"soak://one","mark":{mark}}}"#);
            (Kind::Read, "resources/read", params)
        } else {
            let params = format!(r#"{{"name":"echo","arguments":{{"mark":{mark},"steps":0}}}}"#);
            (Kind::Call, "tools/call", params)
        };
        self.record.add(kind, self.last_pid);
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{params}}}"#);
        let at = Instant::now();
        self.open.insert(number, Open { kind, params, at });
        request
    }

    fn mark(&self, number: u64) -> Mark {
        Mark {
            client: self.number,
            generation: 0,
            number,
        }
    }

    /// The connection is gone, and whoever had it knows nothing of what was open.
    fn lose(&mut self) {
        for number in mem::take(&mut self.open).into_keys() {
            let maybe_executed = Some(true);
            self.record.set(number, Outcome::Refused { maybe_executed });
        }
        lock(&self.crowd.book.told).lost_connections += 1;
    }

    fn take(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let message: Value = serde_json::from_slice(line).context("reading a line")?;
        if message.get("method").is_some() {
            return Ok(()); // News of lists, after a restart.
        }
        let text = String::from_utf8_lossy(line);
        let number = message["id"].as_u64().unwrap_or(0);
        let Some(open) = self.open.remove(&number) else {
            let is_known = (1..=self.record.0.len() as u64).contains(&number);
            let class = if is_known {
                Class::Duplicated
            } else {
                Class::Misrouted
            };
            self.crowd
                .book
                .note(class, format!("nothing is open: {text}"));
            return Ok(());
        };
        let outcome = match message["result"]["pid"].as_u64() {
            Some(pid) => self.on_result(number, &open, u32::try_from(pid)?, &text),
            None => self.on_error(&open, &message),
        };
        self.record.set(number, outcome);
        Ok(())
    }

    fn on_result(&mut self, number: u64, open: &Open, pid: u32, text: &str) -> Outcome {
        let expected = words::result(&number.to_string(), self.mark(number), pid, &open.params);
        if expected != text {
            let what = format!("not {expected}: {text}");
            self.crowd.book.note(Class::Altered, what);
        }
        if self.last_pid == 0 {
            self.crowd.at_work.fetch_add(1, Ordering::AcqRel);
        }
        self.last_pid = pid;
        self.crowd.pid.store(pid, Ordering::Release);
        lock(&self.crowd.last_answered).insert(self.number, open.at);
        lock(&self.crowd.first_answers)
            .entry(pid)
            .or_insert_with(Instant::now);
        lock(&self.crowd.book.told).answers.push(open.at.elapsed());
        Outcome::Answered { pid }
    }

    fn on_error(&self, open: &Open, message: &Value) -> Outcome {
        let data = &message["error"]["data"];
        let maybe_executed = data["maybeExecuted"].as_bool();
        let reason = data["reason"].as_str().unwrap_or_default();
        let mut told = lock(&self.crowd.book.told);
        if open.kind == Kind::Read {
            told.refused_reads += 1;
        } else if maybe_executed.is_none() {
            told.unclear += 1;
        }
        if !["upstream-exited", "daemon-restarted"].contains(&reason) {
            let what = format!("an error: {message}");
            self.crowd.book.note(Class::Unexpected, what);
        }
        told.refusals.push(open.at.elapsed());
        Outcome::Refused { maybe_executed }
    }
}

/// One session of a crowd over stdio.
struct Player<'a> {
    speaker: Speaker<'a>,
    pipes: Pipes,
}

impl Player<'_> {
    fn live(mut self) -> anyhow::Result<()> {
        self.greet()?;
        let mut next = Instant::now();
        while !self.speaker.crowd.is_over.load(Ordering::Acquire) {
            let now = Instant::now();
            if now >= next && self.speaker.open.len() < WINDOW {
                let request = self.speaker.request();
                self.pipes.say(&request);
                next = now + PACE;
            }
            let patience = if self.speaker.open.len() < WINDOW {
                next.saturating_duration_since(now)
            } else {
                PACE
            };
            self.exchange(patience)?;
        }
        self.come_to_rest()?;
        self.pipes.close();
        while self.pipes.exchange(PATIENCE)? != Moved::End {}
        let status = self.pipes.ended()?;
        ensure!(status.success(), "a shim ended with {status}");
        Ok(())
    }

    fn greet(&mut self) -> anyhow::Result<()> {
        self.pipes.say(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"faults","version":"1"}}}"#,
        );
        let begun = Instant::now();
        loop {
            match self.pipes.exchange(PATIENCE)? {
                Moved::Something => {}
                Moved::Nothing => bail!("no greeting within {:?}", begun.elapsed()),
                Moved::End => bail!("the session ended before its greeting"),
            }
            if let Some(line) = self.pipes.line() {
                let answer = String::from_utf8_lossy(&line).into_owned();
                ensure!(answer.contains("protocolVersion"), "greeted with {answer}");
                self.pipes
                    .say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
                return Ok(());
            }
        }
    }

    fn exchange(&mut self, patience: Duration) -> anyhow::Result<Moved> {
        let moved = self.pipes.exchange(patience)?;
        if moved == Moved::End {
            bail!(
                "the session ended by itself, {} requests open",
                self.speaker.open.len()
            );
        }
        while let Some(line) = self.pipes.line() {
            self.speaker.take(&line)?;
        }
        Ok(moved)
    }

    fn come_to_rest(&mut self) -> anyhow::Result<()> {
        while !self.speaker.open.is_empty() {
            let moved = self.exchange(PATIENCE)?;
            ensure!(
                moved != Moved::Nothing,
                "{} requests had no answer within {PATIENCE:?}",
                self.speaker.open.len()
            );
        }
        Ok(())
    }
}

/// One session of a crowd over HTTP or a WebSocket, which has one request open at a time.
struct Visitor<'a> {
    speaker: Speaker<'a>,
    caller: Caller,
    door: &'a Door,
}

impl Visitor<'_> {
    fn live(mut self) -> anyhow::Result<()> {
        while !self.speaker.crowd.is_over.load(Ordering::Acquire) {
            let request = self.speaker.request();
            let mut broke = self.caller.say(&request).err();
            while broke.is_none() && !self.speaker.open.is_empty() {
                match self.caller.message() {
                    Ok(message) => self.speaker.take(&message)?,
                    Err(error) => broke = Some(error),
                }
            }
            if let Some(error) = broke {
                ensure!(is_hung_up(&error), "{error:#}");
                self.speaker.lose();
                self.come_again().context(error)?;
            }
            thread::sleep(PACE);
        }
        self.caller.leave()
    }

    /// Whoever is in front of the next daemon's door is let in before long, over HTTP as who it was.
    fn come_again(&mut self) -> anyhow::Result<()> {
        let mut last = None;
        let is_in = || {
            let back = self.caller.come_again(self.door.address);
            last = back.err();
            last.is_none()
        };
        match until(PATIENCE, is_in) {
            Some(_) => Ok(()),
            None => Err(last.unwrap_or_else(|| anyhow!("nobody opened"))),
        }
    }
}

/// Where a daemon is met over HTTP and WebSockets, whichever daemon that is.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
}

impl Door {
    /// One that is nobody else's now.
    pub(crate) fn new() -> anyhow::Result<Door> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok(Door { address })
    }

    /// The part of a configuration that says so.
    pub(crate) fn configured(&self) -> String {
        format!("[http]\nlisten = [\"{}\"]\n", self.address)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
