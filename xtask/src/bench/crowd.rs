//! Many client sessions at once, over HTTP or over WebSockets, driven by one thread.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use super::caller::{Caller, Front};

/// How long anything may take before the measurement is given up.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// How long it may take until an end is seen that was asked for.
const A_MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// How many sessions are heard of at once.
const READY_MAX: usize = 256;

/// Greeted sessions.
#[derive(Debug)]
pub(crate) struct Crowd {
    callers: Vec<Caller>,
    ends: OwnedFd,
}

impl Crowd {
    pub(crate) fn open(front: Front, address: SocketAddr, count: usize) -> anyhow::Result<Crowd> {
        let ends = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut callers = Vec::with_capacity(count);
        for index in 0..count {
            let caller = Caller::open(front, address)
                .with_context(|| format!("session {index} over {}", front.name()))?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&ends, &caller, data, epoll::EventFlags::IN)?;
            callers.push(caller);
        }
        Ok(Crowd { callers, ends })
    }

    /// Leaves all of them idle, but for saying that they are there when they are asked.
    pub(crate) fn idle(mut self) -> Idle {
        let is_over = Arc::new(AtomicBool::new(false));
        let is_asked_to_end = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut ready = Vec::with_capacity(READY_MAX);
            while !is_asked_to_end.load(Ordering::Relaxed) {
                ready.clear();
                epoll::wait(&self.ends, spare_capacity(&mut ready), Some(&A_MOMENT))?;
                for event in &ready {
                    let is_answer = self.caller(event)?.hear()?;
                    ensure!(!is_answer, "an answer to no call");
                }
            }
            Ok(())
        });
        Idle { is_over, thread }
    }

    fn caller(&mut self, event: &epoll::Event) -> anyhow::Result<&mut Caller> {
        let index = usize::try_from(event.data.u64())?;
        self.callers.get_mut(index).context("it is one of them")
    }

    /// Keeps one call in flight on each until that many have been answered; calls per second.
    pub(crate) fn load(&mut self, calls: u32) -> anyhow::Result<f64> {
        let (mut unasked, mut unanswered) = (calls, calls);
        let mut ready = Vec::with_capacity(READY_MAX);
        let begun = Instant::now();
        for caller in self.callers.iter_mut().take(calls as usize) {
            caller.ask()?;
            unasked -= 1;
        }
        while unanswered > 0 {
            ready.clear();
            epoll::wait(&self.ends, spare_capacity(&mut ready), Some(&PATIENCE))?;
            ensure!(!ready.is_empty(), "{unanswered} calls without an answer");
            for event in &ready {
                let caller = self.caller(event)?;
                if !caller.hear()? {
                    continue;
                }
                unanswered -= 1;
                if unasked > 0 {
                    unasked -= 1;
                    caller.ask()?;
                }
            }
        }
        Ok(f64::from(calls) / begun.elapsed().as_secs_f64())
    }
}

/// Sessions that say nothing, looked after by a thread of its own.
#[derive(Debug)]
pub(crate) struct Idle {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Idle {
    /// Ends them; an error if one of them has ended before.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .ok()
            .context("looking after idle sessions panicked")?
    }
}
