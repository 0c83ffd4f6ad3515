//! What a program asks that was called by the name of mcp-proxy: what one of its profiles says.

use std::{
    env,
    ffi::OsStr,
    fs::OpenOptions,
    io::{ErrorKind, Read as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::fs::OFlags;
use shim::{home, mcp_proxy::Profile};

use crate::{exit::Exit, ui::Ui};

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Says it as it is, with every secret in it, so this is no verb for people.
pub(crate) fn run(name: &OsStr, ui: &mut Ui) -> anyhow::Result<Exit> {
    let name = name.to_str().context("a profile has a plain name")?;
    let path = folder()?.join(format!("{name}.toml"));
    ui.write(&read(&path, name)?.encode()?)?;
    Ok(Exit::Done)
}

/// Where mcp-proxy has its profiles; it goes by `HOME`.
fn folder() -> anyhow::Result<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.map(PathBuf::from);
    let home = home.or_else(|| home::of_user(rustix::process::geteuid().as_raw()));
    Ok(home
        .context("there is no home folder")?
        .join(".punt-labs/mcp-proxy"))
}

/// One without a word, if there is no such file.
fn read(path: &Path, name: &str) -> anyhow::Result<Profile> {
    let shown = path.display();
    let mut options = OpenOptions::new();
    // Nobody is waited for: a pipe is no file.
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Profile::default()),
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        bail!("{shown} is no file");
    }
    if metadata.permissions().mode() & 0o177 != 0 {
        bail!("{shown} can be read by others than you; `chmod 600 {shown}`");
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{shown} cannot be read"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{shown} is longer than {FILE_BYTES_MAX} bytes");
    }
    let profile = config::clients::profile(&text, name).with_context(|| shown.to_string())?;
    Ok(Profile {
        url: profile.url,
        headers: profile.headers.into_iter().collect(),
        ca_cert: profile.ca_cert.map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "[quarry]\nurl = \"ws://h/mcp\"\n";

    #[test]
    fn a_file_that_others_may_read_is_refused_and_one_that_is_not_there_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quarry.toml");
        assert_eq!(read(&path, "quarry").unwrap(), Profile::default());
        fs::write(&path, TEXT).unwrap();
        for (mode, is_fit) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&path, "quarry");
            assert_eq!(read.is_ok(), is_fit, "{mode:o}: {read:?}");
        }
    }

    #[test]
    fn what_is_no_profile_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quarry.toml");
        for text in [
            "[quarry",
            "[quarry]\nurl = 1\n",
            "[quarry]\nheaders = \"x\"\n",
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = format!("{:#}", read(&path, "quarry").unwrap_err());
            assert!(error.contains("quarry.toml: "), "{text}: {error}");
        }
        assert!(read(folder.path(), "quarry").is_err(), "a folder");
    }
}
