//! What the threads of this process do, for the last words of one that hangs.

use std::{fs, io, path::Path};

use crate::stat;

/// One thread, as Linux sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its name, of which the system keeps 15 bytes.
    pub name: String,
    /// `R` for one that runs, `S` for one that waits, and the other letters of `proc(5)`.
    pub state: String,
    /// The function of the kernel in which it waits; `0` for one that does not, or that may not be
    /// looked into.
    pub waits_in: String,
}

/// All threads of this process; one that ends meanwhile is left out.
///
/// Fails where there is no `/proc` like that of Linux.
pub fn all() -> io::Result<Vec<Thread>> {
    let folders = fs::read_dir("/proc/self/task")?;
    Ok(folders
        .filter_map(|folder| read(&folder.ok()?.path()))
        .collect())
}

fn read(folder: &Path) -> Option<Thread> {
    let text = |name| fs::read_to_string(folder.join(name)).ok();
    let stat = fs::read(folder.join("stat")).ok()?;
    Some(Thread {
        name: text("comm")?.trim_end().to_owned(),
        state: stat::fields(&stat)?.next()?.to_owned(),
        waits_in: text("wchan").unwrap_or_default(),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn each_thread_is_named_with_what_it_does() {
        let (go_on, may_end) = mpsc::channel::<()>();
        let waiting = thread::Builder::new()
            .name("waits for word".into())
            .spawn(move || may_end.recv())
            .unwrap();
        let is_asleep = |thread: &Thread| thread.name == "waits for word" && thread.state == "S";
        while !all().unwrap().iter().any(is_asleep) {
            thread::yield_now();
        }
        assert!(all().unwrap().iter().any(|thread| thread.state == "R"));
        drop(go_on);
        assert!(waiting.join().unwrap().is_err());
    }
}
