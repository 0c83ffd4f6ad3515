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
use config::clients::{Grammar, Member, Node, Value};
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
    profile(&text, name).with_context(|| shown.to_string())
}

/// The table of this name, as far as the text has one.
fn profile(text: &str, name: &str) -> anyhow::Result<Profile> {
    let tree = Grammar::Toml.read(text)?;
    let table = tree.get(name);
    let string = |node: &Node, key: &str| match node.text() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("`{name}.{key}` must be a string"),
    };
    let member = |key: &str| -> anyhow::Result<Option<String>> {
        let node = table.and_then(|table| table.get(key));
        let text = node.map(|node| string(node, key)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    };
    let mut headers = Vec::new();
    if let Some(node) = table.and_then(|table| table.get("headers")) {
        let Value::Map(members) = &node.value else {
            bail!("`{name}.headers` must be a table")
        };
        for Member { key, node, .. } in members {
            headers.push((key.clone(), string(node, &format!("headers.{key}"))?));
        }
    }
    Ok(Profile {
        url: member("url")?,
        headers,
        ca_cert: member("ca_cert")?.map(PathBuf::from),
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
    fn a_profile_is_what_stands_under_its_name() {
        let text = "[quarry]\nurl = \"wss://q.example:8420/mcp\"\nca_cert = \"/home/ada/ca.crt\"\n\
                    [quarry.headers]\nAuthorization = \"Bearer ${x}\"\n\
                    [headers-only.headers]\nX-Key = \"1\"\n";
        let quarry = profile(text, "quarry").unwrap();
        assert_eq!(quarry.url.as_deref(), Some("wss://q.example:8420/mcp"));
        assert_eq!(quarry.ca_cert, Some("/home/ada/ca.crt".into()));
        // Nothing is filled in.
        let header = ("Authorization".to_owned(), "Bearer ${x}".to_owned());
        assert_eq!(quarry.headers, [header]);
        let other = profile(text, "headers-only").unwrap();
        assert_eq!((other.url, other.headers.len()), (None, 1));
        assert_eq!(profile(text, "nothing").unwrap(), Profile::default());
        assert_eq!(profile("", "quarry").unwrap(), Profile::default());
    }

    #[test]
    fn what_is_no_profile_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quarry.toml");
        for (text, key) in [
            ("[quarry", "line 1"),
            ("[quarry]\nurl = 1\n", "`quarry.url`"),
            ("[quarry]\nheaders = \"x\"\n", "`quarry.headers`"),
            ("[quarry.headers]\nA = 1\n", "`quarry.headers.A`"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = format!("{:#}", read(&path, "quarry").unwrap_err());
            assert!(error.contains("quarry.toml: "), "{text}: {error}");
            assert!(error.contains(key), "{text}: {error}");
        }
        assert!(read(folder.path(), "quarry").is_err(), "a folder");
    }
}
