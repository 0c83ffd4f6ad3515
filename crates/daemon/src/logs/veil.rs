//! A server's secrets, taken out of what it writes beside the protocol.
//!
//! A server that is refused somewhere likes to quote what it was refused with. Its log is read by people
//! and by agents, and its last words stand in errors that sessions get.
//!
//! What counts as a secret follows from what the server was started with: what was taken for it out of files
//! with secrets; the value of a variable whose
//! name looks like a credential, each of its lines, and what follows the scheme in `Bearer …`; and, in
//! whatever variable or argument it stands, the password in an address. Each is found in the forms that
//! programs give it. What is encoded in yet another way, or derived, is not.

use std::{
    cell::RefCell, collections::BTreeSet, ffi::OsStr, fmt, os::unix::ffi::OsStrExt as _, sync::Arc,
};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use config::looks_like_credential;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use sys::process_table::Identity;

use super::clean::{Cleaned, Extent, cleaned};
use crate::launch::{LaunchSpec, RemoteSpec};

/// Where words were cut short.
const CUT: char = '…';

/// What stands in the place of a secret.
const VEIL: &str = "***";

/// Fewer bytes than these are no secret worth the name, and stand in too many words that are none.
const SECRET_BYTES_MIN: usize = 6;

/// The user of an address without a password is a token if it is as long as that.
const USER_BYTES_MIN: usize = 16;

/// Less of a secret than this at the end of a line that was cut tells nothing.
const TORN_BYTES_MIN: usize = 4;

/// Ends of names of variables that say where a credential is kept.
const PLACES: [&str; 3] = ["FILE", "PATH", "CREDENTIALS"];

/// What stands before a credential in a header of HTTP.
const SCHEMES: [&[u8]; 3] = [b"bearer ", b"basic ", b"token "];

/// All but what stands for itself in an address (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same to `encodeURIComponent` of Node.js, to `quote` of Python, and in forms.
const RESERVED_ELSEWHERE: [&AsciiSet; 3] = [
    &RESERVED
        .remove(b'!')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')')
        .remove(b'*'),
    &RESERVED.remove(b'/'),
    &RESERVED.add(b'~').remove(b'*'),
];

/// The secrets of one process.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Veil(Option<Arc<Forms>>);

/// All forms of them, and who finds them.
struct Forms {
    texts: Vec<String>,
    finder: AhoCorasick,
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = self.0.as_ref().map_or(0, |forms| forms.texts.len());
        write!(f, "Veil({forms} forms)")
    }
}

impl From<Vec<String>> for Veil {
    fn from(texts: Vec<String>) -> Self {
        if texts.is_empty() {
            return Veil(None);
        }
        // One may be a part of another.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&texts);
        // It fails only of more text than an environment can have.
        Veil(finder.ok().map(|finder| Arc::new(Forms { texts, finder })))
    }
}

impl From<Veil> for Vec<String> {
    fn from(veil: Veil) -> Self {
        veil.0.map_or_else(Vec::new, |forms| forms.texts.clone())
    }
}

impl Veil {
    /// For a process that is started so.
    pub(crate) fn of(spec: &LaunchSpec) -> Self {
        let mut secrets = Secrets::default();
        for (name, value) in &spec.environment {
            secrets.add_variable(name.as_bytes(), value.as_bytes());
        }
        for secret in &spec.secrets {
            secrets.add_credential(secret.reveal().as_bytes());
        }
        spec.arguments
            .iter()
            .map(|argument| OsStr::as_bytes(argument))
            .for_each(|argument| secrets.add_addresses(argument));
        secrets.into()
    }

    /// For a server that runs elsewhere: whatever it is told with each request.
    pub(crate) fn of_remote(spec: &RemoteSpec) -> Self {
        let mut secrets = Secrets::default();
        for (_name, value) in &spec.headers {
            secrets.add_credential(value.as_bytes());
        }
        let query = spec.url.split_once('?').map_or("", |(_, query)| query);
        for pair in query.split('&') {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            secrets.add_credential(value.as_bytes());
        }
        secrets.into()
    }

    /// For a process that another daemon had started, by the environment that it was given then. A program
    /// may have overwritten that, or not let it be read: then nothing is known of its secrets.
    pub(crate) fn of_process(pid: u32) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(Ok(Some(process))) = pid.map(Identity::of) else {
            return Veil::default();
        };
        let secrets = RefCell::new(Secrets::default());
        let _unreadable = process.carries(|entry| {
            if let Some(at) = memchr::memchr(b'=', entry) {
                let (name, value) = (&entry[..at], &entry[at + 1..]);
                secrets.borrow_mut().add_variable(name, value);
            }
            false
        });
        secrets.into_inner().into()
    }

    /// Words of ours that may quote the server. What they quote may be cut short, which an ellipsis shows: a secret
    /// may have been torn there.
    pub(crate) fn over_words(&self, words: &str) -> String {
        let parts = words.split_inclusive(CUT);
        let veiled = parts.map(|part| match part.strip_suffix(CUT) {
            Some(torn) => {
                let mut veiled = self.over(cleaned(torn.as_bytes(), Extent::Beginning));
                veiled.push(CUT);
                veiled
            }
            None => self.over(cleaned(part.as_bytes(), Extent::Whole)),
        });
        veiled.collect()
    }

    /// A line without secrets; of one that was cut, also without the beginning of one at its end.
    pub(super) fn over(&self, line: Cleaned) -> String {
        let Some(forms) = &self.0 else {
            return line.text;
        };
        let mut text = line.text;
        if forms.finder.is_match(&text) {
            let mut veiled = String::with_capacity(text.len());
            forms
                .finder
                .replace_all_with(&text, &mut veiled, |_, _, to| {
                    to.push_str(VEIL);
                    true
                });
            text = veiled;
        }
        if line.extent == Extent::Beginning {
            let torn = forms.texts.iter().map(|form| torn_at_end(&text, form));
            let torn = torn.max().unwrap_or(0);
            if torn >= TORN_BYTES_MIN {
                text.truncate(text.len() - torn);
                text.push_str(VEIL);
            }
        }
        text
    }
}

/// How much of the beginning of a form stands at the end of a text.
fn torn_at_end(text: &str, form: &str) -> usize {
    let longest = form.len().min(text.len());
    let ends = |len: &usize| form.is_char_boundary(*len) && text.ends_with(&form[..*len]);
    (1..=longest).rev().find(ends).unwrap_or(0)
}

/// The forms of secrets, while they are gathered.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl From<Secrets> for Veil {
    fn from(secrets: Secrets) -> Self {
        Veil::from(secrets.0.into_iter().collect::<Vec<_>>())
    }
}

impl Secrets {
    fn add_variable(&mut self, name: &[u8], value: &[u8]) {
        let name = String::from_utf8_lossy(name);
        let is_place = value.starts_with(b"/") && PLACES.iter().any(|end| name.ends_with(end));
        if looks_like_credential(&name) && !is_place {
            self.add_credential(value);
        }
        self.add_addresses(value);
    }

    fn add_credential(&mut self, value: &[u8]) {
        self.add(value);
        value
            .split(|byte| *byte == b'\n')
            .for_each(|line| self.add(line));
        for scheme in SCHEMES {
            if let Some((before, rest)) = value.split_at_checked(scheme.len())
                && before.eq_ignore_ascii_case(scheme)
            {
                self.add(rest);
            }
        }
    }

    /// The passwords in all `scheme://user:password@host` of a text, as they stand there and decoded.
    fn add_addresses(&mut self, text: &[u8]) {
        for scheme in memchr::memmem::find_iter(text, b"://") {
            if let Some(password) = password_at(&text[scheme + 3..]) {
                self.add(password);
                let decoded: Vec<u8> = percent_decode(password).collect();
                self.add(&decoded);
            }
        }
    }

    fn add(&mut self, secret: &[u8]) {
        if secret.len() < SECRET_BYTES_MIN {
            return;
        }
        // As it is shown: without control characters.
        let plain = cleaned(secret, Extent::Whole).text;
        let quoted = serde_json::to_string(&plain).unwrap_or_default();
        let quoted = quoted.trim_matches('"').to_owned();
        let in_go = ['<', '>', '&'].iter().fold(quoted.clone(), |text, it| {
            text.replace(*it, &format!("\\u{:04x}", u32::from(*it)))
        });
        let in_addresses = [RESERVED].into_iter().chain(RESERVED_ELSEWHERE);
        let in_addresses = in_addresses.flat_map(|reserved| in_address(secret, reserved));
        let in_base64 = (0..3).flat_map(|before| in_base64(secret, before));
        let all = [plain, quoted, in_go]
            .into_iter()
            .chain(in_addresses)
            .chain(in_base64);
        self.0
            .extend(all.filter(|form| form.len() >= SECRET_BYTES_MIN));
    }
}

/// A secret in an address or a form, with digits of either case and blanks of either kind.
fn in_address(secret: &[u8], reserved: &'static AsciiSet) -> [String; 3] {
    let upper = percent_encode(secret, reserved).to_string();
    let mut lower = upper.clone().into_bytes();
    for at in memchr::memchr_iter(b'%', upper.as_bytes()) {
        if let Some(digits) = lower.get_mut(at + 1..at + 3) {
            digits.make_ascii_lowercase();
        }
    }
    let plus = upper.replace("%20", "+");
    [upper, String::from_utf8(lower).unwrap_or_default(), plus]
}

/// What of a secret is the same in base64 whatever stands around it, if so many bytes stand before it in the
/// group of three in which it begins.
fn in_base64(secret: &[u8], before: usize) -> [String; 2] {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    // Six bits are a character; those that others have a share in are left out.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD]
        .map(|engine| engine.encode(&bytes)[first..end].to_owned())
}

/// The password of an address, behind its scheme; or a user that is as long as tokens are.
fn password_at(rest: &[u8]) -> Option<&[u8]> {
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#') || byte.is_ascii_whitespace();
    let authority = rest.split(ends).next()?;
    let user = &authority[..memchr::memrchr(b'@', authority)?];
    match memchr::memchr(b':', user) {
        Some(colon) => Some(&user[colon + 1..]),
        None => (user.len() >= USER_BYTES_MIN).then_some(user),
    }
}

#[cfg(test)]
mod tests;
