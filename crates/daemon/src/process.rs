//! Processes of servers, which the guardian starts and stops for us.
//!
//! **Invariant:** the core hears of each start exactly one outcome, and of each process that ran exactly
//! one end: after its last words have been read, and if it was told to end, after all below it are gone.

mod guardian;
mod inheritance;
mod note;
mod pipes;
mod remote;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use ::guardian::protocol::Patience;
use bytes::Bytes;
use mux::{Exit, Program, Route, UpstreamId};
use serde::{Deserialize, Serialize};
use sys::handed;
use wire::{Frame, Kind, Outgoing};

use crate::{
    hub::{ProcessId, Surroundings},
    launch::LaunchSpec,
    link::{Outlet, ProcessReader, Reading, Rest as Unread, Sink, Source, Unwritten},
    logs::{Logs, ServerLog, Veil, drain_errors},
    upgrade::{FrozenProcess, Handed, Hex},
    upstream::MARK_BYTES,
};

pub(crate) use guardian::Guardian;
pub(crate) use inheritance::{Inheritance, await_readable};
pub(crate) use note::Note;
use pipes::Pipes;
use remote::Remote;

/// How long a server may take to end, and then its tree.
pub(crate) const STOP_PATIENCE: Patience = Patience {
    eof: Duration::from_secs(2),
    term: Duration::from_secs(3),
};

/// The same for a user who has asked twice.
pub(crate) const HURRY: Patience = Patience {
    eof: Duration::ZERO,
    term: Duration::from_millis(500),
};

/// Why there is no upgrade while there are such servers.
pub(crate) const ELSEWHERE: &str = "servers are connected over WebSocket, or the HTTP and SSE of 2024-11-05, and an upgrade cannot hand them over; try again when their sessions have ended";

/// How long the output of a process that has ended may be held open by somebody else.
pub(crate) const OUTPUT_PATIENCE: Duration = Duration::from_millis(200);

/// One process of an upstream, from the order to start it until nothing of it is left.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Process {
    pub(crate) upstream: UpstreamId,
    pub(crate) server: Arc<str>,
    /// By what sessions share it, but for what the core adds; `None` if the core
    /// does not keep it.
    pub(crate) route: Option<Route>,
    /// What waits for it to read; `None` once its standard input is closed.
    pub(crate) outlet: Option<Outlet>,
    /// What it never got, once it turned out that it reads no more.
    unwritten: Option<Unwritten>,
    pub(crate) log: ServerLog,
    /// What it was started from, if that is known.
    pub(crate) program: Option<Program>,
    /// Its process id, once it runs.
    pub(crate) pid: Option<u32>,
    /// Set if it is no process at all, but runs elsewhere.
    remote: Option<Box<Remote>>,
    /// Its standard output and error; `None` if nobody can read them.
    outputs: Option<(Source, Source)>,
    reader: Reading<Unread>,
    /// Whoever drains its standard error.
    drain: Reading<Vec<u8>>,
    /// What of it is still to come.
    rest: Rest,
    /// Whether the core knows that it does not read.
    pub(crate) blocked: bool,
    /// Whether somebody waits for room in its standard input.
    pub(crate) awaiting_room: bool,
    /// Whether its standard input is closed once what waits is written.
    pub(crate) closing: bool,
    /// Whether it is among those to be flushed.
    pub(crate) touched: bool,
    /// Whether its next line may be the rest of one that a daemon before us had begun to read.
    pub(crate) is_cut_off: bool,
}

/// What is still to come of a process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Rest {
    exit: Option<Exit>,
    gone: bool,
    output_ended: bool,
    errors_ended: bool,
    /// Whether somebody looks at the clock for its outputs.
    overdue_set: bool,
}

/// What to do after something of a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// More is to come.
    NotYet,
    /// It has closed its output, and may live on for ever: it is to be stopped.
    IsMute,
    /// Only the outputs are open still: give them [`OUTPUT_PATIENCE`].
    AwaitOutputs,
    /// Nothing more is heard of it, though what it has started may still be there.
    Over(Exit),
}

impl Process {
    /// Makes its pipes and asks the guardian to start it.
    pub(crate) fn start(
        guardian: &mut Guardian,
        process: ProcessId,
        upstream: UpstreamId,
        server: &Arc<str>,
        spec: &LaunchSpec,
        logs: &Logs,
        outlet_to: impl FnOnce(Sink) -> Outlet,
    ) -> Result<Process, String> {
        let (pipes, guardians) =
            Pipes::new().map_err(|error| format!("no pipes could be made: {error}"))?;
        guardian.spawn(process, spec, guardians)?;
        let mut started = Process::silent(upstream, server, logs);
        started.log.draw(Veil::of(spec));
        started.connect(pipes, outlet_to);
        Ok(started)
    }

    /// One that a daemon before us had started. Without pipes it is on its way out.
    pub(crate) fn inherit(
        upstream: UpstreamId,
        server: &Arc<str>,
        pipes: Option<[OwnedFd; 3]>,
        logs: &Logs,
        outlet_to: impl FnOnce(Sink) -> Outlet,
    ) -> io::Result<Process> {
        let mut inherited = Process::silent(upstream, server, logs);
        if let Some(pipes) = pipes {
            inherited.connect(Pipes::of(pipes)?, outlet_to);
            inherited.is_cut_off = true;
            // The end of a line that may have been cut off; alone it is a blank one.
            if let Some(outlet) = &mut inherited.outlet {
                outlet.push(Outgoing::from(String::new()), None);
            }
        } else {
            inherited.rest.output_ended = true;
            inherited.rest.errors_ended = true;
        }
        Ok(inherited)
    }

    /// One that nobody can talk to.
    fn silent(upstream: UpstreamId, server: &Arc<str>, logs: &Logs) -> Process {
        Process {
            upstream,
            server: Arc::clone(server),
            route: None,
            outlet: None,
            unwritten: None,
            log: ServerLog::new(logs.clone(), server, upstream.to_string()),
            program: None,
            pid: None,
            remote: None,
            outputs: None,
            reader: Reading::NotYet,
            drain: Reading::NotYet,
            rest: Rest::default(),
            blocked: false,
            awaiting_room: false,
            closing: false,
            touched: false,
            is_cut_off: false,
        }
    }

    fn connect(&mut self, pipes: Pipes, outlet_to: impl FnOnce(Sink) -> Outlet) {
        self.outlet = Some(outlet_to(Sink::Pipe(pipes.input)));
        self.outputs = Some((Source::Pipe(pipes.output), Source::Pipe(pipes.errors)));
    }

    /// It runs: its outputs are read from now on.
    pub(crate) fn on_running(&mut self, process: ProcessId, pid: u32, around: &Surroundings) {
        self.pid = Some(pid);
        let how = if self.is_cut_off {
            self.log.draw(Veil::of_process(pid));
            "taken over"
        } else {
            "started"
        };
        self.log.remark(&format!("{how}, process {pid}"));
        self.begin_reading(process, around);
    }

    /// It has not answered our greeting as it should.
    pub(crate) fn remark_ungreeted(&self, why: &str) {
        let why = self.log.veil().over_words(why);
        self.log.remark(&format!("not greeted: {why}"));
    }

    fn begin_reading(&mut self, process: ProcessId, around: &Surroundings) {
        self.reader = Reading::resumed(&[], self.line_bytes(around));
        self.drain = Reading::Halted(Vec::new());
        self.go_on(process, around);
    }

    /// How long a line of its output may be.
    fn line_bytes(&self, around: &Surroundings) -> usize {
        let mark = if self.is_remote() { MARK_BYTES } else { 0 };
        around.limits.message_bytes.saturating_add(mark)
    }

    /// Has its outputs read, from where readers stopped.
    pub(crate) fn go_on(&mut self, process: ProcessId, around: &Surroundings) {
        if let Some(remote) = &mut self.remote {
            remote.hold_no_longer();
        }
        let Some((output, errors)) = self.outputs.clone() else {
            return;
        };
        self.reader
            .go_on("server reader", &around.halt, |rest, halt| {
                let reader = ProcessReader {
                    process,
                    source: output,
                    floods: Arc::clone(&around.floods),
                    inbox: around.inbox.clone(),
                    room: Arc::clone(&around.room),
                };
                reader.run(rest, halt)
            });
        let log = self.log.another();
        let inbox = around.inbox.clone();
        self.drain.go_on("server log", &around.halt, |begun, halt| {
            drain_errors(errors, process, log, (inbox, halt), begun)
        });
    }

    /// Returns when its readers have halted.
    pub(crate) async fn has_halted(&mut self) {
        self.reader.ended().await;
        self.drain.ended().await;
        if let Some(remote) = &mut self.remote {
            remote.hold();
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        self.reader.runs() || self.drain.runs()
    }

    /// What the program that takes our place has to know of it; an error if that is not possible now.
    pub(crate) fn freeze<'a>(
        &'a self,
        id: ProcessId,
        handed: &mut Handed<'a>,
    ) -> Result<FrozenProcess, &'static str> {
        let unread = self.reader.unread();
        let unread =
            unread.map_err(|_| "a server is in the middle of a message that is too long")?;
        let outlet = self.outlet.as_ref();
        Ok(FrozenProcess {
            id: id.0,
            upstream: self.upstream,
            server: Arc::clone(&self.server),
            program: self.program,
            pid: self.pid,
            outlet: outlet.map(|outlet| (handed.over(outlet.sink().as_fd()), outlet.freeze())),
            outputs: self
                .outputs
                .as_ref()
                .map(|(output, errors)| [output.as_fd(), errors.as_fd()].map(|fd| handed.over(fd))),
            has_reader: self.reader.is_open(),
            unread: Hex(unread),
            has_drain: self.drain.is_open(),
            unfinished: match &self.drain {
                Reading::Halted(begun) => Hex(begun.clone()),
                Reading::NotYet | Reading::Runs(_) | Reading::Over => Hex::default(),
            },
            unwritten: self.unwritten.as_ref().map(Unwritten::messages),
            rest: self.rest.clone(),
            is_blocked: self.blocked,
            is_closing: self.closing,
            is_cut_off: self.is_cut_off,
            veil: Some(self.log.veil().clone()),
            remote: match &self.remote {
                Some(remote) => Some(remote.freeze(handed)?),
                None => None,
            },
        })
    }

    /// Goes on with one that the program before us had.
    pub(crate) fn thaw(frozen: FrozenProcess, around: &Surroundings) -> io::Result<Process> {
        let limit = around.limits.slow_server_bytes;
        let outlet = match frozen.outlet {
            None => None,
            Some((fd, outlet)) => {
                let sink = Sink::Pipe(pipes::input(handed::take(fd)?)?);
                Some(Outlet::thaw(outlet, sink, limit, &around.room))
            }
        };
        let outputs = match frozen.outputs {
            None => None,
            Some([output, errors]) => Some((
                Source::Pipe(pipes::output(handed::take(output)?)?),
                Source::Pipe(pipes::output(handed::take(errors)?)?),
            )),
        };
        let drain = match (frozen.has_drain, frozen.pid) {
            (true, _) => Reading::Halted(frozen.unfinished.0),
            (false, Some(_)) => Reading::Over,
            (false, None) => Reading::NotYet,
        };
        let unwritten = frozen
            .unwritten
            .map(|messages| Unwritten::of(messages, &around.room));
        let mut process = Process::silent(frozen.upstream, &frozen.server, &around.logs);
        if let Some(remote) = frozen.remote {
            let job = (ProcessId(frozen.id), Arc::clone(&frozen.server));
            process.remote = Some(Box::new(Remote::thaw(job, remote, around)?));
        }
        process.reader = match (frozen.has_reader, frozen.pid) {
            (true, _) => Reading::Halted(Unread::of(&frozen.unread.0, process.line_bytes(around))),
            (false, Some(_)) => Reading::Over,
            (false, None) => Reading::NotYet,
        };
        process.outlet = outlet;
        process.outputs = outputs;
        process.drain = drain;
        process.unwritten = unwritten;
        process.program = frozen.program;
        process.pid = frozen.pid;
        let of_process = || frozen.pid.map(Veil::of_process).unwrap_or_default();
        process.log.draw(frozen.veil.unwrap_or_else(of_process));
        process.rest = frozen.rest;
        process.blocked = frozen.is_blocked;
        process.closing = frozen.is_closing;
        process.is_cut_off = frozen.is_cut_off;
        Ok(process)
    }

    /// Whether nothing of it and all that it has started is left.
    pub(crate) fn is_gone(&self) -> bool {
        self.rest.gone
    }

    /// Whether it has ended, and somebody looks at the clock until its outputs end.
    pub(crate) fn awaits_outputs(&self) -> bool {
        self.rest.overdue_set
    }

    /// Puts in a message for it to read. Says whether it is to be flushed.
    pub(crate) fn push(&mut self, message: Outgoing) -> bool {
        match (&mut self.outlet, &mut self.unwritten) {
            (Some(outlet), _) => {
                outlet.push(message, None);
                return true;
            }
            (None, Some(unwritten)) => unwritten.push(message),
            // It was to end and had read its last message.
            (None, None) => {}
        }
        false
    }

    /// It reads no more, though more was meant for it.
    pub(crate) fn stop_writing(&mut self) {
        if let Some(outlet) = self.outlet.take() {
            self.unwritten = Some(outlet.into_unwritten());
        }
    }

    /// The requests among what was meant for it and was never written, now that it is gone.
    pub(crate) fn unwritten_requests(&mut self) -> Vec<Frame> {
        self.stop_writing();
        let messages = self.unwritten.take().map(Unwritten::into_messages);
        let unwritten = messages
            .unwrap_or_default()
            .into_iter()
            .filter_map(|message| Frame::parse(in_one_piece(&message)).ok())
            .filter(|frame| frame.kind() == Kind::Request);
        let undelivered = self.undelivered().into_iter();
        undelivered.chain(unwritten).collect()
    }

    pub(crate) fn on_exited(&mut self, exit: Exit) -> Ending {
        self.log.remark(&exit.to_string());
        self.rest.exit = Some(exit);
        self.ending()
    }

    pub(crate) fn on_gone(&mut self) -> Ending {
        self.rest.gone = true;
        self.ending()
    }

    /// `unfinished` bytes of a last line have come, and not its end: that is no message.
    pub(crate) fn on_output_ended(&mut self, unfinished: usize) -> Ending {
        if unfinished > 0 {
            self.log.remark(&format!(
                "its last line has no end: {unfinished} bytes are dropped"
            ));
        }
        self.rest.output_ended = true;
        // Most end just so; one that does not can never answer again.
        if self.rest.exit.is_none() && !self.rest.gone {
            return Ending::IsMute;
        }
        self.ending()
    }

    pub(crate) fn on_errors_ended(&mut self) -> Ending {
        self.rest.errors_ended = true;
        self.ending()
    }

    /// Its outputs have been given time enough.
    pub(crate) fn on_overdue(&mut self) -> Ending {
        self.rest.output_ended = true;
        self.rest.errors_ended = true;
        self.ending()
    }

    fn ending(&mut self) -> Ending {
        self.rest.ending(self.closing)
    }
}

impl Rest {
    /// Whoever waits for an answer of a process that has died is not to wait for all that it has started;
    /// of one that `was_told` to end nobody does.
    fn ending(&mut self, was_told: bool) -> Ending {
        let has_ended = self.gone || (self.exit.is_some() && !was_told);
        if !has_ended {
            return Ending::NotYet;
        }
        if self.output_ended && self.errors_ended {
            return Ending::Over(self.exit.unwrap_or(Exit::Unknown));
        }
        if self.overdue_set {
            return Ending::NotYet;
        }
        self.overdue_set = true;
        Ending::AwaitOutputs
    }
}

fn in_one_piece(message: &Outgoing) -> Bytes {
    match message.pieces() {
        [whole] => whole.clone(),
        _several => Bytes::from(message.to_vec()),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reader.abort();
        self.drain.abort();
        self.log.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(gone: bool) -> Rest {
        Rest {
            exit: Some(Exit::Signal(9)),
            gone,
            ..Rest::default()
        }
    }

    #[test]
    fn a_process_that_died_is_over_before_all_that_it_has_started() {
        let mut rest = ended(false);
        assert_eq!(rest.ending(false), Ending::AwaitOutputs);
        rest.output_ended = true;
        assert_eq!(rest.ending(false), Ending::NotYet, "asked for once");
        rest.errors_ended = true;
        assert_eq!(rest.ending(false), Ending::Over(Exit::Signal(9)));
    }

    #[test]
    fn a_process_that_was_told_to_end_is_over_with_all_that_it_has_started() {
        let mut rest = ended(false);
        (rest.output_ended, rest.errors_ended) = (true, true);
        assert_eq!(rest.ending(true), Ending::NotYet);
        rest.gone = true;
        assert_eq!(rest.ending(true), Ending::Over(Exit::Signal(9)));
        assert_eq!(ended(true).ending(true), Ending::AwaitOutputs);
    }
}
