//! Peers that must not have everything, or anything.

use std::{
    env,
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use rustix::{process::Uid, thread::set_thread_uid};
use shim::preface::{Address, Ask, SessionAsk};

use crate::pool::{Peer, Pool, configured, preface};

/// The role of somebody of another user; the socket is the next argument.
pub(crate) const OTHER_USER: &str = "other-user";

/// The role of somebody who has given up rights; the socket is the next argument.
pub(crate) const CONFINED: &str = "confined";

fn nobody() -> Uid {
    Uid::from_raw(65534)
}

/// Plays another user: says a whole preface, and prints what comes back.
pub(crate) fn come_as_another_user() -> ExitCode {
    let socket = PathBuf::from(env::args_os().nth(2).unwrap());
    set_thread_uid(nobody()).unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may be closed before all of this is written, or after.
    let _closed = stream.write_all(&preface(Ask::Session(configured())).encode().unwrap());
    let mut back = Vec::new();
    let _closed = stream.read_to_end(&mut back);
    io::stdout().write_all(&back).unwrap();
    ExitCode::SUCCESS
}

/// Plays a sandboxed tool: asks for a command of its own, for an address of its own, then for a configured server.
pub(crate) fn come_confined() -> ExitCode {
    let socket = PathBuf::from(env::args_os().nth(2).unwrap());
    rustix::thread::set_no_new_privs(true).unwrap();
    let mut answers = String::new();
    for ask in [ad_hoc(), elsewhere(), configured()] {
        answers += &Peer::connect(&socket, &Ask::Session(ask)).line();
    }
    io::stdout().write_all(answers.as_bytes()).unwrap();
    ExitCode::SUCCESS
}

fn elsewhere() -> SessionAsk {
    SessionAsk {
        address: Some(Box::new(Address {
            url: "ws://127.0.0.1:1/mcp".into(),
            headers: Vec::new(),
            ca_cert: None,
        })),
        ..configured()
    }
}

fn ad_hoc() -> SessionAsk {
    SessionAsk {
        command: vec!["/bin/cat".into()],
        ..configured()
    }
}

/// What this program says in that role.
fn words_of(role: &str, socket: &Path) -> String {
    let output = Command::new(env::current_exe().unwrap())
        .args([role.as_ref(), socket.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn a_peer_of_another_user_is_not_read() {
    let pool = Pool::start();
    if !rustix::process::geteuid().is_root() {
        // Only root can become another user; what others can see is that they are let in.
        pool.session();
        return;
    }
    // All doors open, but for the one that matters.
    let socket = &pool.places.socket;
    for folder in socket.ancestors().skip(1).take(2) {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(socket, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(words_of(OTHER_USER, socket), "");
    assert!(pool.status().sessions.is_empty());
    assert!(pool.status().counts.is_empty());
}

pub(crate) fn a_confined_peer_runs_its_own_command_itself() {
    let pool = Pool::start();
    let words = words_of(CONFINED, &pool.places.socket);
    assert!(
        words.starts_with("\x1erun-it-yourself\x1erefused a session in a sandbox")
            && words.contains("\x1eaccepted "),
        "{words:?}"
    );
    for ask in [ad_hoc(), elsewhere()] {
        let mut free = pool.connect(&Ask::Session(ask));
        assert!(free.line().starts_with("\x1eaccepted "));
    }
}

pub(crate) fn what_is_no_preface_is_refused_in_words() {
    let pool = Pool::start();
    for (said, word) in [
        ("GET / HTTP/1.1\r\n\r\n", "mcpool connect"),
        ("\x1emcpool 99 0\n", "protocol"),
        ("\x1emcpool 1 999999999\n", "bytes"),
        ("\x1emcpool 1 4\nabc\0", "broken field"),
        ("\x1emcpool 1 0\n", "lacks"),
    ] {
        let mut peer = Peer::silent(&pool.places.socket);
        peer.say_bytes(said.as_bytes());
        let line = peer.line();
        assert!(
            line.starts_with("\x1erefused ") && line.contains(word),
            "{line:?}"
        );
        assert_eq!(peer.rest(), "");
    }
    // Nobody minds who says nothing at all.
    drop(Peer::silent(&pool.places.socket));
    pool.session();
}
