//! One rule about a server, and whether it fits.

use super::Way;
use crate::clients::http::is_filled_in;

/// Which servers a rule is about: all that it says must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: Option<String>,
    pub(super) what: Option<What>,
}

/// What is run, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Exactly these words.
    Words(Vec<String>),
    /// This program, with any words.
    Program(String),
    /// A command line that is described in a way of which only the program is understood.
    SomeOf(String),
    /// An address with a `*` for any text.
    Url(String),
    /// An address that is described in a way that is not understood.
    SomeUrl,
}

/// A rule among others, of which the first that fits counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    pub(super) is_allowing: bool,
    /// A program with a `*` for any text.
    pub(super) program: Option<String>,
    /// An address with a `*` for any text.
    pub(super) url: Option<String>,
    /// Whether it says more, or says it in a way that is not understood.
    pub(super) says_more: bool,
}

impl Rule {
    pub(super) fn named(name: &str) -> Self {
        Rule {
            name: Some(name.to_owned()),
            what: None,
        }
    }

    /// Whether it says something about ways of this kind.
    pub(super) fn is_about(&self, way: Way<'_>) -> bool {
        match (&self.what, way) {
            (Some(What::Words(_) | What::Program(_) | What::SomeOf(_)), Way::Command(_))
            | (Some(What::Url(_) | What::SomeUrl), Way::Url(_)) => true,
            (Some(_) | None, _) => false,
        }
    }

    /// Whether it is about this server for sure.
    pub(super) fn fits(&self, name: &str, way: Way<'_>) -> bool {
        let is_named = self.name.as_ref().is_none_or(|named| named == name);
        is_named
            && match (&self.what, way) {
                (None, _) => true,
                (Some(What::Words(words)), Way::Command(command)) => words == command,
                (Some(What::Program(program)), Way::Command(command)) => {
                    command.first() == Some(program)
                }
                (Some(What::Url(pattern)), Way::Url(url)) => is_like(pattern, url),
                (Some(_), _) => false,
            }
    }

    /// Whether it can be about this server, once the client has filled in its variables.
    pub(super) fn may_fit(&self, name: &str, way: Way<'_>) -> bool {
        let is_named = self.name.as_ref().is_none_or(|named| named == name);
        is_named
            && match (&self.what, way) {
                (None, _) => true,
                (Some(What::Words(words)), Way::Command(command)) => {
                    let mut pairs = words.iter().zip(command);
                    words.len() == command.len() && pairs.all(|(rule, word)| may_be(rule, word))
                }
                (Some(What::Program(program) | What::SomeOf(program)), Way::Command(command)) => {
                    command.first().is_some_and(|word| may_be(program, word))
                }
                (Some(What::Url(pattern)), Way::Url(url)) => is_like(pattern, url),
                (Some(What::SomeUrl), Way::Url(_)) => true,
                (Some(_), _) => false,
            }
    }
}

/// Whether a word is this one, or can become it.
fn may_be(rule: &str, word: &str) -> bool {
    rule == word || is_filled_in(word)
}

/// Whether the first rule that can be about this lets it run; without any it runs.
pub(super) fn first_lets(rules: &[Ordered], way: Way<'_>) -> bool {
    for rule in rules {
        let (may_fit, fits) = rule.about(way);
        if rule.is_allowing && fits {
            return true;
        }
        if !rule.is_allowing && may_fit {
            return false;
        }
    }
    true
}

impl Ordered {
    /// Whether it can be about this, and whether it is for sure.
    fn about(&self, way: Way<'_>) -> (bool, bool) {
        let (pattern, text) = match way {
            Way::Command(words) => (&self.program, words.first().map_or("", String::as_str)),
            Way::Url(url) => (&self.url, url),
        };
        let Some(pattern) = pattern else {
            return (self.says_more, false);
        };
        let is_odd = pattern.len() > 1 && pattern.starts_with('/') && pattern.ends_with('/');
        let is_like = is_like(pattern, text);
        let may_fit = is_like || is_odd || is_filled_in(text);
        (may_fit, is_like && !is_odd && !self.says_more)
    }
}

/// Whether a text is like a pattern, in which each `*` stands for any text.
///
/// An address without a path is one with any: `https://host` fits `https://host/mcp`.
fn is_like(pattern: &str, text: &str) -> bool {
    let has_path = pattern
        .split_once("://")
        .is_none_or(|(_, rest)| rest.contains('/') || rest.ends_with('*'));
    if !has_path {
        return is_like(&format!("{pattern}/*"), text) || pattern == text;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("npx", "npx", true),
            ("npx", "npx2", false),
            ("*", "", true),
            ("*/npx", "/usr/bin/npx", true),
            ("http://127.0.0.1:*/*", "http://127.0.0.1:7665/mcp/a", true),
            ("https://*.corp/*", "https://mcp.corp/x", true),
            ("https://*.corp/*", "https://mcp.other/x", false),
            ("https://host", "https://host/mcp", true),
            ("https://host", "https://host.evil/mcp", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
