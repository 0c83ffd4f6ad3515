//! A server's secrets, taken out of what it writes beside the protocol.
//!
//! A server that is refused somewhere likes to quote what it was refused with. Its log is read by people
//! and by agents, and its last words stand in errors that sessions get.
//!
//! What counts as a secret follows from what the server was started with: the value of a variable whose
//! name looks like a credential, each of its lines, and the password in an address, whatever the variable
//! is called. Each is found as it is, percent-encoded, and in base64 wherever in the encoded text it begins.

use std::{borrow::Cow, cell::RefCell, collections::BTreeSet, fmt, sync::Arc};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use config::looks_like_credential;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::process::Pid;
use sys::process_table::Identity;

use super::clean::cleaned;

/// What stands in the place of a secret.
const VEIL: &str = "***";

/// Fewer bytes than these are no secret worth the name, and stand in too many words that are none.
const SECRET_BYTES_MIN: usize = 6;

/// Less of a secret than this at the end of a line that was cut tells nothing.
const TORN_BYTES_MIN: usize = 4;

/// What stands for itself in an address (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same as `encodeURIComponent` of browsers and Node.js sees it.
const RESERVED_IN_JAVASCRIPT: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

/// The secrets of one process in all their forms, longest first.
#[derive(Clone, Default)]
pub(crate) struct Veil {
    forms: Arc<[Box<str>]>,
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Veil({} forms)", self.forms.len())
    }
}

impl Veil {
    /// For a process with such an environment, of names and values.
    pub(crate) fn of<'a>(environment: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut forms = BTreeSet::new();
        for (name, value) in environment {
            if looks_like_credential(&String::from_utf8_lossy(name)) {
                for line in [value]
                    .into_iter()
                    .chain(value.split(|byte| *byte == b'\n'))
                {
                    add_forms(line, &mut forms);
                }
            }
            if let Some(password) = password_of(value) {
                add_forms(password, &mut forms);
            }
        }
        let mut forms: Vec<Box<str>> = forms.into_iter().map(String::into_boxed_str).collect();
        // One may be a part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Veil {
            forms: forms.into(),
        }
    }

    /// For a process that another daemon had started, by what it was given then. A program may have
    /// overwritten that, or not let it be read: then nothing is known of its secrets.
    pub(crate) fn of_process(pid: u32) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(Ok(Some(process))) = pid.map(Identity::of) else {
            return Veil::default();
        };
        let entries = RefCell::new(Vec::new());
        let _unreadable = process.carries(|entry| {
            entries.borrow_mut().push(entry.to_vec());
            false
        });
        let entries = entries.into_inner();
        let variables = entries.iter().filter_map(|entry| {
            let at = memchr::memchr(b'=', entry)?;
            Some((&entry[..at], &entry[at + 1..]))
        });
        Veil::of(variables)
    }

    /// A cleaned line without secrets. Of one that was cut, also without the beginning of one at its end.
    pub(super) fn drawn_over(&self, line: String, is_cut: bool) -> String {
        let mut shown = Cow::Borrowed(line.as_str());
        for form in &*self.forms {
            if shown.contains(&**form) {
                shown = Cow::Owned(shown.replace(&**form, VEIL));
            }
        }
        let torn = self.forms.iter().filter(|_| is_cut);
        let torn = torn
            .map(|form| torn_at_end(&shown, form))
            .max()
            .unwrap_or(0);
        if torn >= TORN_BYTES_MIN {
            let mut left = shown.into_owned();
            left.truncate(left.len() - torn);
            left.push_str(VEIL);
            return left;
        }
        match shown {
            Cow::Owned(changed) => changed,
            Cow::Borrowed(_) => line,
        }
    }
}

/// How much of the beginning of a form stands at the end of a text.
fn torn_at_end(text: &str, form: &str) -> usize {
    let longest = form.len().min(text.len());
    let ends = |len: &usize| form.is_char_boundary(*len) && text.ends_with(&form[..*len]);
    (1..=longest).rev().find(ends).unwrap_or(0)
}

fn add_forms(secret: &[u8], forms: &mut BTreeSet<String>) {
    if secret.len() < SECRET_BYTES_MIN {
        return;
    }
    // As it is shown: without control characters.
    let plain = cleaned(secret);
    let in_addresses = [RESERVED, RESERVED_IN_JAVASCRIPT]
        .map(|reserved| percent_encode(secret, reserved).to_string());
    let in_base64 = (0..3).flat_map(|before| in_base64(secret, before));
    let all = [plain].into_iter().chain(in_addresses).chain(in_base64);
    forms.extend(all.filter(|form| form.len() >= SECRET_BYTES_MIN));
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

/// The password in `scheme://user:password@host`.
fn password_of(value: &[u8]) -> Option<&[u8]> {
    let after = memchr::memmem::find(value, b"://")? + 3;
    let rest = &value[after..];
    let authority = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .map_or(rest, |end| &rest[..end]);
    let user = &authority[..memchr::memrchr(b'@', authority)?];
    Some(&user[memchr::memchr(b':', user)? + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-live/Ax9+Qz=7~!";

    fn veil(environment: &[(&'static str, &'static str)]) -> Veil {
        let bytes =
            |(name, value): &(&'static str, &'static str)| (name.as_bytes(), value.as_bytes());
        Veil::of(environment.iter().map(bytes))
    }

    fn drawn_over(line: &str) -> String {
        veil(&[("API_KEY", SECRET), ("MODE", "production")]).drawn_over(line.to_owned(), false)
    }

    #[test]
    fn a_secret_is_taken_out_wherever_it_stands_and_nothing_else_is() {
        assert_eq!(
            drawn_over(&format!("production: {SECRET} and \"{SECRET}\"")),
            "production: *** and \"***\""
        );
        assert_eq!(
            drawn_over("nothing of the kind: sk-live"),
            "nothing of the kind: sk-live"
        );
    }

    #[test]
    fn a_secret_in_an_address_is_taken_out() {
        for encoded in ["sk-live%2FAx9%2BQz%3D7~%21", "sk-live%2FAx9%2BQz%3D7~!"] {
            assert_eq!(
                drawn_over(&format!("GET /?key={encoded}&v=1")),
                "GET /?key=***&v=1"
            );
        }
    }

    #[test]
    fn a_secret_in_base64_is_taken_out_whatever_stands_around_it() {
        for before in ["", "u", "us", "user:", "user:x"] {
            for after in ["", ":", "::x"] {
                let text = format!("{before}{SECRET}{after}");
                for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
                    let line = format!("Basic {}", engine.encode(&text));
                    let left = drawn_over(&line);
                    // Of the characters at both ends others have a share in.
                    let around = before.len() + after.len();
                    assert!(
                        left.contains(VEIL) && left.len() <= "Basic ***".len() + 4 + 2 * around,
                        "{left}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_password_in_an_address_is_a_secret_and_its_user_is_none() {
        let veil = veil(&[("DATABASE_URL", "postgres://app:hunter22@db:5432/x?user=a@b")]);
        let line = "cannot reach postgres://app:hunter22@db:5432".to_owned();
        assert_eq!(
            veil.drawn_over(line, false),
            "cannot reach postgres://app:***@db:5432"
        );
        for none in [
            "http://host/path:x@y",
            "mailto:a@b",
            "http://user@host",
            "plain",
        ] {
            assert_eq!(password_of(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn each_line_of_a_key_is_a_secret() {
        let veil = veil(&[(
            "SSH_PRIVATE_KEY",
            "-----BEGIN-----\nc2VjcmV0IG9uZQ\n-----END-----",
        )]);
        assert_eq!(
            veil.drawn_over("read c2VjcmV0IG9uZQ".to_owned(), false),
            "read ***"
        );
    }

    #[test]
    fn the_longer_of_two_secrets_leaves_nothing_of_itself() {
        let veil = veil(&[("A_TOKEN", "abcdefgh"), ("B_TOKEN", "abcdefgh-and-more")]);
        assert_eq!(
            veil.drawn_over("abcdefgh-and-more abcdefgh".to_owned(), false),
            "*** ***"
        );
    }

    #[test]
    fn what_is_short_is_no_secret() {
        let veil = veil(&[("API_KEY", "none"), ("TOKEN", "")]);
        assert_eq!(
            veil.drawn_over("none of them".to_owned(), false),
            "none of them"
        );
        assert_eq!(format!("{veil:?}"), "Veil(0 forms)");
    }

    #[test]
    fn a_line_that_was_cut_in_a_secret_does_not_end_with_its_beginning() {
        let veil = veil(&[("API_KEY", SECRET)]);
        let line = format!("token {}", &SECRET[..9]);
        assert_eq!(veil.drawn_over(line.clone(), true), "token ***");
        assert_eq!(
            veil.drawn_over(line.clone(), false),
            line,
            "it may be a word like any other"
        );
        assert_eq!(veil.drawn_over("he asks".to_owned(), true), "he asks");
    }
}
