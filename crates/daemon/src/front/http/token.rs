//! What opens the gate for those of whom nothing else is known: 256 random bits in a file of the user's own.
//!
//! The file is looked at whenever somebody brings a token, and now and then: who puts another in its place has
//! it count at once.
//!
//! **Invariant:** a token was readable by nobody else at any time, and how long a comparison takes says nothing
//! of it.

use std::{
    fmt,
    fs::{File, Metadata, OpenOptions, Permissions},
    hint::black_box,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, bail, ensure};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shim::places::Places;
use sys::random;
use tokio::sync::watch;

use crate::{
    files,
    private_file::{self, Unfit},
    upgrade::Hex,
};

/// The name of the file in the folder of the state.
const NAME: &str = "http-token";

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Which of the tokens it is that there were since the daemon began.
pub(crate) type Generation = u64;

/// The number of the one that is there when the daemon begins.
pub(crate) const FIRST_GENERATION: Generation = 1;

/// By what the token is recognised that counts now.
pub(super) struct Token {
    path: PathBuf,
    known: Mutex<Known>,
    generation: watch::Sender<Generation>,
}

struct Known {
    /// `None` if there is none that could be used.
    digest: Option<[u8; 32]>,
    /// The file that it is from.
    seen: Option<Seen>,
}

/// The token as the program that takes our place hears of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenToken {
    generation: Generation,
    digest: Option<Hex>,
}

/// By what another file is told: device and number, and when it was changed last.
type Seen = (u64, u64, (i64, i64));

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Where the token of this installation is.
pub fn path(places: &Places) -> PathBuf {
    places.state.join(NAME)
}

/// Puts another token in its place. A daemon that runs lets nobody in any more who has the old one.
pub fn rotate(places: &Places) -> anyhow::Result<PathBuf> {
    places.prepare()?;
    let path = path(places);
    let text = fresh().context("there is no randomness")?;
    let replaced = files::replace(&path, format!("{text}\n").as_bytes());
    replaced.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

impl Token {
    /// That of the file in the folder of the state; if there is none, one is made.
    pub(super) fn of_state(state: &Path) -> anyhow::Result<Token> {
        Token::of_file(&state.join(NAME))
    }

    fn of_file(path: &Path) -> anyhow::Result<Token> {
        let what = || format!("the token in {}", path.display());
        match make(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(what),
        }
        let (text, seen) = read(path)?;
        Ok(Token::known_as(path.to_owned(), Some((&text, seen))))
    }

    /// The same for a program that takes another's place, which cannot refuse to: as long as the file cannot be
    /// used, no token counts.
    ///
    /// If it is another than the program before us knew, it has the next number.
    pub(super) fn of_state_or_none(state: &Path, before: Option<&FrozenToken>) -> Token {
        let path = state.join(NAME);
        let token = Token::of_file(&path).unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "no token counts");
            Token::known_as(path, None)
        });
        if let Some(before) = before {
            let now = token.freeze().digest;
            let is_another = now != before.digest;
            token
                .generation
                .send_replace(before.generation + u64::from(is_another));
        }
        token
    }

    fn known_as(path: PathBuf, found: Option<(&str, Seen)>) -> Token {
        Token {
            path,
            known: Mutex::new(Known {
                digest: found.map(|(text, _)| Sha256::digest(text).into()),
                seen: found.map(|(_, seen)| seen),
            }),
            generation: watch::Sender::new(FIRST_GENERATION),
        }
    }

    /// One that is in no file.
    #[cfg(test)]
    pub(super) fn of(token: &[u8]) -> Token {
        Token {
            path: PathBuf::new(),
            known: Mutex::new(Known {
                digest: Some(Sha256::digest(token).into()),
                seen: None,
            }),
            generation: watch::Sender::new(FIRST_GENERATION),
        }
    }

    /// Which one it is, if this is the one that counts.
    pub(super) fn find(&self, given: &[u8]) -> Option<Generation> {
        self.look();
        let given: [u8; 32] = Sha256::digest(given).into();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = known.digest.as_ref()?.iter().zip(&given);
        let difference = pairs.fold(0, |all, (one, other)| black_box(all | (one ^ other)));
        // It becomes another only while this is locked.
        (difference == 0).then(|| self.generation())
    }

    /// Looks whether another file is there, and takes its token. If that cannot be used, or there is none, no
    /// token counts.
    pub(super) fn look(&self) {
        let there = std::fs::symlink_metadata(&self.path).ok();
        let seen = there.as_ref().map(seen_of);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if seen == known.seen {
            return;
        }
        let (digest, seen) = match read(&self.path) {
            Ok((text, seen)) => (Some(Sha256::digest(&text).into()), Some(seen)),
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "no token counts");
                (None, seen)
            }
        };
        let is_another = digest != known.digest;
        *known = Known { digest, seen };
        if is_another {
            self.generation.send_modify(|generation| *generation += 1);
        }
    }

    /// What the program that takes our place knows it by: which one it is, and a sum that says nothing of it.
    pub(super) fn freeze(&self) -> FrozenToken {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        FrozenToken {
            generation: self.generation(),
            digest: known.digest.map(|digest| Hex(digest.to_vec())),
        }
    }

    pub(super) fn generation(&self) -> Generation {
        *self.generation.borrow()
    }

    /// What hears of each token that is another.
    pub(super) fn generations(&self) -> watch::Receiver<Generation> {
        self.generation.subscribe()
    }
}

/// A token that nobody can guess.
fn fresh() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    random::fill(&mut bytes)?;
    Ok(crate::kept_words::hex(&bytes))
}

fn make(path: &Path) -> io::Result<()> {
    let text = fresh()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.write_all(b"\n"));
    if written.is_err() {
        // Half a token would stand in the way for ever.
        let _left = std::fs::remove_file(path);
    }
    written
}

fn seen_of(metadata: &Metadata) -> Seen {
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), changed)
}

/// The token in a file that its user alone can read.
fn read(path: &Path) -> anyhow::Result<(String, Seen)> {
    let what = || format!("the token in {}", path.display());
    let opened = private_file::open(path, OFlags::NOFOLLOW).or_else(|unfit| match unfit {
        Unfit::Unreadable(error) => Err(error).with_context(what),
        Unfit::NoFile | Unfit::OfOthers => bail!(
            "{} can be read by others than you; `mcpool token rotate` makes a new one",
            path.display()
        ),
    });
    let (mut file, metadata) = opened?;
    let text = text_of(&mut file).with_context(what)?;
    let is_whole =
        text.len() == 2 * TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(
        is_whole,
        "{} holds no token; `mcpool token rotate` makes one",
        path.display()
    );
    Ok((text, seen_of(&metadata)))
}

fn text_of(file: &mut File) -> io::Result<String> {
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
        assert_eq!(made.find(text.as_bytes()), Some(FIRST_GENERATION));
        let again = Token::of_file(&path).unwrap();
        assert!(again.find(text.as_bytes()).is_some());
        for other in [
            "",
            &text[1..],
            &format!("{text}0"),
            &text.to_uppercase()[..63],
        ] {
            assert_eq!(made.find(other.as_bytes()), None, "{other}");
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

    fn places(home: &Path) -> Places {
        Places::find(Some(&home.join("pool"))).unwrap()
    }

    fn text(path: &Path) -> String {
        let text = std::fs::read_to_string(path).unwrap();
        text.trim_end().to_owned()
    }

    #[test]
    fn another_token_counts_at_once_and_the_old_one_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let path = rotate(&places).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let token = Token::of_state(&places.state).unwrap();
        let mut generations = token.generations();
        let first = text(&path);
        assert_eq!(token.find(first.as_bytes()), Some(1));
        assert!(!generations.has_changed().unwrap());
        rotate(&places).unwrap();
        assert_eq!(token.find(first.as_bytes()), None);
        assert_eq!(token.find(text(&path).as_bytes()), Some(2));
        assert_eq!(*generations.borrow_and_update(), 2);
        let second = text(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(token.find(second.as_bytes()), None, "there is none");
        assert_eq!(token.find(b""), None);
        std::fs::write(&path, &second).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(token.find(second.as_bytes()), None, "others can read it");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(token.find(second.as_bytes()).is_some());
    }
    #[test]
    fn the_program_after_us_knows_whether_it_is_another_token() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        rotate(&places).unwrap();
        let token = Token::of_state(&places.state).unwrap();
        rotate(&places).unwrap();
        token.look();
        let frozen = serde_json::to_string(&token.freeze()).unwrap();
        let text = text(&path(&places));
        assert!(!frozen.contains(&text));
        let frozen: FrozenToken = serde_json::from_str(&frozen).unwrap();
        let next = || Token::of_state_or_none(&places.state, Some(&frozen)).generation();
        assert_eq!(next(), 2);
        rotate(&places).unwrap();
        assert_eq!(next(), 3, "it was rotated while nobody looked");
        std::fs::set_permissions(path(&places), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(next(), 3, "none counts");
    }
}
