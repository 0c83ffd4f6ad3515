//! What the two threads share: what is kept, the link, and what there is without one.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{KEPT_MAX, Unwritten, write_all};
use crate::{
    control::{Control, Past},
    kept::Kept,
    last_resort::{Trouble, Verdict, judge},
};

/// Bytes of notifications that are kept for a daemon of which nobody knows when it comes.
const NOTES_MAX: usize = 64 * 1024;

/// How long an attempt to find a daemon may take once there is no hope, and what it takes in any case.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// What is behind the lock.
pub(super) struct Waiting {
    pub(super) kept: Kept,
    /// Somebody waits for room.
    pub(super) is_full: bool,
    /// The client will say nothing more.
    pub(super) has_input_ended: bool,
    /// Where the second thread writes; `None` once it is known to be broken.
    link: Option<Arc<OwnedFd>>,
    /// The second thread is in a write.
    is_writing: bool,
    /// The last line that was written whole to the link that is gone, once it is known.
    whole: Option<u64>,
    open_line: OpenLine,
    /// The last line that had waited for the link, if any had.
    waited: Option<u64>,
    outage: Option<Outage>,
}

/// What a link did for the lines that had waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// None had.
    NotNeeded,
    /// All are done.
    Done,
    /// Some wait still.
    Lacking,
}

/// What the daemon has of the line that has no newline yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenLine {
    /// All that we have of it.
    Shared,
    /// Nothing: its beginning came in before the link was up.
    Owed,
    /// Nothing, and it will not get any of it: it was not kept.
    Skipped,
}

/// There is no link.
struct Outage {
    /// From then on nobody is left waiting.
    hopeless_at: Instant,
    trouble: Trouble,
    /// A daemon is being told what is not done: it will answer, or hang up.
    is_resuming: bool,
    /// The session may still run its server itself.
    has_last_resort: bool,
    met: Met,
}

/// Whom a session has met before it had no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// No daemon was there from the beginning on, so none has left a server behind.
    Nobody,
    /// One was there, and has not served it.
    Somebody,
    /// It has been served.
    Server,
}

/// How a chunk of the client's goes to the daemon.
pub(super) struct Passage {
    pub(super) link: Arc<OwnedFd>,
    /// What has to be written before.
    pub(super) open: Vec<u8>,
    /// So many bytes of the chunk are not for this daemon.
    pub(super) skip: usize,
}

impl Waiting {
    /// Nothing yet, on the first link.
    pub(super) fn on_link(link: Arc<OwnedFd>) -> Self {
        Waiting {
            kept: Kept::default(),
            is_full: false,
            has_input_ended: false,
            link: Some(link),
            is_writing: false,
            whole: None,
            open_line: OpenLine::Shared,
            waited: None,
            outage: None,
        }
    }

    /// Nothing yet, and no link either, for this cause.
    pub(super) fn unmet(hopeless_at: Instant, cause: String, nobody_there: bool) -> Self {
        Waiting {
            kept: Kept::default(),
            is_full: false,
            has_input_ended: false,
            link: None,
            is_writing: false,
            whole: None,
            open_line: OpenLine::Owed,
            waited: None,
            outage: Some(Outage {
                hopeless_at,
                trouble: Trouble::Unreachable(cause),
                is_resuming: false,
                // It has been tried.
                has_last_resort: false,
                met: if nobody_there {
                    Met::Nobody
                } else {
                    Met::Somebody
                },
            }),
        }
    }

    /// Whether more is kept than we want to.
    pub(super) fn is_too_much(&self) -> bool {
        self.kept.waiting_bytes() > KEPT_MAX
    }

    /// How a chunk, which is not kept yet, goes to the daemon; `None` if there is none.
    ///
    /// Whoever gets one is in a write until [`Waiting::leave_write`].
    pub(super) fn passage(&mut self, chunk: &[u8]) -> Option<Passage> {
        let link = Arc::clone(self.link.as_ref()?);
        let (mut open, mut skip) = (Vec::new(), 0);
        match self.open_line {
            OpenLine::Shared => {}
            OpenLine::Owed => {
                open = self.kept.open_line().unwrap_or_default();
                self.open_line = OpenLine::Shared;
            }
            OpenLine::Skipped => match memchr::memchr(b'\n', chunk) {
                Some(newline) => {
                    skip = newline + 1;
                    self.open_line = OpenLine::Shared;
                }
                None => skip = chunk.len(),
            },
        }
        self.is_writing = true;
        Some(Passage { link, open, skip })
    }

    /// The write is over, but for these bytes at the end of what is kept. Returns whether
    /// somebody may wait for that.
    pub(super) fn leave_write(&mut self, unwritten: &[u8]) -> bool {
        self.is_writing = false;
        if self.link.is_some() && unwritten.is_empty() {
            return false;
        }
        self.link = None;
        let cut = memchr::memchr_iter(b'\n', unwritten).count() as u64;
        self.whole.get_or_insert(self.kept.last() - cut);
        true
    }

    pub(super) fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// The link is gone: from now on lines are only kept.
    pub(super) fn leave_link(&mut self) {
        self.link = None;
        if !self.is_writing {
            self.whole.get_or_insert(self.kept.last());
        }
    }

    /// Settles what the daemon that is gone can have had, when nobody writes any more.
    pub(super) fn break_off(&mut self) {
        let whole = self.whole.take().unwrap_or(self.kept.last());
        self.kept.break_off(whole);
    }

    /// What the link that is gone did for whoever had waited for it.
    pub(super) fn service(&self) -> Service {
        let Some(waited) = self.waited else {
            return Service::NotNeeded;
        };
        match self.kept.first_open() {
            Some(first) if first <= waited => Service::Lacking,
            Some(_) | None => Service::Done,
        }
    }

    pub(super) fn begin_outage(
        &mut self,
        hopeless_at: Instant,
        has_last_resort: bool,
        cause: &str,
    ) {
        self.outage = Some(Outage {
            hopeless_at,
            trouble: Trouble::Unreachable(cause.to_owned()),
            is_resuming: false,
            has_last_resort,
            met: Met::Server,
        });
    }

    /// Why whoever waits gets no other answer, as the client has nothing more to say.
    pub(super) fn trouble_at_the_end(&self) -> Trouble {
        match &self.outage {
            Some(outage) if outage.met != Met::Server => outage.trouble.clone(),
            Some(_) | None => Trouble::Ended,
        }
    }

    /// Whether nobody has served the session yet.
    pub(super) fn is_unmet(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| outage.met != Met::Server)
    }

    /// Whether the session may run its server itself, if it may at all.
    pub(super) fn is_time_for_last_resort(&self) -> bool {
        let is_alone = |outage: &Outage| outage.met == Met::Nobody;
        self.is_hopeless() || self.outage.as_ref().is_some_and(is_alone)
    }

    /// A daemon was there, and may have done something.
    pub(super) fn note_daemon(&mut self) {
        if let Some(outage) = &mut self.outage
            && outage.met == Met::Nobody
        {
            outage.met = Met::Somebody;
        }
    }

    /// When an attempt to find a daemon is to be over that begins now: while there is hope, not after it.
    pub(super) fn attempt_until(&self, now: Instant) -> Instant {
        let late = now + ATTEMPT_MAX;
        match &self.outage {
            Some(outage) if outage.hopeless_at > now => outage.hopeless_at.max(now + ATTEMPT_MIN),
            Some(_) | None => late,
        }
    }

    /// Whether a daemon is being looked for, or told what it must know.
    pub(super) fn is_outage(&self) -> bool {
        self.outage.is_some()
    }

    pub(super) fn is_resuming(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| outage.is_resuming)
    }

    pub(super) fn set_resuming(&mut self, is_resuming: bool) {
        if let Some(outage) = &mut self.outage {
            outage.is_resuming = is_resuming;
        }
    }

    /// Another attempt was in vain. One who was refused need not wait any longer; else, once nobody
    /// is to be waited for any more, the last resort has been tried as well.
    pub(super) fn set_trouble(&mut self, trouble: Trouble) {
        let is_hopeless = self.is_hopeless();
        if let Some(outage) = &mut self.outage {
            let is_refused = matches!(trouble, Trouble::Refused(_));
            if is_refused {
                outage.hopeless_at = outage.hopeless_at.min(Instant::now());
            }
            outage.has_last_resort &= !is_refused && !is_hopeless;
            outage.trouble = trouble;
        }
    }

    /// The number of the next line for a daemon that has been told of all before.
    pub(super) fn next_line(&self) -> u64 {
        // One that is not kept cannot be told.
        let skipped = u64::from(self.kept.open_line_is_dropped());
        self.kept.last() + 1 + skipped
    }

    /// The daemon at the other end knows of all lines up to now.
    pub(super) fn link_up(&mut self, link: Arc<OwnedFd>) {
        self.link = Some(link);
        self.whole = None;
        self.waited = self.kept.first_open().map(|_| self.kept.last());
        self.open_line = if self.kept.open_line_is_dropped() {
            OpenLine::Skipped
        } else {
            OpenLine::Owed
        };
        self.outage = None;
    }

    /// Whether no daemon is waited for any more.
    pub(super) fn is_hopeless(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| !outage.is_resuming && Instant::now() >= outage.hopeless_at)
    }

    /// Whether the session may still run its server itself.
    pub(super) fn has_last_resort(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| outage.has_last_resort)
    }

    /// Answers whoever waits, if they would wait in vain.
    pub(super) fn answer_if_hopeless(&mut self, output: BorrowedFd<'_>) -> Result<(), Unwritten> {
        let in_vain = self
            .outage
            .as_ref()
            .filter(|outage| !outage.has_last_resort && self.is_hopeless());
        match in_vain.map(|outage| outage.trouble.clone()) {
            Some(trouble) => self.answer_all(&trouble, output),
            None => Ok(()),
        }
    }

    /// Answers whoever waits.
    pub(super) fn answer_all(
        &mut self,
        trouble: &Trouble,
        output: BorrowedFd<'_>,
    ) -> Result<(), Unwritten> {
        let mut after = 0;
        while let Some((number, past, bytes)) = self.kept.next_open(after) {
            after = number;
            let verdict = judge(bytes, past, trouble);
            let is_kept = verdict == Verdict::Keep
                && past == Past::Fresh
                && self.kept.waiting_bytes() <= NOTES_MAX;
            if !is_kept {
                self.kept.note(Control::Done(number));
            }
            match verdict {
                Verdict::Answer(answer) => write_all(output, &answer)?,
                Verdict::Keep | Verdict::Forget => {}
            }
        }
        Ok(())
    }
}
