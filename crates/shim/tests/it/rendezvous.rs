//! Finding a daemon, or starting the only one.

use std::{
    env, fs,
    io::Write,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use shim::{
    lock,
    places::Places,
    rendezvous::{RendezvousError, Start, connect, start_if_needed},
};
use tempfile::TempDir;

use crate::stage::{ACTOR, DEADLINE, wait_until};

struct Scene {
    home: TempDir,
    places: Places,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let places = Places::find(Some(home.path())).unwrap();
        Scene { home, places }
    }

    fn connect(&self) -> Result<UnixStream, RendezvousError> {
        self.connect_within(DEADLINE)
    }

    fn connect_within(&self, patience: Duration) -> Result<UnixStream, RendezvousError> {
        start_if_needed(&self.places, Instant::now() + patience, || Ok(ACTOR.into()))
    }

    /// So many of them at once.
    fn connect_all(
        &self,
        count: usize,
        patience: Duration,
    ) -> Vec<Result<UnixStream, RendezvousError>> {
        let barrier = Barrier::new(count);
        let come = || {
            barrier.wait();
            self.connect_within(patience)
        };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..count).map(|_| scope.spawn(come)).collect();
            let ended = callers.into_iter().map(|caller| caller.join().unwrap());
            ended.collect()
        })
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    fn starts(&self) -> Vec<String> {
        let starts = fs::read_to_string(self.file("starts")).unwrap_or_default();
        starts.lines().map(str::to_owned).collect()
    }

    /// Ends the fake daemon, and returns when nothing of it can be met any more.
    fn stop(&self, stream: &mut UnixStream) {
        stream.write_all(b"!").unwrap();
        wait_until(|| {
            lock::holder(&self.places.lock).unwrap().is_none()
                && UnixStream::connect(&self.places.socket).is_err()
        });
    }

    /// What a daemon that was killed leaves behind: a socket and a lock's content.
    fn leave_behind(&self, socket: &Path) {
        self.places.prepare().unwrap();
        drop(UnixListener::bind(socket).unwrap());
        let content = format!("1\n{}\n", socket.display());
        fs::write(&self.places.lock, content).unwrap();
    }
}

#[test]
fn of_64_who_come_at_once_one_starts_the_daemon_and_all_get_in() {
    for stale in [false, true] {
        let scene = Scene::new();
        if stale {
            scene.leave_behind(&scene.places.socket);
        }
        let came = scene.connect_all(64, DEADLINE).into_iter();
        let mut streams: Vec<UnixStream> = came.map(Result::unwrap).collect();
        assert_eq!(scene.starts().len(), 1);
        scene.stop(&mut streams[0]);
    }
}

#[test]
fn the_daemon_has_nothing_of_the_one_who_starts_it() {
    let scene = Scene::new();
    let mut stream = scene.connect().unwrap();
    let start = scene.starts().remove(0);
    let own = own_session();
    assert!(!start.contains(&format!("session {own} ")), "{start}");
    let own = format!("Pid({})", std::process::id());
    assert!(!start.contains(&own), "we are not its parent: {start}");
    assert!(start.contains("cwd / "), "{start}");
    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!start.contains("CARGO"), "{start}");
    scene.stop(&mut stream);
}

/// The number of our session, the sixth field: 0 if it began outside of our pid namespace.
fn own_session() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    behind_name.split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn leftovers_of_every_kind_are_no_reason_to_fail() {
    let leave: [fn(&Scene); 5] = [
        |scene| scene.leave_behind(&scene.places.socket),
        |scene| scene.leave_behind(&scene.file("elsewhere.sock")),
        |scene| {
            scene.places.prepare().unwrap();
            fs::write(&scene.places.lock, "1\n/does/not/exist\n").unwrap();
        },
        |scene| {
            scene.places.prepare().unwrap();
            fs::write(&scene.places.lock, "garbage").unwrap();
            fs::write(&scene.places.socket, "no socket").unwrap();
        },
        |scene| {
            scene.places.prepare().unwrap();
            fs::write(scene.places.lock.with_file_name("daemon.start"), "").unwrap();
        },
    ];
    for leave in leave {
        let scene = Scene::new();
        leave(&scene);
        let mut stream = scene.connect().unwrap();
        assert_eq!(scene.starts().len(), 1);
        scene.stop(&mut stream);
        // And again with what this one left.
        let mut stream = scene.connect().unwrap();
        assert_eq!(scene.starts().len(), 2);
        scene.stop(&mut stream);
    }
}

#[test]
fn a_running_daemon_is_joined_where_its_lock_says_and_none_is_started() {
    let scene = Scene::new();
    scene.places.prepare().unwrap();
    let elsewhere = scene.file("elsewhere.sock");
    let listener = UnixListener::bind(&elsewhere).unwrap();
    fs::write(&scene.places.lock, format!("1\n{}\n", elsewhere.display())).unwrap();
    connect(&scene.places, Start::Never).unwrap();
    scene.connect().unwrap();
    assert!(scene.starts().is_empty());
    drop(listener);
}

#[test]
fn without_a_daemon_a_question_is_not_worth_starting_one() {
    let scene = Scene::new();
    let error = connect(&scene.places, Start::Never).unwrap_err();
    assert!(matches!(error, RendezvousError::NotRunning), "{error}");
    assert_eq!(fs::read_dir(scene.home.path()).unwrap().count(), 0);
}

#[test]
fn a_daemon_that_cannot_start_is_quoted_with_what_to_do_next() {
    for fate in ["die", "die-quietly"] {
        let scene = Scene::new();
        fs::write(scene.file("fate"), format!("{fate} config.toml:3: what?\n")).unwrap();
        let error = scene.connect().unwrap_err().to_string();
        assert!(error.contains("config.toml:3: what?"), "{error}");
        assert!(error.contains("mcpool serve"), "{error}");
        assert!(error.contains("daemon.log"), "{error}");
    }
}

#[test]
fn a_program_that_is_missing_is_named() {
    let scene = Scene::new();
    let error = start_if_needed(&scene.places, Instant::now() + DEADLINE, || {
        Ok(scene.file("mcpoold"))
    })
    .unwrap_err();
    assert!(
        matches!(error, RendezvousError::CannotStart { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("mcpoold"), "{error}");
}

#[test]
fn of_a_daemon_that_is_not_ready_in_time_nobody_is_told_that_it_runs() {
    let scene = Scene::new();
    let gate = scene.file("gate");
    fs::write(scene.file("fate"), format!("wait {}", gate.display())).unwrap();
    for refused in scene.connect_all(4, Duration::from_millis(200)) {
        let error = refused.unwrap_err();
        assert!(matches!(error, RendezvousError::NotReady { .. }), "{error}");
    }
    // It goes on, and whoever comes now finds it.
    fs::write(&gate, "").unwrap();
    wait_until(|| lock::holder(&scene.places.lock).unwrap().is_some());
    let mut stream = scene.connect().unwrap();
    scene.stop(&mut stream);
}
