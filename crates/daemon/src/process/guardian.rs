//! Our side of the talk with the guardian, the parent of all servers.
//!
//! **Invariant:** orders leave in the order in which they were given; when the guardian ends, every
//! order and report of it is void. There is never more than one: what a daemon before us has left is
//! taken over, or has ended before another is started.

use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream as StdStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Command as Program, Stdio},
    sync::Arc,
};

use ::guardian::{
    orphans,
    protocol::{Command, Patience, Receiver, Spawn, send_with_fds},
};
use mux::Epoch;
use rustix::{
    io::Errno,
    process::{Pid, Rlimit, WaitId, WaitIdOptions, waitid},
};
use sys::{handed, process::Hold};
use tokio::{
    io::Interest,
    net::{UnixStream, unix::pipe},
    sync::{futures::OwnedNotified, mpsc::Sender},
};

use super::inheritance::{Predecessor, number};

use crate::{
    hub::{Input, Peer, ProcessId},
    launch::LaunchSpec,
    link::{Halt, Reading, Stopped, until_halted},
    observe, tasks,
    upgrade::{FrozenGuardian, Handed, Hex},
};

/// Starts the guardian when it is needed, and talks to it.
#[derive(Debug)]
pub(crate) struct Guardian {
    program: PathBuf,
    /// Where the next daemon will meet the one that we start.
    meeting_place: PathBuf,
    /// The daemon's, which whoever we start has to know.
    epoch: Epoch,
    /// How many files a server may open, as it was before the daemon raised its own limit.
    files: Rlimit,
    inbox: Sender<Input>,
    halt: Halt,
    /// How many there have been.
    count: u64,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Whether it starts nothing any more: it is a daemon's before us that has given up waiting.
    ending: bool,
    socket: Arc<UnixStream>,
    life: Life,
    orders: VecDeque<Order>,
    awaiting_room: bool,
    listener: Reading<Receiver>,
}

/// An encoded command on its way.
#[derive(Debug)]
struct Order {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

impl Guardian {
    /// One that is started by the first order. `program` is `mcpool`; `files` is what its children
    /// may have open; at `meeting_place` it will wait for the daemon after us.
    pub(crate) fn new(
        program: PathBuf,
        meeting_place: PathBuf,
        epoch: Epoch,
        files: Rlimit,
        (inbox, halt): (Sender<Input>, Halt),
    ) -> Self {
        Guardian {
            program,
            meeting_place,
            epoch,
            files,
            inbox,
            halt,
            count: 0,
            running: None,
        }
    }

    /// Goes on with the guardian of a daemon before us.
    pub(crate) fn take_over(&mut self, predecessor: Predecessor) -> io::Result<()> {
        let Predecessor {
            socket,
            receiver,
            pid,
            hold,
            ending,
        } = predecessor;
        socket.set_nonblocking(true)?;
        let life = Life {
            pid,
            hold: Arc::new(hold),
            whose: orphans::Guardian::Inherited,
        };
        self.watch(UnixStream::from_std(socket)?, receiver, life, ending);
        Ok(())
    }

    /// Returns when whoever listens to it has halted.
    pub(crate) async fn has_halted(&mut self) {
        if let Some(running) = &mut self.running {
            running.listener.ended().await;
        }
    }

    pub(crate) fn is_listened_to(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.listener.runs())
    }

    /// Listens on after a halt.
    pub(crate) fn go_on(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let (count, life) = (self.count, running.life.clone());
        let socket = Arc::clone(&running.socket);
        let inbox = self.inbox.clone();
        running
            .listener
            .go_on("guardian", &self.halt, |receiver, halt| {
                listen(count, socket, receiver, life, (inbox, halt))
            });
    }

    /// What the program that takes our place has to know of it; an error if that is not possible now.
    pub(crate) fn freeze<'a>(
        &'a self,
        handed: &mut Handed<'a>,
    ) -> Result<Option<FrozenGuardian>, &'static str> {
        let Some(running) = &self.running else {
            return Ok(None);
        };
        if !running.orders.is_empty() {
            return Err("the guardian has not taken in all orders yet");
        }
        let unread = match &running.listener {
            Reading::Halted(receiver) => receiver.unread(),
            Reading::NotYet | Reading::Runs(_) => &[],
            Reading::Over => return Err("the guardian has just ended"),
        };
        Ok(Some(FrozenGuardian {
            pid: running.life.number(),
            hold: handed.over(running.life.hold.as_fd()),
            socket: handed.over(running.socket.as_fd()),
            is_ours: running.life.whose == orphans::Guardian::Ours,
            is_ending: running.ending,
            unread: Hex(unread.to_vec()),
        }))
    }

    /// Goes on with the one that the program before us had.
    pub(crate) fn thaw(&mut self, frozen: &FrozenGuardian) -> io::Result<()> {
        let nobody = || io::Error::other("a process without a number");
        let pid = Pid::from_raw(frozen.pid.cast_signed()).ok_or_else(nobody)?;
        let life = Life {
            pid,
            hold: Arc::new(Hold::handed_over(handed::take(frozen.hold)?, pid)),
            whose: if frozen.is_ours {
                orphans::Guardian::Ours
            } else {
                orphans::Guardian::Inherited
            },
        };
        let socket = StdStream::from(handed::take(frozen.socket)?);
        let receiver = Receiver::with_unread(&frozen.unread.0);
        self.watch(
            UnixStream::from_std(socket)?,
            receiver,
            life,
            frozen.is_ending,
        );
        Ok(())
    }

    /// Whether nothing can be started for now: the guardian of a daemon before us still ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.ending)
    }

    /// The process id, while one runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.life.number())
    }

    /// Has a server started. The error is for a person.
    pub(crate) fn spawn(
        &mut self,
        process: ProcessId,
        spec: &LaunchSpec,
        fds: [OwnedFd; 6],
    ) -> Result<(), String> {
        let command = Command::Spawn(Spawn {
            upstream: process.0,
            program: spec.program.clone(),
            arguments: spec.arguments.clone(),
            environment: spec
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            directory: spec.directory.clone(),
            umask: spec.umask,
        });
        let bytes = command.encode().map_err(|error| {
            format!("its command line or environment cannot be passed on: {error}")
        })?;
        self.ensure_running().map_err(|error| {
            format!(
                "the guardian {} did not start: {error}",
                self.program.display()
            )
        })?;
        self.order(bytes, fds.into());
        Ok(())
    }

    /// Leaves to the daemon after us what it has to know of a server.
    pub(crate) fn keep(&mut self, process: ProcessId, record: Vec<u8>) {
        let upstream = process.0;
        self.order_if_running(&Command::Record { upstream, record });
    }

    /// Has a server stopped, with all below it.
    pub(crate) fn stop(&mut self, process: ProcessId, patience: Patience) {
        let upstream = process.0;
        self.order_if_running(&Command::Stop { upstream, patience });
    }

    /// Has all servers stopped, and the guardian end. Says whether there is one that will.
    pub(crate) fn shut_down(&mut self, patience: Patience) -> bool {
        self.order_if_running(&Command::Shutdown { patience });
        self.running.is_some()
    }

    /// There is room in its socket again.
    pub(crate) fn on_room(&mut self, guardian: u64) {
        if guardian == self.count
            && let Some(running) = &mut self.running
        {
            running.awaiting_room = false;
            self.flush();
        }
    }

    /// Whether a report is from the one that runs.
    pub(crate) fn is_current(&self, guardian: u64) -> bool {
        guardian == self.count && self.running.is_some()
    }

    /// It has ended. Says whether it was the one that ran.
    pub(crate) fn on_ended(&mut self, guardian: u64) -> bool {
        let was_current = self.is_current(guardian);
        if was_current {
            self.running = None;
        }
        was_current
    }

    fn order_if_running(&mut self, command: &Command) {
        if self.running.is_none() {
            return;
        }
        match command.encode() {
            Ok(bytes) => self.order(bytes, Vec::new()),
            // Numbers alone always fit; a server whose record does not is not taken over.
            Err(error) => tracing::debug!(%error, "an order could not be encoded"),
        }
    }

    fn order(&mut self, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        if let Some(running) = &mut self.running {
            running.orders.push_back(Order {
                bytes,
                sent: 0,
                fds,
            });
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        while !running.awaiting_room
            && let Some(order) = running.orders.front_mut()
        {
            let fds: Vec<BorrowedFd<'_>> = order.fds.iter().map(AsFd::as_fd).collect();
            let rest = order.bytes.get(order.sent..).unwrap_or_default();
            match send_with_fds(&*running.socket, rest, &fds) {
                Ok(sent) => {
                    order.sent += sent;
                    order.fds.clear();
                    if order.sent == order.bytes.len() {
                        running.orders.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    running.awaiting_room = true;
                    await_room(self.count, &running.socket, self.inbox.clone());
                }
                // It has ended; whoever reads from it says so.
                Err(_) => return,
            }
        }
    }

    fn ensure_running(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let (ours, theirs) = StdStream::pair()?;
        let mut program = Program::new(&self.program);
        program
            .arg0("mcpool")
            .arg("guardian")
            .arg(&self.meeting_place)
            .arg(self.epoch.0.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null());
        // Too many open files are our concern, not that of servers that loop over them.
        sys::child::limit_files(&mut program, self.files);
        let child = program.spawn()?;
        // Its number is its own until we have waited for it.
        let pid = Pid::from_child(&child);
        let life = Life {
            pid,
            hold: Arc::new(Hold::of(pid)?),
            whose: orphans::Guardian::Ours,
        };
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        observe::guardian_started(life.number());
        self.watch(socket, Receiver::default(), life, false);
        Ok(())
    }

    /// Talks to this one from now on.
    fn watch(&mut self, socket: UnixStream, receiver: Receiver, life: Life, ending: bool) {
        let socket = Arc::new(socket);
        self.count += 1;
        self.running = Some(Running {
            ending,
            socket,
            life,
            orders: VecDeque::new(),
            awaiting_room: false,
            listener: Reading::Halted(receiver),
        });
        self.go_on();
    }
}

/// A guardian's process.
#[derive(Clone, Debug)]
struct Life {
    pid: Pid,
    hold: Arc<Hold>,
    /// Whose child it is.
    whose: orphans::Guardian,
}

impl Life {
    fn number(&self) -> u32 {
        number(self.pid)
    }

    /// Returns when it has ended. Its socket has ended before, so it is about to.
    async fn ended(&self) -> io::Result<()> {
        // The runtime's type for what is only read, whatever it is.
        let watch =
            pipe::Receiver::from_owned_fd_unchecked(self.hold.as_fd().try_clone_to_owned()?)?;
        watch.readable().await?;
        if self.whose == orphans::Guardian::Ours {
            // Our own child, which nobody else waits for: the number is its own until here.
            match waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED) {
                // Who listened before has waited for it, and was halted after that.
                Ok(_) | Err(Errno::CHILD) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Reports when there is room in the socket again.
fn await_room(guardian: u64, socket: &Arc<UnixStream>, inbox: Sender<Input>) {
    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let _ours = socket.try_io(Interest::WRITABLE, nothing);
    let socket = Arc::clone(socket);
    tasks::spawn("guardian room", async move {
        let _gone = socket.writable().await;
        let _hub_gone = inbox.send(Input::Room(Peer::Guardian(guardian))).await;
    });
}

/// Passes on what the guardian tells until it ends, and sees it off; or until all are to stop, and hands
/// out what it has received and not passed on.
async fn listen(
    guardian: u64,
    socket: Arc<UnixStream>,
    mut receiver: Receiver,
    life: Life,
    (inbox, halt): (Sender<Input>, OwnedNotified),
) -> Stopped<Receiver> {
    let to_the_end = async {
        let hearing = hear(guardian, &socket, &mut receiver, &inbox);
        if let Some(Err(error)) = tasks::caught("guardian", hearing).await {
            tracing::debug!(%error, "the guardian cannot be understood");
        }
        // If it still runs and only talks nonsense, this makes it end.
        let _gone = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both);
        match life.ended().await {
            // Before anybody hears of it: there must not be two of any server.
            Ok(()) => end_orphans(life.number(), life.whose).await,
            Err(error) => tracing::debug!(%error, "the end of the guardian was not seen"),
        }
        let _hub_gone = inbox.send(Input::GuardianEnded { guardian }).await;
    };
    let has_ended = until_halted(halt, "guardian", to_the_end).await;
    Stopped::with(has_ended, receiver)
}

/// Ends what a guardian left behind that was killed. One that ended in order left nothing.
async fn end_orphans(guardian: u32, whose: orphans::Guardian) {
    match tasks::aside(move || orphans::end(guardian, whose)).await {
        Ok(0) => {}
        Ok(survivors) => observe::orphans_survived(survivors),
        Err(error) => tracing::debug!(%error, "orphans were not looked for"),
    }
}

async fn hear(
    guardian: u64,
    socket: &UnixStream,
    receiver: &mut Receiver,
    inbox: &Sender<Input>,
) -> io::Result<()> {
    loop {
        loop {
            // Taken out only when there is a place for it, as we may have to stop meanwhile.
            let place = inbox.reserve().await.map_err(io::Error::other)?;
            // Descriptors come only with what was there before us, which has been taken over.
            let next = receiver.next_report().map_err(io::Error::other)?;
            let Some((report, _none)) = next else { break };
            place.send(Input::Reported { guardian, report });
        }
        socket.readable().await?;
        match socket.try_io(Interest::READABLE, || receiver.fill(socket)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
