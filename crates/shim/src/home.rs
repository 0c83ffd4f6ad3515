//! The user's home folder and login shell, from the password database.
//!
//! `$HOME` is the last resort: some clients strip or change it, and two opinions
//! of where the home is would mean two daemons.
//!
//! The database is read as a text, not through the C library: a static executable
//! cannot load the modules that would answer there.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A path in a line of the database (passwd(5)).
#[derive(Clone, Copy, Debug)]
enum Field {
    Home,
    Shell,
}

/// The home folder of the user with this id; `None` if nobody knows it.
pub fn of_user(uid: u32) -> Option<PathBuf> {
    in_database(uid, Field::Home).or_else(from_environment)
}

/// The login shell of the user with this id; `None` if the database names none.
pub fn shell_of_user(uid: u32) -> Option<PathBuf> {
    in_database(uid, Field::Shell)
}

fn in_database(uid: u32, field: Field) -> Option<PathBuf> {
    fs::read("/etc/passwd")
        .ok()
        .and_then(|passwd| in_passwd(&passwd, uid, field))
        .or_else(|| from_directory_service(uid, field))
}

/// `$HOME`, if it is an absolute path.
pub(crate) fn from_environment() -> Option<PathBuf> {
    let home = PathBuf::from(env::var_os("HOME")?);
    home.is_absolute().then_some(home)
}

/// Users of a network directory are not in the file; `getent` knows them.
fn from_directory_service(uid: u32, field: Field) -> Option<PathBuf> {
    let output = Command::new("getent")
        .args(["passwd", &uid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    in_passwd(&output.stdout, uid, field)
}

/// The sixth or seventh field of the line whose third field is `uid`.
fn in_passwd(passwd: &[u8], uid: u32, field: Field) -> Option<PathBuf> {
    let wanted = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_wanted = fields.nth(2)? == wanted.as_bytes();
        let skipped = match field {
            Field::Home => 2,
            Field::Shell => 3,
        };
        let path = Path::new(OsStr::from_bytes(fields.nth(skipped)?));
        (is_wanted && path.is_absolute()).then(|| path.to_path_buf())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        broken line\n\
        ada:x:1000:1000:Ada,,,:/home/ada:/usr/bin/zsh\n\
        nowhere:x:1001:1001:::/bin/false\n\
        last:x:10:10::/home/last:";

    #[test]
    fn the_home_folder_is_found_by_user_id_and_not_by_a_part_of_it() {
        let home = |uid| in_passwd(PASSWD, uid, Field::Home);
        assert_eq!(home(1000), Some("/home/ada".into()));
        assert_eq!(home(10), Some("/home/last".into()));
        assert_eq!(home(100), None);
    }

    #[test]
    fn a_shell_is_that_of_the_same_user_and_an_empty_one_is_none() {
        let shell = |uid| in_passwd(PASSWD, uid, Field::Shell);
        assert_eq!(shell(1000), Some("/usr/bin/zsh".into()));
        assert_eq!(shell(1001), Some("/bin/false".into()));
        assert_eq!(shell(10), None);
    }

    #[test]
    fn an_empty_home_field_counts_as_unknown() {
        assert_eq!(in_passwd(PASSWD, 1001, Field::Home), None);
    }
}
