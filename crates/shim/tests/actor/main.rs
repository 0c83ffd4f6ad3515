//! What the tests need as a process: a shim (`connect …`), or a daemon that does nothing
//! but get started and let people in (`serve --home DIR --background`).
//!
//! Each start of the daemon is recorded as a line in `starts` of its home. A file `fate` there says
//! what becomes of it: `die TEXT`, `die-quietly TEXT` (on stderr only), or `wait FILE` (until
//! that is there). It ends when somebody sends it a byte.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    process::{self, ExitCode},
    sync::mpsc,
    thread,
    time::Duration,
};

use shim::{
    connect::{Patience, run_with_patience},
    lock::DaemonLock,
    places::Places,
};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|verb| verb == "connect") {
        let mut patience = Patience::default();
        for (variable, patience) in [
            ("ACTOR_FIRST_PATIENCE_MS", &mut patience.first),
            ("ACTOR_PATIENCE_MS", &mut patience.next),
        ] {
            let text = env::var(variable).unwrap_or_default();
            if let Ok(millis) = text.parse() {
                *patience = Duration::from_millis(millis);
            }
        }
        return run_with_patience(arguments, patience);
    }
    match serve(&arguments.collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[OsString]) -> Result<ExitCode, Box<dyn Error>> {
    let [option, home, background] = arguments else {
        return Err("usage: serve --home DIR --background".into());
    };
    if option != "--home" || background != "--background" {
        return Err("usage: serve --home DIR --background".into());
    }
    let home = Path::new(home);
    record_start(home)?;
    if let Ok(fate) = fs::read_to_string(home.join("fate")) {
        if let Some(file) = fate.strip_prefix("wait ") {
            while !Path::new(file).exists() {
                thread::park_timeout(Duration::from_millis(1));
            }
        } else {
            tell(&fate)?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let places = Places::find(Some(home))?;
    places.prepare()?;
    let mut lock =
        DaemonLock::take(&places.lock, Duration::from_millis(500))?.ok_or("another daemon runs")?;
    // We hold the lock, so what stands there is nobody's.
    let _ = fs::remove_file(&places.socket);
    let listener = UnixListener::bind(&places.socket)?;
    lock.announce(process::id(), &places.socket)?;
    // Whoever started us may not wait for it any more.
    let _gone = io::stdout().write_all(b"ready\n");
    let (tell_end, end) = mpsc::channel();
    thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let tell_end = tell_end.clone();
            thread::spawn(move || {
                if caller.read(&mut [0]).is_ok_and(|read| read == 1) {
                    // If nobody hears this, somebody else was first.
                    let _ = tell_end.send(caller);
                }
            });
        }
    });
    end.recv()?;
    Ok(ExitCode::SUCCESS)
}

fn record_start(home: &Path) -> io::Result<()> {
    let names: Vec<_> = env::vars_os().map(|(name, _)| name).collect();
    let session = rustix::process::getsid(None)?;
    let line = format!(
        "session {session} parent {:?} cwd {} env {names:?}\n",
        rustix::process::getppid(),
        env::current_dir()?.display()
    );
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(home.join("starts"))?
        .write_all(line.as_bytes())
}

/// Says the last words where the fate wants them.
fn tell(fate: &str) -> io::Result<()> {
    match fate.split_once(' ') {
        Some(("die", words)) => io::stdout().write_all(words.as_bytes()),
        Some(("die-quietly", words)) => io::stderr().write_all(words.as_bytes()),
        _ => Ok(()),
    }
}
