//! What of a client's file or of a command line may be shown.
//!
//! **Invariant:** no value of a variable, a header or a credential is shown, nor a comment, which
//! may be an entry of before: a diff and a report end up where others read them. A wrong guess
//! costs a word of it.

use std::ops::Range;

use config::clients::{Grammar, Node, Value};

/// What stands in the place of a secret.
const VEIL: &str = "***";

/// Members whose values are hidden.
const MEMBERS: [&str; 7] = [
    "env",
    "envs",
    "environment",
    "headers",
    "http_headers",
    "requestOptions",
    "oauth",
];

/// Options behind which a header of HTTP stands.
const HEADER_OPTIONS: [&str; 3] = ["-H", "--header", "--headers"];

/// Options of one letter behind which a password, a key or a token may stand.
const SHORT_OPTIONS: [&str; 4] = ["-p", "-P", "-k", "-t"];

/// Options behind which a user stands, and a password behind a colon.
const USER_OPTIONS: [&str; 2] = ["-u", "--user"];

/// What parts of one word stand between, as in `AccountName=a;AccountKey=b`.
const BETWEEN: [char; 2] = [';', '&'];

/// The words of a command line, with stars for what may be a secret.
pub(crate) fn words(words: &[String]) -> Vec<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    veiled_words(&words)
}

fn veiled_words(words: &[&str]) -> Vec<String> {
    let before = std::iter::once(None).chain(words.iter().map(Some));
    let pairs = before.zip(words);
    pairs
        .map(|(before, word)| {
            if before.is_some_and(|before| is_secret_behind(before, word)) {
                value(word)
            } else {
                veiled_word(word)
            }
        })
        .collect()
}

/// Whether the word behind this one is a credential, as behind `--api-key`.
fn is_secret_behind(option: &str, word: &str) -> bool {
    let is_alone = option.starts_with('-') && !option.contains('=');
    is_alone
        && (HEADER_OPTIONS.contains(&option)
            || is_credential(option)
            || SHORT_OPTIONS.contains(&option) && !is_no_secret(word)
            || USER_OPTIONS.contains(&option) && has_password(word))
}

/// Whether a word is a user with a password, as `me:pw`, and not a user with a group, `1000:1000`.
fn has_password(word: &str) -> bool {
    let password = word.split_once(':').map_or("", |(_, password)| password);
    !password.chars().all(|it| it.is_ascii_digit()) && !word.contains("://")
}

/// An option and what stands behind it in one word, if that may be a secret: `-phunter2`, `-ume:pw`.
fn veiled_option(word: &str) -> Option<String> {
    let behind = |option: &str| {
        let rest = word.strip_prefix(option).unwrap_or_default();
        let value = rest.strip_prefix('=');
        // `--username` is another option.
        let is_long = option.starts_with("--");
        value.unwrap_or(if is_long { "" } else { rest }).to_owned()
    };
    let is_secret = |option: &&&str| {
        let rest = behind(option);
        // `-k` and `-t` begin too many names of options, which are lower case.
        let is_name = rest.chars().all(|it| it.is_ascii_lowercase() || it == '-');
        let may_be_name = !option.eq_ignore_ascii_case("-p");
        !(rest.is_empty() || is_no_secret(&rest) || may_be_name && is_name)
    };
    let has_user = |option: &&&str| word.starts_with(**option) && has_password(&behind(option));
    let mut users = USER_OPTIONS.iter();
    let mut shorts = SHORT_OPTIONS.iter();
    let option = users.find(has_user).or_else(|| shorts.find(is_secret))?;
    let secret = behind(option);
    let name = &word[..word.len() - secret.len()];
    Some(format!("{name}{}", value(&secret)))
}

/// An option and what stands behind it as if it stood alone: `--env=TOKEN=ghp_1`.
fn veiled_behind_option(word: &str) -> Option<String> {
    let (option, rest) = word.split_once('=')?;
    if HEADER_OPTIONS.contains(&option) {
        return Some(format!("{option}={}", value(rest)));
    }
    let is_option = option.starts_with('-') && option.chars().all(is_part_of_name);
    // As in `--host=a;password=b`.
    let is_name_in_list = is_list_of_names(word) && !is_list_of_names(rest);
    (is_option && !is_name_in_list).then(|| format!("{option}={}", veiled_word(rest)))
}

/// Whether a word is a number, a path, a package with its scope or another option.
fn is_no_secret(word: &str) -> bool {
    word.starts_with(['/', '.', '~', '@', '-']) || word.chars().all(|it| it.is_ascii_digit())
}

fn is_credential(name: &str) -> bool {
    config::looks_like_credential(name)
        || config::looks_like_credential(&in_words(name))
        || name.eq_ignore_ascii_case("authorization")
}

/// Whether the value of this name is hidden, whatever it is.
fn is_hidden(name: &str) -> bool {
    is_credential(name) || MEMBERS.contains(&name)
}

fn is_part_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_.-".contains(character)
}

/// `AccountKey` as `Account_Key`.
fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_uppercase() && words.ends_with(|it: char| it.is_ascii_lowercase()) {
            words.push('_');
        }
        words.push(character);
    }
    words
}

/// A value that may be a secret; what a client fills in is none yet.
pub(super) fn value(text: &str) -> String {
    let name = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let is_bare = name.is_some_and(|name| {
        let name = ["env:", "input:"]
            .iter()
            .find_map(|kind| name.strip_prefix(kind))
            .unwrap_or(name);
        let is_part =
            |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        !name.is_empty() && name.chars().all(is_part)
    });
    if is_bare { text } else { VEIL }.to_owned()
}

/// A word that stands alone: a value behind a name that looks like a credential's is hidden, and
/// in an address what does not say where it is.
fn veiled_word(word: &str) -> String {
    let start = word.find(is_part_of_name).unwrap_or(word.len());
    let end = word[start..]
        .find(|character| !is_part_of_name(character))
        .map_or(word.len(), |length| start + length);
    let behind = word[end..].chars().next();
    if behind.is_some_and(|behind| "=:".contains(behind)) && is_credential(&word[start..end]) {
        let (name, secret) = word.split_at(end + 1);
        return format!("{name}{}", value(secret));
    }
    let veiled = veiled_option(word)
        .or_else(|| veiled_behind_option(word))
        .or_else(|| veiled_json(word));
    if let Some(veiled) = veiled {
        return veiled;
    }
    if let Some(name) = name_within(word) {
        return format!("{}{}{VEIL}", veiled_word(&word[..name.start]), &word[name]);
    }
    if is_list_of_names(word) {
        return veiled_parts(word);
    }
    if word.contains(char::is_whitespace) {
        // A line of a shell, or several words in one.
        let parts: Vec<&str> = word.split(char::is_whitespace).collect();
        let veiled = veiled_words(&parts);
        return if veiled == parts {
            word.to_owned()
        } else {
            veiled.join(" ")
        };
    }
    let shown = if word.contains("://") {
        config::shown_address(word)
    } else {
        word.to_owned()
    };
    if shown.contains(BETWEEN) {
        return veiled_parts(&shown);
    }
    if shown != word || word.contains("://") {
        return shown;
    }
    let quoted = word.trim_matches(|it| !is_part_of_name(it));
    if config::has_form_of_credential(quoted) {
        return VEIL.to_owned();
    }
    word.to_owned()
}

/// JSON, alone or behind an option, with stars as in a file.
fn veiled_json(word: &str) -> Option<String> {
    let (option, json) = word.split_at(word.find(['{', '['])?);
    let is_json = !option.contains(char::is_whitespace) && Grammar::Json.read(json).is_ok();
    is_json.then(|| format!("{}{}", veiled_word(option), text(json, Grammar::Json)))
}

/// A name that looks like a credential's, and stands within quotes, braces or a list with a sign
/// behind it, as in JSON for a shell: `{\"apiKey\":`. Its value may end anywhere.
fn name_within(word: &str) -> Option<Range<usize>> {
    let mut marks = word.match_indices(['"', '\'', '{', ',']);
    marks.find_map(|(at, _)| {
        let rest = word[at + 1..].trim_start();
        let length = rest.find(|it| !is_part_of_name(it));
        let (name, behind) = rest.split_at(length.unwrap_or(rest.len()));
        if !is_hidden(name) {
            return None;
        }
        let is_between = |it: char| it.is_whitespace() || "\"'\\".contains(it);
        let behind = behind.trim_start_matches(is_between);
        let value = behind.strip_prefix([':', '='])?;
        Some(at..word.len() - value.len())
    })
}

/// Whether a word is several values with their names, as to connect to a database.
fn is_list_of_names(word: &str) -> bool {
    let mut parts = word.split(';').filter(|part| !part.trim().is_empty());
    word.contains(';') && parts.all(|part| part.contains('='))
}

fn veiled_parts(word: &str) -> String {
    let parts = word.split_inclusive(BETWEEN).map(|part| {
        let text = part.strip_suffix(BETWEEN).unwrap_or(part);
        format!("{}{}", veiled_word(text), &part[text.len()..])
    });
    parts.collect()
}

/// The text of a file, with stars for what may be a secret; nothing of what cannot be read.
pub(super) fn text(text: &str, grammar: Grammar) -> String {
    let offset = text.len() - text.trim_start_matches('\u{feff}').len();
    let Ok(tree) = grammar.read(text) else {
        return String::new();
    };
    let mut found = Found::default();
    if found.collect(&tree, false).is_none() {
        return String::new();
    }
    let behind_mark = &text[offset..];
    for comment in comments(behind_mark, grammar, &mut found.scalars) {
        found.veiled.push((comment, format!(" {VEIL}")));
    }
    found
        .veiled
        .sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut shown = behind_mark.to_owned();
    for (span, veil) in found.veiled {
        // A block of YAML has the end of its last line in it.
        let end = if shown[span.clone()].ends_with('\n') {
            "\n"
        } else {
            ""
        };
        shown.replace_range(span, &format!("{veil}{end}"));
    }
    format!("{}{shown}", &text[..offset])
}

/// What a tree has that matters here.
#[derive(Default)]
struct Found {
    /// What is hidden, and by what.
    veiled: Vec<(Range<usize>, String)>,
    /// Where names and values stand: no comment begins in one.
    scalars: Vec<Range<usize>>,
}

impl Found {
    /// `None` if something is to be hidden of which nobody knows where it stands.
    fn collect(&mut self, node: &Node, is_veiled: bool) -> Option<()> {
        match &node.value {
            Value::Text(text) | Value::Other(text) => {
                let shown = match (&node.value, is_veiled) {
                    (Value::Other(_), true) => VEIL.to_owned(),
                    (_, true) => value(text),
                    (Value::Other(_), false) => text.clone(),
                    (_, false) => veiled_word(text),
                };
                self.add(node, text, &shown)?;
            }
            Value::Half(raw) => {
                // Between its quotes.
                let text = raw.get(1..raw.len() - 1).unwrap_or_default();
                let shown = if is_veiled {
                    value(text)
                } else {
                    veiled_word(text)
                };
                self.add(node, text, &shown)?;
            }
            Value::List(items) => {
                let texts = items.iter().map(|item| match &item.value {
                    Value::Text(text) | Value::Other(text) | Value::Half(text) => text.as_str(),
                    Value::List(_) | Value::Map(_) => "",
                });
                let mut before = "";
                for (item, text) in items.iter().zip(texts) {
                    self.collect(item, is_veiled || is_secret_behind(before, text))?;
                    before = text;
                }
            }
            Value::Map(members) => {
                for member in members {
                    self.scalars.push(member.key_span.clone());
                    let is_veiled = is_veiled || is_hidden(&member.key);
                    self.collect(&member.node, is_veiled)?;
                }
            }
        }
        Some(())
    }

    fn add(&mut self, node: &Node, text: &str, shown: &str) -> Option<()> {
        self.scalars.push(node.span.clone());
        if shown == text {
            return Some(());
        }
        if node.span.is_empty() {
            return None;
        }
        // A string of JSON is one of TOML and YAML as well.
        let veil = serde_json::Value::from(shown).to_string();
        self.veiled.push((node.span.clone(), veil));
        Some(())
    }
}

/// The comments of a text, without the sign that they begin with.
fn comments(text: &str, grammar: Grammar, scalars: &mut Vec<Range<usize>>) -> Vec<Range<usize>> {
    scalars.retain(|span| !span.is_empty());
    scalars.sort_by_key(|span| span.start);
    let mut scalars = scalars.iter().peekable();
    let mut comments = Vec::new();
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        while scalars.next_if(|span| span.end <= at).is_some() {}
        if let Some(span) = scalars.peek()
            && span.start <= at
        {
            at = span.end;
            continue;
        }
        let (sign, end) = match grammar {
            Grammar::Toml | Grammar::Yaml => ("#", "\n"),
            Grammar::Json | Grammar::Jsonc if text[at..].starts_with("/*") => ("/*", "*/"),
            Grammar::Json | Grammar::Jsonc => ("//", "\n"),
        };
        if !text[at..].starts_with(sign) {
            at += character.len_utf8();
            continue;
        }
        let start = at + sign.len();
        let length = text[start..].find(end).unwrap_or(text.len() - start);
        let ends_line = text[start..start + length].trim_end();
        if !ends_line.is_empty() {
            comments.push(start..start + ends_line.len());
        }
        at = start + length;
        if end == "*/" {
            at = (at + end.len()).min(text.len());
        }
    }
    comments
}

#[cfg(test)]
mod tests;
