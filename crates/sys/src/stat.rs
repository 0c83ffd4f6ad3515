//! What Linux says of a process in `/proc/PID/stat`: `PID (NAME) STATE PARENT GROUP … START_TIME …`.

use std::str::SplitAsciiWhitespace;

/// The fields from the third on, which is the state; `None` if it makes no sense.
pub fn fields(stat: &[u8]) -> Option<SplitAsciiWhitespace<'_>> {
    // The name is the program's choice and may contain blanks, brackets and worse; behind
    // its last bracket there are only words.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(&stat[name_end + 1..]).ok()?;
    Some(fields.split_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = b"77 (a) R 1 2 (b\xff) Z 5 70\n";
        assert!(fields(stat).unwrap().eq(["Z", "5", "70"]));
        assert!(fields(b"77 (cut").is_none());
    }
}
