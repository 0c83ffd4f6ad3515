//! What opens the gate for those of whom nothing else is known: 256 random bits in a file of the user's own.
//!
//! **Invariant:** a token was readable by nobody else at any time, and how long a comparison takes says nothing
//! of it.

use std::{
    fmt,
    fs::{File, OpenOptions, Permissions},
    hint::black_box,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, ensure};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use sys::random;

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// All that a file's mode says of those who are not its owner.
const OTHERS: u32 = 0o077;

/// By what a token is recognised.
pub(super) struct Token {
    digest: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// That of the file; if there is none, one is made.
    pub(super) fn of_file(path: &Path) -> anyhow::Result<Token> {
        let what = || format!("the token in {}", path.display());
        match make(path) {
            Ok(text) => return Ok(Token::of(text.as_bytes())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(what),
        }
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits())?)
            .open(path)
            .with_context(what)?;
        let metadata = file.metadata().with_context(what)?;
        let user = rustix::process::geteuid().as_raw();
        ensure!(
            metadata.is_file() && metadata.uid() == user && metadata.mode() & OTHERS == 0,
            "{} can be read by others than you; remove it, and a new one is made",
            path.display()
        );
        let text = read(&mut file).with_context(what)?;
        let is_whole =
            text.len() == 2 * TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        ensure!(
            is_whole,
            "{} holds no token; remove it, and a new one is made",
            path.display()
        );
        Ok(Token::of(text.as_bytes()))
    }

    pub(super) fn of(token: &[u8]) -> Token {
        Token {
            digest: Sha256::digest(token).into(),
        }
    }

    /// Whether this is it.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        let pairs = self.digest.iter().zip(&given);
        let difference = pairs.fold(0, |all, (one, other)| black_box(all | (one ^ other)));
        difference == 0
    }
}

fn make(path: &Path) -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    random::fill(&mut bytes)?;
    let text = crate::kept_words::hex(&bytes);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.write_all(b"\n"));
    if let Err(error) = written {
        // Half a token would stand in the way for ever.
        let _left = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(text)
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_user_alone_and_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http-token");
        let made = Token::of_file(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.trim_end();
        assert_eq!(text.len(), 64);
        assert!(made.is(text.as_bytes()));
        assert!(Token::of_file(&path).unwrap().is(text.as_bytes()));
        for other in [
            "",
            &text[1..],
            &format!("{text}0"),
            &text.to_uppercase()[..63],
        ] {
            assert!(!made.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_that_holds_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http-token");
        Token::of_file(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(
            Token::of_file(&path)
                .unwrap_err()
                .to_string()
                .contains("others")
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "short").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(
            Token::of_file(&path)
                .unwrap_err()
                .to_string()
                .contains("no token")
        );
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(Token::of_file(&path).is_err());
    }
}
