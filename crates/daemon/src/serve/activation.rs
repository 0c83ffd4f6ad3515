//! What a service manager gives a daemon that it starts: sockets at which it listens itself, and somewhere to
//! say that we are ready.
//!
//! **Invariant:** sockets are taken once, by the program that the manager has started; the program that takes its
//! place in an upgrade has them from there.

use std::{
    env,
    net::TcpListener,
    os::{
        fd::{OwnedFd, RawFd},
        unix::net::UnixListener,
    },
};

use anyhow::{Context, bail, ensure};
use rustix::net::{AddressFamily, getsockname};
use sd_notify::NotifyState;
use sys::handed;

/// The first descriptor that is passed (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;

/// The name by which the socket is passed where sessions come in.
pub const SESSIONS: &str = "mcpool";

/// The same of those where they come in over HTTP.
pub const HTTP: &str = "mcpool-http";

/// Sockets at which somebody listens for us.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Where sessions come in.
    pub(crate) sessions: Option<UnixListener>,
    /// Where they come in over HTTP.
    pub(crate) http: Vec<TcpListener>,
}

/// Takes those that were passed to this process, if any were.
pub(super) fn take() -> anyhow::Result<Passed> {
    let said = |name| env::var(name).ok();
    let numbers = numbers(
        said("LISTEN_PID").as_deref(),
        said("LISTEN_FDS").as_deref(),
        said("LISTEN_FDNAMES").as_deref(),
        std::process::id(),
    )
    .context("taking the sockets of the service manager")?;
    let mut passed = Passed::default();
    for (number, name) in numbers {
        let taken = handed::take(number).with_context(|| format!("taking the socket `{name}`"))?;
        passed.add(taken, &name)?;
    }
    Ok(passed)
}

impl Passed {
    fn add(&mut self, socket: OwnedFd, name: &str) -> anyhow::Result<()> {
        // Without a name of its own a socket has that of its unit.
        let name = name.strip_suffix(".socket").unwrap_or(name);
        let address = getsockname(&socket);
        let address = address.with_context(|| format!("`{name}` is no socket"))?;
        let family = address.address_family();
        ensure!(
            sys::socket::listens(&socket)?,
            "nobody listens at the socket `{name}`"
        );
        if name == SESSIONS && family == AddressFamily::UNIX {
            ensure!(
                self.sessions.is_none(),
                "there is more than one socket `{name}`"
            );
            let listener = UnixListener::from(socket);
            listener.set_nonblocking(true)?;
            self.sessions = Some(listener);
        } else if name == HTTP && [AddressFamily::INET, AddressFamily::INET6].contains(&family) {
            let listener = TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            self.http.push(listener);
        } else {
            bail!(
                "the service manager passes a socket `{name}`, which means nothing here: the unix socket \
                 is `{SESSIONS}`, and those of HTTP are `{HTTP}` (FileDescriptorName=)"
            );
        }
        Ok(())
    }
}

/// The descriptors that are meant for this process, with their names.
fn numbers(
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
    own: u32,
) -> anyhow::Result<Vec<(RawFd, String)>> {
    // What another process was given may still stand in the environment.
    let (Some(pid), Some(count)) = (pid, count) else {
        return Ok(Vec::new());
    };
    let pid: u32 = pid.parse().context("LISTEN_PID is no number")?;
    if pid != own {
        return Ok(Vec::new());
    }
    let count: u16 = count.parse().context("LISTEN_FDS is no number")?;
    let mut names = names.unwrap_or_default().split(':');
    let numbers = FIRST..FIRST + RawFd::from(count);
    Ok(numbers
        .map(|number| (number, names.next().unwrap_or_default().to_owned()))
        .collect())
}

/// Tells whoever has started us, if it wants to hear it, that we serve: also after another program has taken
/// the place of the one that it has started.
pub(super) fn tell_ready() {
    tell(&[
        NotifyState::Ready,
        NotifyState::MainPid(std::process::id()),
        NotifyState::Status(concat!("mcpool ", env!("CARGO_PKG_VERSION"))),
    ]);
}

/// The same of the end.
pub(super) fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_by_whom_they_are_meant_for_and_by_name() {
        let numbers = |pid, count, names| numbers(pid, count, names, 7);
        let found = numbers(Some("7"), Some("2"), Some("mcpool:mcpool-http")).unwrap();
        assert_eq!(
            found,
            [(3, "mcpool".to_owned()), (4, "mcpool-http".to_owned())]
        );
        let unnamed = numbers(Some("7"), Some("1"), None).unwrap();
        assert_eq!(unnamed, [(3, String::new())]);
        for (pid, count) in [
            (None, Some("1")),
            (Some("7"), None),
            (Some("8"), Some("1")),
            (Some("7"), Some("0")),
        ] {
            assert_eq!(numbers(pid, count, Some("mcpool")).unwrap(), []);
        }
        assert!(numbers(Some("x"), Some("1"), None).is_err());
        assert!(numbers(Some("7"), Some("-1"), None).is_err());
    }

    #[test]
    fn a_socket_that_means_nothing_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let unix = |name| UnixListener::bind(folder.path().join(name)).unwrap();
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
        let mut passed = Passed::default();
        passed.add(unix("a").into(), "mcpool").unwrap();
        passed.add(tcp().into(), "mcpool-http.socket").unwrap();
        passed.add(tcp().into(), "mcpool-http").unwrap();
        assert!(passed.sessions.is_some() && passed.http.len() == 2);
        let mut refused = |socket: OwnedFd, name, why: &str| {
            let error = format!("{:#}", passed.add(socket, name).unwrap_err());
            assert!(error.contains(why), "{error}");
        };
        refused(unix("b").into(), "mcpool", "more than one");
        refused(
            unix("c").into(),
            "mcpool-http",
            "`mcpool-http`, which means nothing",
        );
        refused(tcp().into(), "other", "`other`, which means nothing");
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        refused(one.into(), "mcpool", "nobody listens");
        let file = std::fs::File::open("/dev/null").unwrap();
        refused(file.into(), "mcpool", "is no socket");
    }
}
