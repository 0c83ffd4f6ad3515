//! What a person is told once: that something goes on working which has another name by now.
//!
//! **Invariant:** it is told once for each installation, whoever calls; where that cannot be noted, never: an
//! agent calls thousands of times.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
};

use crate::{folder, places::Places};

/// Tells it on standard error, unless that was done before under this word, which can be the name of a file.
pub fn tell(places: &Places, word: &str, what: &dyn fmt::Display) {
    let folder = places.state.join("said");
    let note = || {
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o600);
        new.open(folder.join(word))
    };
    let noted = match note() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => places
            .prepare()
            .map_err(io::Error::other)
            .and_then(|()| folder::ensure_private(&folder).map_err(io::Error::other))
            .and_then(|()| note()),
        noted => noted,
    };
    if noted.is_ok() {
        // There is nobody to tell that stderr is closed.
        let _gone = writeln!(io::stderr(), "mcpool: {what} (this is said once)");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_noted_once_and_under_its_own_word() {
        let temporary = tempfile::tempdir().unwrap();
        let places = Places::find(Some(&temporary.path().join("pool"))).unwrap();
        for word in ["old", "old", "older"] {
            tell(&places, word, &"it has another name");
        }
        let mut noted: Vec<_> = fs::read_dir(places.state.join("said"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        noted.sort();
        assert_eq!(noted, ["old", "older"]);
    }

    #[test]
    fn where_it_cannot_be_noted_nobody_is_told_and_nothing_breaks() {
        let temporary = tempfile::tempdir().unwrap();
        let places = Places::find(Some(temporary.path())).unwrap();
        fs::write(&places.state, "a file in the place of the folder").unwrap();
        tell(&places, "old", &"it has another name");
        assert!(places.state.is_file());
    }
}
