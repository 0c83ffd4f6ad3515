//! Files that are in no folder: for what must be handed to another program and never lie about.

use std::{fs::File, io};

/// A new, empty file that only who gets its descriptor can open. It is close-on-exec.
#[cfg(target_os = "linux")]
pub fn file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};

    Ok(memfd_create("mcpool", MemfdFlags::CLOEXEC)?.into())
}

/// The same where there is no memory with a descriptor: it is removed from its folder before anything is
/// written to it.
#[cfg(not(target_os = "linux"))]
pub fn file() -> io::Result<File> {
    use std::{env, fs, fs::OpenOptions, os::unix::fs::OpenOptionsExt};

    let mut number = 0;
    loop {
        let name = format!("mcpool-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        match options.open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    #[test]
    fn what_is_written_can_be_read_back() {
        let mut file = super::file().unwrap();
        file.write_all(b"state").unwrap();
        file.rewind().unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "state");
    }
}
