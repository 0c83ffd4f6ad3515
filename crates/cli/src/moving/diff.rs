//! What a change looks like to a person.
//!
//! Without what may be a secret ([`veil`]).

use config::clients::Grammar;
use similar::TextDiff;

use super::veil;

/// Longest line that is shown whole, in characters: some files are one line.
const LINE_MAX: usize = 400;

/// How much of a longer one is shown before and behind what differs.
const AROUND: usize = 60;

/// A unified diff of two texts of one file.
pub(crate) fn unified(name: &str, before: &str, after: &str, grammar: Grammar) -> String {
    let (before, after) = (veil::text(before, grammar), veil::text(after, grammar));
    let (before, after) = shortened(&before, &after);
    TextDiff::from_lines(&before, &after)
        .unified_diff()
        .header(name, &format!("{name} (through mcpool)"))
        .to_string()
}

/// Both texts with what is the same in a long line left out, where a line differs.
fn shortened(before: &str, after: &str) -> (String, String) {
    let is_long = |text: &str| text.lines().any(|line| line.chars().count() > LINE_MAX);
    if !is_long(before) && !is_long(after) {
        return (before.to_owned(), after.to_owned());
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (
        before.split_inclusive('\n').collect(),
        after.split_inclusive('\n').collect(),
    );
    if old.len() != new.len() {
        return (cut_all(&old), cut_all(&new));
    }
    old.into_iter()
        .zip(new)
        .map(|(old, new)| cut_pair(old, new))
        .unzip()
}

fn cut_all(lines: &[&str]) -> String {
    lines.iter().map(|line| cut(line, 0, 0)).collect()
}

fn cut_pair(old: &str, new: &str) -> (String, String) {
    let same = |one: &mut dyn Iterator<Item = char>, other: &mut dyn Iterator<Item = char>| {
        one.zip(other)
            .take_while(|(one, other)| one == other)
            .count()
    };
    let front = same(&mut old.chars(), &mut new.chars());
    let shorter = old.chars().count().min(new.chars().count());
    let back = same(&mut old.chars().rev(), &mut new.chars().rev()).min(shorter - front);
    (cut(old, front, back), cut(new, front, back))
}

/// A line without most of its first `front` and its last `back` characters, if it is long.
fn cut(line: &str, front: usize, back: usize) -> String {
    let length = line.chars().count();
    if length <= LINE_MAX {
        return line.to_owned();
    }
    let from = front.saturating_sub(AROUND);
    let until = (length - back.saturating_sub(AROUND)).max(from);
    let until = if front == 0 && back == 0 {
        LINE_MAX
    } else {
        until
    };
    let middle: String = line.chars().skip(from).take(until - from).collect();
    let ends_line = line.ends_with('\n') && !middle.ends_with('\n');
    format!(
        "{}{middle}{}{}",
        if from > 0 { "…" } else { "" },
        if until < length { "…" } else { "" },
        if ends_line { "\n" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn values_of_variables_are_hidden_and_the_rest_is_shown() {
        let before = "{\n  \"apiKey\": \"sk-1\",\n  \"mcpServers\": {\n    \"a\": {\n      \"command\": \"npx\",\n      \"env\": {\"TOKEN\": \"ghp_1\", \"OTHER\": \"${OTHER}\"}\n    }\n  }\n}\n";
        let after = before.replace("npx", "mcpool");
        expect![[r#"
            --- f
            +++ f (through mcpool)
            @@ -2,7 +2,7 @@
               "apiKey": "***",
               "mcpServers": {
                 "a": {
            -      "command": "npx",
            +      "command": "mcpool",
                   "env": {"TOKEN": "***", "OTHER": "${OTHER}"}
                 }
               }
        "#]]
        .assert_eq(&unified("f", before, &after, Grammar::Json));
    }

    #[test]
    fn of_a_file_of_one_line_only_what_differs_is_shown() {
        let filling = "x".repeat(5000);
        let line = |command: &str| {
            format!("{{\"a\": \"{filling}\", \"c\": \"{command}\", \"b\": \"{filling}\"}}")
        };
        let shown = unified("f", &line("npx"), &line("mcpool"), Grammar::Json);
        assert!(shown.len() < 600, "{shown}");
        assert!(shown.contains("npx") && shown.contains("mcpool"), "{shown}");
    }
}
