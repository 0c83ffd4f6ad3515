//! From one daemon to the next.
//!
//! **Invariant:** a link is up only when the daemon behind it has been told of every
//! line that is not done; and of a line that it may have had whole, the daemon after
//! it is never told that nobody had it.

use std::{
    os::fd::OwnedFd,
    process,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, send, shutdown},
};
use sys::{memory, quit, socket};

use super::{
    End, Pump,
    downward::{Downward, Heard},
    waiting::Service,
};
use crate::{
    answer::Answer,
    control::Resumed,
    direct::{self, OnDaemonFailure},
    last_resort::Trouble,
    meet::{Caller, NotMet},
    own_server::{Claimed, OwnServer},
    preface::Ask,
    rendezvous::{RendezvousError, Start},
    stand_in,
};

/// The first and the longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// The pause after a daemon has said no: it will hardly think better of it at once.
const PAUSE_REFUSED: Duration = Duration::from_secs(5);

/// How often a daemon is started once there is little hope; it is looked for more often.
const START_EVERY: Duration = Duration::from_secs(5);

/// Why whoever waits has no daemon as long as nothing else is known.
pub(super) const NOT_READY: &str = "the next one is not ready yet";

/// The same behind one that came and went.
pub(super) const LEFT_AT_ONCE: &str = "the last one ended before it had answered";

/// A link that has lived for this long has nothing to do with the outage before it.
const STABLE: Duration = Duration::from_secs(1);

/// About how much is told in one go.
const PORTION: usize = 64 * 1024;

/// Finds the next daemon, and the next.
pub(crate) struct Seeker {
    caller: Caller,
    /// What the session runs if it has to.
    own_server: OwnServer,
    /// What the last daemon called this session; `None` from one that is too old for that.
    session: Option<u64>,
    /// How long whoever asks for something waits for the next daemon.
    patience: Duration,
    /// When the outage began that may still go on.
    outage_began: Instant,
    /// Since when the link has been up.
    up_since: Instant,
    pause: Duration,
    /// The last daemon came and went at once: before the next one there is a pause.
    is_in_vain: bool,
    /// When a daemon was last started, or would have been if none had been there.
    last_start: Option<Instant>,
    choice: OnDaemonFailure,
    /// When the server was last run without a daemon.
    last_direct: Option<Instant>,
}

impl Seeker {
    /// For a session that has just been accepted.
    pub(crate) fn new(
        caller: Caller,
        own_server: OwnServer,
        session: Option<u64>,
        patience: Duration,
        choice: OnDaemonFailure,
    ) -> Self {
        let now = Instant::now();
        Seeker {
            caller,
            own_server,
            session,
            patience,
            outage_began: now,
            up_since: now,
            pause: PAUSE.0,
            is_in_vain: false,
            last_start: None,
            choice,
            last_direct: None,
        }
    }

    /// What it is served by first is its own server, with no daemon before that.
    pub(crate) fn note_own_server(&mut self) {
        // That tells what has become of each line, as daemons do that call a session something.
        self.session.get_or_insert(0);
        self.last_direct = Some(Instant::now());
    }

    pub(super) fn is_first_too_old(&self) -> bool {
        self.session.is_none()
    }

    /// An outage begins, or still goes on; returns when there is no more hope in it.
    ///
    /// It goes on for lines that have waited since before a daemon that came and went at once, and if
    /// there was no hope any more when that one came. A daemon that has served them, however soon it
    /// died, was what they had hoped for.
    pub(super) fn begin_outage(&mut self, service: Service) -> Instant {
        let is_over = self.up_since.elapsed() >= STABLE || service == Service::Done;
        let was_hopeless = self.up_since >= self.outage_began + self.patience;
        if is_over || (service == Service::NotNeeded && !was_hopeless) {
            self.outage_began = Instant::now();
        }
        if is_over {
            self.pause = PAUSE.0;
        }
        self.is_in_vain = !is_over;
        self.outage_began + self.patience
    }

    /// Whether the session may run its server itself, should no daemon come.
    pub(super) fn has_last_resort(&self) -> bool {
        let is_just_tried = self
            .last_direct
            .is_some_and(|last| last.elapsed() < START_EVERY);
        self.choice == OnDaemonFailure::Direct && !is_just_tried
    }

    /// Looks for a daemon until one goes on with the session.
    pub(super) fn seek(
        &mut self,
        pump: &Pump,
        downward: &mut Downward<'_>,
    ) -> Result<Arc<OwnedFd>, End> {
        if downward.take_told_of_end() {
            // Or it would be of no use to stop one.
            pump.wait_until_needed();
            self.outage_began = Instant::now();
            let hopeless_at = self.outage_began + self.patience;
            pump.waiting()
                .begin_outage(hopeless_at, self.has_last_resort(), NOT_READY);
        } else if self.is_in_vain {
            let pause = self.next_pause();
            rest(pump, pause)?;
        }
        loop {
            let is_hopeless = {
                let waiting = pump.waiting();
                waiting.is_hopeless() && !waiting.has_last_resort()
            };
            let start = match self.last_start {
                Some(last) if is_hopeless && last.elapsed() < START_EVERY => Start::Never,
                Some(_) | None => Start::IfNeeded,
            };
            if start == Start::IfNeeded {
                self.last_start = Some(Instant::now());
            }
            let mut attempt = self.attempt(start, pump, downward)?;
            if let Attempt::Nobody(cause) = attempt {
                attempt = self.without_daemon(cause, pump, downward)?;
            }
            let pause = match attempt {
                Attempt::Up(link) => {
                    self.up_since = Instant::now();
                    return Ok(link);
                }
                Attempt::Nobody(cause) => {
                    tell(Trouble::Unreachable(cause), pump)?;
                    self.next_pause()
                }
                Attempt::Vain(trouble) => {
                    let is_refused = matches!(trouble, Trouble::Refused(_));
                    tell(trouble, pump)?;
                    if is_refused {
                        PAUSE_REFUSED
                    } else {
                        self.next_pause()
                    }
                }
                Attempt::StillNobody => {
                    tell_again(pump)?;
                    self.next_pause()
                }
            };
            rest(pump, pause)?;
        }
    }

    /// Runs the server as no daemon can be had, if there is no more hope of one; only one session does
    /// so of those that would have shared it.
    fn without_daemon(
        &mut self,
        cause: String,
        pump: &Pump,
        downward: &mut Downward<'_>,
    ) -> Result<Attempt, End> {
        if !pump.waiting().is_time_for_last_resort() || !self.has_last_resort() {
            return Ok(Attempt::Nobody(cause));
        }
        let Ask::Session(ask) = &self.caller.preface().ask else {
            return Ok(Attempt::Nobody(cause));
        };
        let places = self.caller.places();
        let started = self
            .own_server
            .claim(places, ask, &cause)
            .and_then(Claimed::start);
        let link = match started {
            Ok(link) => link,
            Err(why) => return Ok(Attempt::Nobody(format!("{cause}; {why}"))),
        };
        let forgotten = if pump.waiting().is_unmet() {
            ""
        } else {
            "; it has forgotten what it knew"
        };
        direct::tell(places, &ask.server, &cause, forgotten);
        self.last_direct = Some(Instant::now());
        if let Some(link) = take_up(link, pump, downward)? {
            return Ok(Attempt::Up(link));
        }
        let why = "its server ended at once when it was run without a daemon".to_owned();
        Ok(Attempt::Nobody(why))
    }

    /// Runs the server as a daemon wants it that may not.
    fn in_our_confinement(&self, pump: &Pump, downward: &mut Downward<'_>) -> Result<Attempt, End> {
        let command = match &self.caller.preface().ask {
            Ask::Session(ask) => ask.command.first().map(|first| (first, ask)),
            Ask::Admin(_) => None,
        };
        let started =
            command.map(|(first, ask)| stand_in::start(direct::command(first, ask), None));
        let why = match started {
            Some(Ok(link)) => {
                if let Some(link) = take_up(link, pump, downward)? {
                    return Ok(Attempt::Up(link));
                }
                "its server ended at once".to_owned()
            }
            Some(Err(error)) => error.to_string(),
            None => "it has no command".to_owned(),
        };
        Ok(Attempt::Vain(Trouble::Refused(why)))
    }

    fn attempt(
        &mut self,
        start: Start,
        pump: &Pump,
        downward: &mut Downward<'_>,
    ) -> Result<Attempt, End> {
        let deadline = pump.waiting().attempt_until(Instant::now());
        let session = self.session.unwrap_or(0);
        let came = self.caller.come_again(session, start, deadline);
        if matches!(came, Ok(_) | Err(NotMet::NoAnswer(_))) {
            pump.waiting().note_daemon();
        }
        let trouble = match came {
            Ok((
                socket,
                Answer::Accepted {
                    session: Some(name),
                },
            )) => {
                self.session = Some(name);
                if let Some(link) = take_up(socket.into(), pump, downward)? {
                    return Ok(Attempt::Up(link));
                }
                return Ok(Attempt::Nobody("the next one ended at once".to_owned()));
            }
            // It has not understood what we want, and knows nothing of what it would be told.
            Ok((_, Answer::Accepted { session: None })) => Trouble::Refused(
                "the installed daemon is older than this session; start the session anew".into(),
            ),
            Ok((_, Answer::RunItYourself)) if pump.waiting().is_unmet() => {
                return self.in_our_confinement(pump, downward);
            }
            Ok((_, Answer::RunItYourself)) => Trouble::Refused(
                "it may not run this command any more; start the session anew".into(),
            ),
            Ok((_, Answer::Refused(why))) => Trouble::Refused(why),
            // Less than what was said when it was tried to start one.
            Err(NotMet::Rendezvous(RendezvousError::NotRunning)) => {
                return Ok(Attempt::StillNobody);
            }
            Err(error) if direct::is_for_want_of_a_daemon(&error) => {
                return Ok(Attempt::Nobody(error.to_string()));
            }
            Err(error) => Trouble::Unreachable(error.to_string()),
        };
        Ok(Attempt::Vain(trouble))
    }

    /// Growing pauses, of which each session has its own.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let noise =
            now.unwrap_or_default().subsec_nanos() ^ process::id().wrapping_mul(0x9E37_79B9);
        pause / 2 + pause / 2 * (noise % 1024) / 1024
    }
}

enum Attempt {
    Up(Arc<OwnedFd>),
    Vain(Trouble),
    /// None lives that could still have servers; this is why.
    Nobody(String),
    /// Nobody is there, and nobody was to be started.
    StillNobody,
}

/// Tells whoever waits why they would wait in vain, once they would.
fn tell(trouble: Trouble, pump: &Pump) -> Result<(), End> {
    pump.waiting().set_trouble(trouble);
    tell_again(pump)
}

/// The same where there is nothing new to tell.
fn tell_again(pump: &Pump) -> Result<(), End> {
    let mut waiting = pump.waiting();
    waiting
        .answer_if_hopeless(pump.output)
        .map_err(|_| End::ClientGone)?;
    pump.tell_room(&mut waiting);
    Ok(())
}

/// Waits, but not for a client that is gone.
fn rest(pump: &Pump, pause: Duration) -> Result<(), End> {
    let deadline = Instant::now() + pause;
    loop {
        if quit::asked() {
            return Err(End::Asked);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut output = [PollFd::from_borrowed_fd(pump.output, PollFlags::empty())];
        match poll(&mut output, left.as_ref()) {
            Ok(0) => return Ok(()),
            Ok(_) => return Err(End::ClientGone),
            Err(Errno::INTR) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Goes on at this link; hands it out if it is up then.
fn take_up(
    link: OwnedFd,
    pump: &Pump,
    downward: &mut Downward<'_>,
) -> Result<Option<Arc<OwnedFd>>, End> {
    downward.meet_next();
    let link = Arc::new(link);
    Ok(resume(pump, downward, &link)?.then_some(link))
}

/// Tells a daemon all that is not done; returns whether the link is up.
///
/// The daemon may answer meanwhile, and may have to be heard to go on listening.
fn resume(pump: &Pump, downward: &mut Downward<'_>, link: &Arc<OwnedFd>) -> Result<bool, End> {
    pump.waiting().set_resuming(true);
    let mut told = Told::default();
    let is_up = told.tell(pump, downward, link);
    let mut waiting = pump.waiting();
    if is_up != Ok(true) {
        let _ = shutdown(link, Shutdown::Both);
        waiting.kept.break_off(told.whole());
        waiting.set_resuming(false);
    }
    pump.change.notify_all();
    drop(waiting);
    if is_up == Ok(false) {
        downward.close_line()?;
    }
    // All that was told may have been large.
    drop(told);
    memory::give_back();
    is_up
}

/// How far a daemon has been told.
#[derive(Default)]
struct Told {
    /// The last line of those that went before.
    before: u64,
    /// What goes now.
    out: Vec<u8>,
    /// How much of it has gone.
    sent: usize,
    /// Where in it lines end.
    ends: Vec<(u64, usize)>,
}

impl Told {
    /// The last line that the daemon can have whole.
    fn whole(&self) -> u64 {
        let gone = self.ends.iter().rev().find(|(_, end)| *end <= self.sent);
        gone.map_or(self.before, |(number, _)| *number)
    }

    fn tell(
        &mut self,
        pump: &Pump,
        downward: &mut Downward<'_>,
        link: &Arc<OwnedFd>,
    ) -> Result<bool, End> {
        let mut has_broken = false;
        loop {
            if !has_broken && self.sent == self.out.len() && self.refill(pump, link) {
                return Ok(true);
            }
            let flags = if has_broken {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let mut sides = [PollFd::new(link, flags)];
            match poll(&mut sides, None) {
                Ok(_) => {}
                Err(Errno::INTR) if quit::asked() => return Err(End::Asked),
                Err(_) => continue,
            }
            let ready = sides[0].revents();
            if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
                && downward.hear(link, RecvFlags::DONTWAIT)? == Heard::Gone
            {
                return Ok(false);
            }
            if ready.contains(PollFlags::OUT) && !has_broken {
                // What it still says is heard to the end.
                has_broken = !self.send_some(link);
            }
        }
    }

    /// Makes the next portion; with none left to make, the link is up.
    fn refill(&mut self, pump: &Pump, link: &Arc<OwnedFd>) -> bool {
        self.before = self.whole();
        self.out.clear();
        self.sent = 0;
        let mut waiting = pump.waiting();
        self.ends = waiting.kept.tell(self.before, PORTION, &mut self.out);
        if !self.ends.is_empty() {
            return false;
        }
        // With the lock in hand: a line that comes in now goes behind this.
        let next = Resumed::Next(waiting.next_line()).to_string();
        match send(link, next.as_bytes(), now()) {
            Ok(sent) if sent == next.len() => {
                waiting.link_up(Arc::clone(link));
                true
            }
            Ok(_) => {
                // So small a thing is never cut; but if it were, nothing could follow it.
                let _ = shutdown(link, Shutdown::Both);
                false
            }
            // No room yet, or nobody there, which shows when it is read.
            Err(_) => false,
        }
    }

    /// Returns whether the daemon still takes something.
    fn send_some(&mut self, link: &OwnedFd) -> bool {
        match send(link, &self.out[self.sent..], now()) {
            Ok(sent) => {
                self.sent += sent;
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }
}

fn now() -> SendFlags {
    SendFlags::DONTWAIT | socket::SENDING
}
