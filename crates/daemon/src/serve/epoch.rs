//! Which daemon of these places this is.
//!
//! A guardian counts the daemons that it has had, but sessions outlive guardians as well: what one daemon
//! has asked a client must not have the id of what another asks it. So the count is in a file.
//!
//! **Invariant:** no epoch is that of an earlier daemon whose sessions may live still, as long as the file
//! can be read and written, and while the guardian lives in any case.

use std::{fs, path::Path};

use crate::{files, observe};

/// So many, and it begins anew: up to here ids stay below 2⁵³ ([`mux::Epoch::begin`]), and nobody has lived
/// through two million daemons.
const EPOCHS: u32 = 1 << 21;

/// The epoch behind the one that this file names, or the one that the guardian has counted to if that is
/// later; the file names it from now on.
pub(super) fn next(file: &Path, inherited: u32) -> u32 {
    // One that is missing or damaged names none.
    let last = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim_end().parse::<u32>().ok());
    let behind = last.and_then(|last| last.checked_add(1));
    let behind = behind.filter(|behind| *behind < EPOCHS).unwrap_or(0);
    let epoch = inherited.max(behind);
    if let Err(error) = files::replace(file, format!("{epoch}\n").as_bytes()) {
        observe::epoch_not_kept(file, &error);
    }
    epoch
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn each_is_behind_the_last_and_behind_what_the_guardian_counted() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("epoch");
        let epochs: Vec<u32> = [0, 0, 7, 3, 0]
            .into_iter()
            .map(|inherited| next(&file, inherited))
            .collect();
        assert_eq!(epochs, [0, 1, 7, 8, 9]);
    }

    #[test]
    fn a_damaged_file_costs_no_more_than_the_count() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("epoch");
        for (text, epoch) in [
            ("", 2),
            ("x", 2),
            ("99999999999", 2),
            ("4294967295\n", 2),
            ("2097151\n", 2),
            ("2097150\n", 2_097_151),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(next(&file, 2), epoch, "{text}");
            assert_eq!(fs::read_to_string(&file).unwrap(), format!("{epoch}\n"));
        }
    }

    #[test]
    fn where_nothing_can_be_written_the_guardian_s_count_is_what_there_is() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("no folder/epoch");
        assert_eq!(next(&file, 0), 0);
        assert_eq!(next(&file, 5), 5);
    }
}
