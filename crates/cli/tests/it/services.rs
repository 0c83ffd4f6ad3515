//! The daemon as a service: sockets that somebody else listens at, and `mcpool service`.
//!
//! A service manager of a user is more than a test may start, so `systemctl` is a script here; what it is told,
//! and what it would read, is the real thing, and systemd's own tools look at that and pass the sockets.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{UnixDatagram, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    FAKE_SERVER, Home, PATIENCE, Ran, finish, free_address, processes::Process, programs, until,
    web::Web,
};

/// The daemon's program.
const DAEMON: &str = env!("CARGO_BIN_EXE_mcpoold");

/// A number that no user has, to run as if this is root.
const SOMEBODY: u32 = 54_321;

/// systemd's tool that listens, and executes the daemon with its sockets when somebody comes.
struct Activated {
    child: Child,
    notes: UnixDatagram,
}

impl Activated {
    #[track_caller]
    fn start(home: &Home, http: Option<SocketAddr>) -> Activated {
        let path = home.root().join("notify");
        let notes = UnixDatagram::bind(&path).unwrap();
        notes.set_read_timeout(Some(PATIENCE)).unwrap();
        home.make_private("state");
        let socket = home.pool().join("mcpool.sock");
        let mut words = vec![format!("--listen={}", socket.display())];
        let mut names = "mcpool".to_owned();
        if let Some(http) = http {
            words.push(format!("--listen={http}"));
            names += ":mcpool-http";
        }
        words.push(format!("--fdname={names}"));
        words.push(format!("--setenv=NOTIFY_SOCKET={}", path.display()));
        let mut command = home.command("systemd-socket-activate", &[]);
        let pool = home.pool();
        command
            .args(&words)
            .args([DAEMON, "serve", "--home"])
            .arg(&pool)
            .arg("--from-service")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("systemd-socket-activate, which is in Debian's systemd: {error}")
        });
        until("a socket", || UnixStream::connect(&socket).is_ok());
        Activated { child, notes }
    }

    /// The next thing that is told to a service manager.
    #[track_caller]
    fn note(&self) -> String {
        let mut note = [0; 256];
        let length = self.notes.recv(&mut note).unwrap();
        String::from_utf8(note[..length].to_vec()).unwrap()
    }
}

#[test]
fn a_daemon_takes_the_sockets_that_it_is_passed_and_says_when_it_serves() {
    let home = Home::new();
    let http = free_address();
    home.configure(&format!(
        "[http]\nlisten = [\"{http}\"]\nsocket = false\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n"
    ));
    let mut activated = Activated::start(&home, Some(http));
    let pid = activated.child.id();
    let ready = activated.note();
    assert!(
        ready.contains("READY=1\n") && ready.contains(&format!("MAINPID={pid}\n")),
        "{ready}"
    );
    let mut session = home.configured("fake");
    assert_eq!(home.status()["daemon"]["pid"], pid);
    let told = Web::at(&http.to_string(), "/mcp/fake").session();
    assert_eq!(home.http_address(), http.to_string());
    // The program that takes its place has the sockets, and says so again.
    home.done(&["upgrade"]);
    let again = activated.note();
    assert!(again.contains(&format!("MAINPID={pid}\n")), "{again}");
    assert_eq!(session.text("echo", json!({"text": "still"})), "still");
    let mut over_http = told;
    over_http.result("echo", json!({}));
    session.close();
    home.done(&["stop"]);
    assert!(activated.note().contains("STOPPING=1"));
    assert!(activated.child.wait().unwrap().success());
    // The service manager goes on listening there.
    let socket = home.pool().join("mcpool.sock");
    assert!(socket.exists());
    fs::remove_file(socket).unwrap();
}

#[test]
fn a_socket_whose_file_was_removed_is_bound_again_and_is_the_daemon_s_then() {
    let home = Home::new();
    let mut activated = Activated::start(&home, None);
    activated.note();
    let socket = home.pool().join("mcpool.sock");
    fs::remove_file(&socket).unwrap();
    until("another socket", || UnixStream::connect(&socket).is_ok());
    home.done(&["stop"]);
    assert!(activated.child.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn a_socket_that_means_nothing_keeps_the_daemon_from_starting_with_its_name() {
    let home = Home::new();
    home.make_private("state");
    // As a service manager does it, without one.
    let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=elsewhere; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; exec \"$0\" serve --from-service";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = home.command("sh", &["-c", script, DAEMON]);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let output = command.output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("`elsewhere`, which means nothing"),
        "{words}"
    );
}

/// A user with a service manager that is a script.
struct User {
    home: Home,
    is_somebody: bool,
    /// The folder of the programs.
    bin: &'static str,
}

impl User {
    fn new() -> User {
        User::with_programs_in("bin")
    }

    fn with_programs_in(bin: &'static str) -> User {
        let home = Home::new();
        let user = User {
            is_somebody: is_root(),
            home,
            bin,
        };
        fs::create_dir(user.bin()).unwrap();
        programs::write(user.bin().join("systemctl"), SYSTEMCTL);
        // Where the programs were built may be closed to somebody else.
        for program in [env!("CARGO_BIN_EXE_mcpool"), DAEMON, FAKE_SERVER] {
            let name = Path::new(program).file_name().unwrap();
            let to = user.bin().join(name);
            if fs::hard_link(program, &to).is_err() {
                programs::copy(program, &to);
            }
        }
        if user.is_somebody {
            for path in ["", "user", "project", "project/.git", bin] {
                chown(user.path(path), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
            }
        }
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.root().join(name)
    }

    fn bin(&self) -> PathBuf {
        self.path(self.bin)
    }

    fn units(&self) -> PathBuf {
        self.path("user/.config/systemd/user")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mcpool = self.bin().join("mcpool");
        let mut command = self.home.command(mcpool, arguments);
        let path = format!("{}:/usr/bin:/bin", self.bin().display());
        command
            .env("PATH", path)
            .env("SHELL", "/bin/sh")
            .env("STAGE", self.bin());
        if self.is_somebody {
            command.uid(SOMEBODY).gid(SOMEBODY);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        finish(&mut self.command(arguments))
    }

    #[track_caller]
    fn json(&self, verb: &str) -> Value {
        let ran = self.run(&["service", verb, "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// What the service manager was told, in order, but for what it was only asked.
    fn orders(&self) -> Vec<String> {
        let text = fs::read_to_string(self.bin().join("orders")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for User {
    /// What a test that failed has left.
    fn drop(&mut self) {
        if let Some(process) = self.home.daemon_pid().and_then(Process::of) {
            let _ended = self.command(&["stop"]).output();
            process.kill();
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

/// A service manager of one service: it runs what its unit says, and forgets nothing.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1" = --user ] && shift
units=$HOME/.config/systemd/user
pid() { cat "$STAGE/pid" 2>/dev/null; }
end() {
  pid=$(pid)
  if [ -n "$pid" ]; then
    kill "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
  fi
  rm -f "$STAGE/pid" "$STAGE/active"
}
begin() {
  touch "$STAGE/active"
  eval "set -- $(sed -n 's/^ExecStart=//; T; s/\$/\\&/g; s/%%/%/g; p' "$units/mcpool.service")"
  "$@" < /dev/null > /dev/null 2>&1 &
  echo $! > "$STAGE/pid"
}
case "$1" in
show-environment)
  [ ! -e "$STAGE/absent" ] || { echo 'Failed to connect to bus: No medium found' >&2; exit 1; } ;;
show)
  case "$2" in
  --property=MainPID) pid || echo 0 ;;
  --property=UnitFileState) [ -e "$STAGE/enabled" ] && echo enabled || echo disabled ;;
  --property=ActiveState) [ -e "$STAGE/active" ] && echo active || echo inactive ;;
  esac ;;
*)
  echo "$*" >> "$STAGE/orders"
  case "$1 $2" in
  "enable --now") touch "$STAGE/enabled"; begin ;;
  "disable --now") rm -f "$STAGE/enabled"; end ;;
  "start "*) [ -n "$(pid)" ] || begin ;;
  "stop "*) end ;;
  esac ;;
esac
"#;

#[test]
fn a_service_is_installed_runs_the_daemon_and_leaves_nothing_behind() {
    let user = User::new();
    let before = user.json("status");
    assert_eq!(
        (&before["installed"], &before["daemon"]),
        (&json!(false), &json!(null))
    );
    // One that a session has started runs by itself.
    let server = user.path("bin/fake-server");
    let ran = user.run(&["connect", "--", server.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let alone = user.json("status")["daemon"].clone();
    assert_eq!(alone["started_by"], "itself");
    let installed = user.json("install");
    let pid = installed["daemon_pid"].clone();
    assert_ne!(pid, alone["pid"], "the one that ran is stopped");
    assert_eq!(installed["path_trouble"], json!(null), "{installed}");
    assert_eq!(
        user.orders(),
        ["daemon-reload", "enable --now mcpool.socket"]
    );
    let status = user.json("status");
    let expected = json!({"pid": pid, "started_by": "service"});
    assert_eq!(status["daemon"], expected, "{status}");
    for fact in ["installed", "enabled", "active", "current"] {
        assert_eq!(status[fact], true, "{fact}: {status}");
    }
    let plain = user.run(&["service", "status"]).stdout;
    assert!(plain.contains("runs as the service"), "{plain}");
    // Once more, it is another daemon of the same service.
    let again = user.json("install");
    assert_eq!(again["replaced"], true);
    assert_ne!(again["daemon_pid"], pid);
    let removed = user.json("uninstall");
    assert_eq!(removed["stopped"], true);
    assert_eq!(removed["files"], again["files"]);
    let status = user.json("status");
    assert_eq!(
        (&status["installed"], &status["daemon"]),
        (&json!(false), &json!(null))
    );
    let left: Vec<_> = fs::read_dir(user.units()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_service_is_stopped_started_and_told_when_it_is_an_older_one() {
    let user = User::new();
    user.json("install");
    user.json("stop");
    let status = user.json("status");
    assert_eq!(
        (&status["active"], &status["daemon"]),
        (&json!(false), &json!(null))
    );
    let started = user.json("start");
    assert_eq!(user.json("status")["daemon"]["pid"], started["daemon_pid"]);
    let unit = user.units().join("mcpool.service");
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("/mcpoold\"", "/older/mcpoold\"")).unwrap();
    assert_eq!(user.json("status")["current"], false);
    let plain = user.run(&["service", "status"]).stdout;
    assert!(plain.contains("is not as this mcpool"), "{plain}");
    user.json("install");
    assert_eq!(fs::read_to_string(&unit).unwrap(), text);
    user.json("uninstall");
}

#[test]
fn a_service_manager_that_listens_for_the_daemon_is_not_in_its_way() {
    let user = User::new();
    let address = free_address();
    user.home.make_private("");
    let config = format!("[http]\nlisten = [\"{address}\"]\nsocket = false\n");
    user.home.configure(&config);
    fs::create_dir_all(user.units()).unwrap();
    own(&user);
    user.json("install");
    // It has gone idle; what listens is left.
    user.json("stop");
    let _listener = TcpListener::bind(address).unwrap();
    let ports = || {
        let ran = user.run(&["doctor", "--json"]);
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        let findings = said["findings"].as_array().unwrap().iter();
        findings.filter(|it| it["check"] == "ports").count()
    };
    assert_eq!(ports(), 1, "somebody else listens");
    fs::write(user.path("bin/active"), "").unwrap();
    assert_eq!(ports(), 0, "systemd listens");
    // The configuration names another since, at which systemd does not.
    let another = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = another.local_addr().unwrap();
    user.home
        .configure(&config.replace(&address.to_string(), &other.to_string()));
    assert_eq!(ports(), 1, "somebody listens at {other}");
    fs::remove_file(user.path("bin/active")).unwrap();
    user.json("uninstall");
}

#[test]
fn what_is_in_the_way_of_a_service_is_named_and_nothing_is_changed() {
    let user = User::new();
    let refused = |why: &str| {
        let ran = user.run(&["service", "install"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    };
    // A unit that somebody has written by hand.
    fs::create_dir_all(user.units()).unwrap();
    let unit = user.units().join("mcpool.service");
    fs::write(&unit, "[Service]\n").unwrap();
    refused("mcpool has not written it");
    let removed = user.json("uninstall");
    assert_eq!(removed["foreign"], json!([unit]));
    assert!(unit.exists());
    fs::remove_file(&unit).unwrap();
    // Another program at the port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fs::create_dir_all(user.home.pool()).unwrap();
    let config = user.home.pool().join("config.toml");
    fs::write(&config, format!("[http]\nlisten = [\"{address}\"]\n")).unwrap();
    own(&user);
    refused(&format!("{address} is taken by"));
    assert!(!unit.exists());
    drop(taken);
    // No service manager at all.
    fs::write(user.path("bin/absent"), "").unwrap();
    refused("the first session starts the daemon");
    let status = user.json("status");
    let why = status["unmanaged"].as_str().unwrap();
    assert!(why.contains("No medium found"), "{why}");
    assert!(!user.units().join("mcpool.socket").exists());
    assert!(user.orders().is_empty());
}

/// The user's own things are the user's.
fn own(user: &User) {
    if user.is_somebody {
        let things = [
            "pool",
            "pool/config.toml",
            "user/.config",
            "user/.config/systemd",
        ];
        for path in things.map(|name| user.path(name)) {
            if path.exists() {
                chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
            }
        }
        chown(user.units(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
    let pool = user.home.pool();
    fs::set_permissions(pool, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn nobody_installs_a_service_as_root() {
    let home = Home::new();
    let words = if is_root() {
        let ran = home.run(&["service", "install"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    } else {
        // Who looks like root to itself.
        let mcpool = env!("CARGO_BIN_EXE_mcpool");
        let words = ["--user", "--map-root-user", mcpool, "service", "install"];
        finish(&mut home.command("unshare", &words)).stderr
    };
    assert!(words.contains("not as root"), "{words}");
    assert!(!home.user().join(".config").exists());
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let user = User::with_programs_in("b $x $$ 100%");
    let http = free_address();
    fs::create_dir_all(user.home.pool()).unwrap();
    fs::create_dir_all(user.units()).unwrap();
    let config = user.home.pool().join("config.toml");
    fs::write(
        &config,
        format!("[http]\nlisten = [\"{http}\"]\nsocket = false\n"),
    )
    .unwrap();
    own(&user);
    let installed = user.json("install");
    let files: Vec<&Path> = installed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| Path::new(file.as_str().unwrap()))
        .collect();
    assert_eq!(files.len(), 3);
    let mut verify = user.home.command("systemd-analyze", &["--user", "verify"]);
    let verified = verify
        .args(&files)
        .env("XDG_RUNTIME_DIR", user.path("user"));
    let verified = verified.output().unwrap_or_else(|error: io::Error| {
        panic!("systemd-analyze, which is in Debian's systemd: {error}")
    });
    let words = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = words
        .lines()
        .filter(|line| line.contains("mcpool"))
        .collect();
    assert!(verified.status.success() && ours.is_empty(), "{words}");
    user.json("uninstall");
}

#[test]
fn the_service_of_another_home_is_left_alone_and_named() {
    let user = User::new();
    user.json("install");
    let orders = user.orders();
    let pid = user.json("status")["daemon"]["pid"].clone();
    let other = user.path("other");
    let other = other.to_str().unwrap();
    for verb in ["install", "uninstall", "start", "stop"] {
        let ran = user.run(&["--home", other, "service", verb]);
        assert_eq!(ran.code, Some(1), "{verb}: {ran:?}");
        let named = format!("that of another home, {}", user.home.pool().display());
        assert!(ran.stderr.contains(&named), "{verb}: {ran:?}");
    }
    let status = user.run(&["--home", other, "service", "status"]).stdout;
    assert!(status.contains("that of another home"), "{status}");
    assert_eq!(user.orders(), orders);
    let status = user.json("status");
    assert_eq!(status["daemon"]["pid"], pid);
    assert_eq!(status.get("other_home"), None);
    user.json("uninstall");
}
