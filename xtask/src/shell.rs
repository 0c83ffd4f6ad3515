//! Running other programs, and saying which one failed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, kill_process, kill_process_group, pidfd_open, waitpid,
    },
};

/// The root of the checkout that this program was built from.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The cargo that runs us, or the one on the PATH.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs to the end with our own output; an exit other than 0 is an error that names the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Runs to the end and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As [`output`], but a program that takes longer is killed, and that is an error, too.
pub(crate) fn output_within(command: &mut Command, patience: Duration) -> anyhow::Result<String> {
    let Some(output) = ended_within(command, patience)? else {
        bail!("{command:?} did not end within {} s", patience.as_secs());
    };
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            errors.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end, whatever that is, and returns what was written; a program that takes longer
/// is killed, and `None`.
pub(crate) fn ended_within(
    command: &mut Command,
    patience: Duration,
) -> anyhow::Result<Option<Output>> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let pid = child.id();
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(patience) else {
        kill_with_group(pid);
        return Ok(None);
    };
    Ok(Some(output?))
}

/// Whether a program of that name can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Waits until the process has ended; `false` when it still runs after `patience`.
pub(crate) fn wait_for_end(pid: u32, patience: Duration) -> bool {
    let Some(pid) = raw(pid) else {
        return true;
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true; // There is no such process (any more).
    };
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    let mut ends = [PollFd::new(&process, PollFlags::IN)];
    matches!(poll(&mut ends, Some(&timeout)), Ok(ready) if ready > 0)
}

/// Our children, each with its command line, in no order.
///
/// Every thread has a list of its own in `/proc`; a process that we adopted
/// stands in the one of the main thread.
pub(crate) fn children() -> Vec<(u32, String)> {
    let mut children = Vec::new();
    for task in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in list.split_whitespace().filter_map(|word| word.parse().ok()) {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            children.push((pid, String::from_utf8_lossy(&command).replace('\0', " ")));
        }
    }
    children
}

/// Kills a child of ours; one that has just ended is no error.
pub(crate) fn kill(child: u32) {
    if let Some(child) = raw(child) {
        let _ = kill_process(child, Signal::KILL);
    }
}

/// Kills a child of ours, and what it started if it leads a process group.
pub(crate) fn kill_with_group(child: u32) {
    let killed = raw(child).map(|child| kill_process_group(child, Signal::KILL));
    if !matches!(killed, Some(Ok(()))) {
        kill(child);
    }
}

/// Takes the exit status of a child that has ended, so that it leaves the process table.
pub(crate) fn reap(child: u32) {
    if let Some(child) = raw(child) {
        let _ = waitpid(Some(child), WaitOptions::empty());
    }
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
