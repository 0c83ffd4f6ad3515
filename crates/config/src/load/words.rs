//! Words as users write them: keys, durations, sizes, and near misses of these.

use std::time::Duration;

/// Letters that may differ between a word and the one that was meant.
const DISTANCE_MAX: usize = 3;

/// Names that other programs use for what we call otherwise.
const ALIASES: &[(&str, &str)] = &[
    ("mcpServers", "servers"),
    ("mcp_servers", "servers"),
    ("cmd", "command"),
    ("environment", "env"),
    ("env_vars", "env_pass"),
    ("working_directory", "cwd"),
    ("workdir", "cwd"),
    ("dir", "cwd"),
];

/// The known word that an unknown one was probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let alias = ALIASES
        .iter()
        .find(|(other, _)| *other == word)
        .map(|(_, ours)| *ours);
    if let Some(ours) = known.iter().find(|known| alias == Some(**known)) {
        return Some(ours);
    }
    let lower = word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, known), *known))
        .filter(|(distance, known)| *distance <= DISTANCE_MAX.min(known.len() / 2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A key as it would be written in the file.
pub(super) fn shown_key(name: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if !name.is_empty() && name.chars().all(is_bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// Reads `"10m"`, `"1h 30m"`, `"0s"`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// Reads `"64 MiB"`, `"8MB"`, `"512"` as a number of bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_len);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_binary_or_a_decimal_unit() {
        let cases = [
            ("512", Some(512)),
            ("64 MiB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            (" 8 mb ", Some(8_000_000)),
            ("1 GiB", Some(1 << 30)),
            ("1.5 MiB", None),
            ("-1", None),
            ("MiB", None),
            ("", None),
            ("1 TiB", None),
            ("18446744073709551615 GiB", None),
            ("18446744073709551616", None),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_near_miss_is_recognised_and_a_far_one_is_not() {
        let known = ["command", "args", "env", "env_pass", "cwd", "servers"];
        let cases = [
            ("comand", Some("command")),
            ("Command", Some("command")),
            ("arg", Some("args")),
            ("env-pass", Some("env_pass")),
            ("mcpServers", Some("servers")),
            ("environment", Some("env")),
            ("url", None),
            ("x", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}
