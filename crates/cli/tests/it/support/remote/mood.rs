//! What such a server does badly: to who wants to listen now and not at another time, and to some calls always.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::Mutex,
    thread,
    time::Duration,
};

use super::{Remote, Seen, State, begin_stream, respond};

/// What becomes of a wish to listen, in place of a stream on which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// The connection breaks before there is a response.
    Cut,
    /// There is no stream now.
    Busy(&'static str),
}

impl Remote {
    /// What becomes of those who want to listen next, one after the other.
    pub(crate) fn receives(&self, moods: &[Mood]) {
        self.state.lock().unwrap().moods.extend(moods);
    }

    /// The next message of this name, or request of this method (without a name it is the next answer), gets this status and these headers alone; the one
    /// after it those of the next such call. Without a status the connection breaks.
    pub(crate) fn refuses(&self, what: &'static str, head: &str) {
        let refusal = (what, head.to_owned());
        self.state.lock().unwrap().refusals.push_back(refusal);
    }

    /// From now on the second page of its list cannot be had.
    pub(crate) fn lose_page(&self) {
        self.state.lock().unwrap().lacks_page = true;
    }
}

/// Does to somebody who wants to listen what is meant for them; `None` if nothing is, and a stream has begun.
pub(super) fn receive(out: &mut TcpStream, state: &Mutex<State>) -> io::Result<Option<bool>> {
    let mood = state.lock().unwrap().moods.pop_front();
    match mood {
        Some(Mood::Cut) => Ok(Some(false)),
        Some(Mood::Busy(status)) => respond(out, status, "", "").map(|()| Some(true)),
        None => {
            begin_stream(out, "")?;
            // Whoever is cut comes back soon.
            out.write_all(b"retry: 10\r\n\r\n")?;
            Ok(None)
        }
    }
}

/// Refuses what is to be refused; `None` if this is not.
pub(super) fn refuse(
    seen: &Seen,
    out: &mut TcpStream,
    state: &Mutex<State>,
) -> io::Result<Option<bool>> {
    let mut state = state.lock().unwrap();
    // Only what is posted has a name, or is an answer and has none.
    let is_said = |what: &str| seen.method == "POST" && seen.says() == what;
    let is_it = |(what, _): &&(&str, String)| is_said(what) || seen.method == *what;
    let Some((_, head)) = state.refusals.front().filter(is_it).cloned() else {
        return Ok(None);
    };
    state.refusals.pop_front();
    if head.is_empty() {
        return Ok(Some(false));
    }
    let (status, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    respond(out, status, headers, "")?;
    state.refused += 1;
    Ok(Some(true))
}

/// Leaves a call without an answer.
pub(super) fn misbehave(how: &str, out: &mut TcpStream) -> io::Result<bool> {
    match how {
        "hang" => {
            begin_stream(out, "")?;
            // Until somebody cuts the connection.
            let mut byte = [0];
            let _cut = out.read(&mut byte);
            Ok(false)
        }
        "reset" => {
            // Without a goodbye, and whatever is on its way is lost.
            rustix::net::sockopt::set_socket_linger(&*out, Some(Duration::ZERO))?;
            Ok(false)
        }
        "silent" => {
            let mut byte = [0];
            let _cut = out.read(&mut byte);
            Ok(false)
        }
        "endless" => {
            begin_stream(out, "")?;
            while out.write_all(b": still here\r\n\r\n").is_ok() {
                thread::park_timeout(Duration::from_millis(1));
            }
            Ok(false)
        }
        other => panic!("{other} is no bad manner"),
    }
}
