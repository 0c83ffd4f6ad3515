//! `doctor` and what is in the daemon's way: at its socket, at its lock, at its port.

use std::{
    fs,
    io::{self, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    doctor::{examined, problem},
    support::{Home, quiet_listener},
};

#[test]
fn a_folder_in_the_place_of_the_socket_is_told_and_nothing_else_is_in_the_way() {
    let home = Home::new();
    home.make_private("state");
    let socket = home.pool().join("mcpool.sock");
    fs::create_dir(&socket).unwrap();
    let (what, next) = problem(&home, "daemon");
    assert!(what.contains("mcpool.sock is a folder"), "{what}");
    assert!(next.contains("mv '"), "{next}");
    fs::remove_dir(&socket).unwrap();
    fs::write(&socket, "").unwrap();
    assert_eq!(home.run(&["doctor"]).code, Some(0));
    home.session(&[]);
}

#[test]
fn what_is_no_file_in_the_place_of_the_lock_is_told_once() {
    let home = Home::new();
    home.make_private("state/daemon.lock");
    let (what, _) = problem(&home, "daemon");
    assert_eq!(what.matches("it is not a file").count(), 1, "{what}");
}

#[test]
fn another_program_at_the_socket_is_named_whatever_it_says() {
    let home = Home::new();
    home.make_private("state");
    // What a daemon of before has left says nothing of who is there now.
    fs::write(home.pool().join("state/daemon.lock"), "1\n/nowhere\n").unwrap();
    let socket = home.pool().join("mcpool.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let own = format!("process {}, which", std::process::id());
    let is_named = |said: &str| {
        let (what, next) = problem(&home, "daemon");
        assert!(
            what.contains(&format!("{own} {said}")) && what.contains("mcpool.sock"),
            "{what}"
        );
        assert!(next.starts_with("end that program"), "{next}");
    };
    // Nobody takes that call.
    is_named("has not answered");
    let hangs_up: fn(UnixStream) = drop;
    let manner = Arc::new(Mutex::new(hangs_up));
    let current = Arc::clone(&manner);
    thread::spawn(move || {
        while let Ok((caller, _)) = listener.accept() {
            let answer = *current.lock().unwrap();
            answer(caller);
        }
    });
    is_named("hangs up");
    *manner.lock().unwrap() = |mut caller| while caller.write_all(&[b'a'; 1024]).is_ok() {};
    is_named("says something else");
    *manner.lock().unwrap() = |mut caller| {
        let _gone = caller.write_all(b"HTTP/1.1 400 Bad Request\r\n");
        let _gone = io::copy(&mut caller, &mut io::sink());
    };
    is_named("says something else");
    let stopped = home.run(&["stop"]);
    assert_eq!(stopped.code, Some(3), "{stopped:?}");
    assert!(stopped.stderr.contains(&own), "{stopped:?}");
    fs::remove_file(socket).unwrap();
}

#[test]
fn a_port_that_was_taken_and_is_free_now_is_the_daemon_s_after_an_upgrade() {
    let home = Home::new();
    let taken = quiet_listener();
    let address = taken.local_addr().unwrap();
    home.configure(&format!("[http]\nlisten = [\"{address}\"]\n"));
    home.session(&[]);
    let (what, _) = problem(&home, "ports");
    assert!(what.contains("is taken by"), "{what}");
    drop(taken);
    let (what, next) = problem(&home, "ports");
    assert!(
        what.contains("was taken by") && what.contains("when the daemon started"),
        "{what}"
    );
    assert!(next.ends_with("run: mcpool upgrade"), "{next}");
    let status = home.done(&["status"]);
    assert!(status.contains("when the daemon started"), "{status}");
    home.done(&["upgrade"]);
    assert_eq!(examined(&home, "ports", &[]), (Some(0), Vec::new()));
}
