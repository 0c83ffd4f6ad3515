//! The signals that end the daemon.
//!
//! **Invariant:** a signal that has come is with the system, for us or for the program that takes our place, or in the
//! inbox of the hub. Nobody ever has it in hands.

use std::{io, os::fd::AsFd};

use anyhow::Context;
use sys::signals::Signals;
use tokio::{
    net::unix::pipe,
    sync::{mpsc::Sender, watch},
};

use crate::{
    hub::Input,
    tasks::{self, ENDING},
};

/// Whether they are left with the system.
#[derive(Debug)]
pub(super) struct Endings {
    are_held: watch::Sender<bool>,
}

impl Endings {
    /// Has the hub stop at TERM, INT and HUP, and hurry at another one.
    pub(super) fn watch(inbox: &Sender<Input>) -> anyhow::Result<Self> {
        let signals = Signals::watch(&ENDING).context("watching for signals")?;
        let take = |signals: &Signals| Ok(!signals.drain()?.is_empty());
        Endings::take_from(signals, take, inbox).context("waiting for signals")
    }

    /// `take` says whether there was anything in the source.
    fn take_from<Source: AsFd + Send + 'static>(
        source: Source,
        take: impl Fn(&Source) -> io::Result<bool> + Send + 'static,
        inbox: &Sender<Input>,
    ) -> io::Result<Self> {
        // The runtime's type for what is only read, whatever it is.
        let watched = source.as_fd().try_clone_to_owned()?;
        let watched = pipe::Receiver::from_owned_fd_unchecked(watched)?;
        let (are_held, held) = watch::channel(false);
        let take = move || match take(&source) {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        };
        tasks::spawn("signals", pass_on(watched, take, inbox.clone(), held));
        Ok(Endings { are_held })
    }

    /// Whatever comes from now on stays with the system.
    pub(super) fn hold(&self) {
        self.are_held.send_replace(true);
    }

    /// They are taken again, first those that have come meanwhile.
    pub(super) fn release(&self) {
        self.are_held.send_replace(false);
    }
}

async fn pass_on(
    watched: pipe::Receiver,
    take: impl Fn() -> io::Result<()>,
    inbox: Sender<Input>,
    mut are_held: watch::Receiver<bool>,
) -> io::Result<()> {
    loop {
        watched.readable().await?;
        let Ok(place) = inbox.reserve().await else {
            return Ok(());
        };
        if *are_held.borrow_and_update() {
            drop(place);
            if are_held.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        // From here on nothing is waited for.
        match watched.try_io(&take) {
            Ok(()) => place.send(Input::Quit),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
        time::Duration,
    };

    use tokio::{
        sync::mpsc::{self, Receiver},
        time,
    };

    use super::*;

    /// Signals are bytes here.
    fn endings(inbox_len: usize) -> (Endings, UnixStream, Sender<Input>, Receiver<Input>) {
        let (user, system) = UnixStream::pair().unwrap();
        system.set_nonblocking(true).unwrap();
        let (inbox, arrivals) = mpsc::channel(inbox_len);
        let take = |mut system: &UnixStream| Ok(system.read(&mut [0; 8])? > 0);
        let endings = Endings::take_from(system, take, &inbox).unwrap();
        (endings, user, inbox, arrivals)
    }

    /// What comes before everything rests.
    async fn next(arrivals: &mut Receiver<Input>) -> Option<Input> {
        let next = time::timeout(Duration::from_secs(1), arrivals.recv()).await;
        next.ok().flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn each_signal_is_passed_on() {
        let (_endings, mut user, _inbox, mut arrivals) = endings(2);
        for _ in 0..2 {
            user.write_all(b"!").unwrap();
            assert!(matches!(next(&mut arrivals).await, Some(Input::Quit)));
        }
        assert!(next(&mut arrivals).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_is_with_the_system_until_it_is_released() {
        let (endings, mut user, _inbox, mut arrivals) = endings(1);
        endings.hold();
        user.write_all(b"!").unwrap();
        assert!(next(&mut arrivals).await.is_none());
        endings.release();
        assert!(matches!(next(&mut arrivals).await, Some(Input::Quit)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_for_which_there_is_no_room_yet_is_in_nobody_s_hands() {
        let (endings, mut user, inbox, mut arrivals) = endings(1);
        inbox.try_send(Input::ClockStrikes).unwrap();
        user.write_all(b"!").unwrap();
        time::sleep(Duration::from_secs(1)).await;
        // It has been noticed by now, and would be given in next.
        endings.hold();
        assert!(matches!(
            next(&mut arrivals).await,
            Some(Input::ClockStrikes)
        ));
        assert!(next(&mut arrivals).await.is_none());
        endings.release();
        assert!(matches!(next(&mut arrivals).await, Some(Input::Quit)));
    }
}
