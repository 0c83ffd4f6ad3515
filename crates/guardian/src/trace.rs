//! The note that tells who the guardian was, should it and its daemon die together.
//!
//! It lies beside the meeting place, and means nothing by itself: whoever reads it looks whether such
//! a process lives that started then.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use sys::process_table::Identity;

/// Leaves a note about this process.
pub(crate) fn leave(meeting_place: &Path) {
    if let Ok(Some(me)) = Identity::of(rustix::process::getpid()) {
        let words = format!("{} {}\n", me.pid, me.start_time);
        // Without it we are only missed where both die at once, and a disk may be full.
        let _ = fs::write(path(meeting_place), words);
    }
}

/// Who left the last note; `None` if there is none that can be understood.
pub(crate) fn read(meeting_place: &Path) -> Option<Identity> {
    let words = fs::read_to_string(path(meeting_place)).ok()?;
    let (pid, start_time) = words.strip_suffix('\n')?.split_once(' ')?;
    Some(Identity {
        pid: Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)?,
        start_time: start_time.parse().ok()?,
    })
}

/// Takes the note away, unless it is another's by now.
pub(crate) fn remove_own(meeting_place: &Path) {
    if read(meeting_place).is_none_or(|left| left.pid == rustix::process::getpid()) {
        remove(meeting_place);
    }
}

/// Takes the note away.
pub(crate) fn remove(meeting_place: &Path) {
    // There may never have been one.
    let _ = fs::remove_file(path(meeting_place));
}

fn path(meeting_place: &Path) -> PathBuf {
    meeting_place.with_extension("pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_left_and_a_strange_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("guard.sock");
        assert_eq!(read(&place), None);
        leave(&place);
        let me = Identity::of(rustix::process::getpid()).unwrap();
        assert_eq!(read(&place), me);
        for words in ["", "1", "1 2", "x 2\n", "-1 2\n", "0 2\n", "1 2 3\n"] {
            fs::write(path(&place), words).unwrap();
            assert_eq!(read(&place), None, "{words:?}");
        }
        fs::write(path(&place), "1 2\n").unwrap();
        remove_own(&place);
        assert!(path(&place).exists(), "it is another's");
        remove(&place);
        assert!(!path(&place).exists());
    }
}
