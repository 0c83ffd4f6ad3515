//! A JSON text that is no message, looked into: values found by name, number or path, each as it stands.

use alloc::{borrow::Cow, vec::Vec};

use crate::{
    params::unquoted,
    skim::{elements, is_json, members},
};

/// A value in a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a> {
    text: &'a str,
}

impl<'a> Json<'a> {
    /// The value that a text is, blanks around it left out; `None` if it is not JSON.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        is_json(text).then_some(Json { text })
    }

    /// Its text.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    /// What it says, if it is a string, escapes resolved.
    pub fn string(self) -> Option<Cow<'a, str>> {
        unquoted(self.text)
    }

    /// The member of this name, if it is an object; the last of several, as most parsers have it.
    pub fn member(self, name: &str) -> Option<Json<'a>> {
        let mut found = None;
        members(self.text, |named, value| {
            if named.text().as_deref() == Some(name) {
                found = Some(Json { text: value });
            }
        })
        .ok()?;
        found
    }

    /// All elements, if it is an array.
    pub fn elements(self) -> Option<Vec<Json<'a>>> {
        let mut all = Vec::new();
        elements(self.text, |text| all.push(Json { text })).ok()?;
        Some(all)
    }

    /// What is at a path: names of members, and numbers of elements from 0 on, with dots between.
    ///
    /// A name may have dots itself; where that can be read in several ways, the first step is as short as leads on.
    pub fn at(self, path: &str) -> Option<Json<'a>> {
        let dots = path.match_indices('.').map(|(at, _)| at);
        dots.chain([path.len()]).find_map(|end| {
            let (step, rest) = path.split_at(end);
            let there = self.step(step)?;
            match rest.strip_prefix('.') {
                Some(rest) => there.at(rest),
                None => Some(there),
            }
        })
    }

    fn step(self, step: &str) -> Option<Json<'a>> {
        self.member(step).or_else(|| {
            let number: usize = step.parse().ok()?;
            self.elements()?.get(number).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(text: &'a str, path: &str) -> Option<&'a str> {
        Json::parse(text).unwrap().at(path).map(Json::text)
    }

    #[test]
    fn what_is_at_a_path_comes_as_it_stands() {
        let text = r#" {"tool_input": {"file\u005fpath":"/a \"b\"", "n": 1e400, "all": [ 1, {"x": null}]}} "#;
        assert_eq!(at(text, "tool_input.file_path"), Some(r#""/a \"b\"""#));
        assert_eq!(at(text, "tool_input.n"), Some("1e400"));
        assert_eq!(at(text, "tool_input.all.1.x"), Some("null"));
        assert_eq!(at(text, "tool_input.all"), Some(r#"[ 1, {"x": null}]"#));
        for path in [
            "",
            ".",
            "nothing",
            "tool_input.n.x",
            "tool_input.all.2",
            "tool_input.all.-1",
        ] {
            assert_eq!(at(text, path), None, "{path}");
        }
    }

    #[test]
    fn a_name_may_have_dots() {
        assert_eq!(at(r#"{"a.b":1}"#, "a.b"), Some("1"));
        assert_eq!(at(r#"{"a.b":{"c":[2]},"a":{}}"#, "a.b.c.0"), Some("2"));
        assert_eq!(at(r#"{"a":{"b":1},"a.b":2}"#, "a.b"), Some("1"));
        assert_eq!(at(r#"{"a.b":1}"#, "a"), None);
    }

    #[test]
    fn a_member_that_is_there_twice_is_the_last_and_numbers_may_be_names() {
        assert_eq!(at(r#"{"a":1,"a":2}"#, "a"), Some("2"));
        assert_eq!(at(r#"{"0":{"1":"x"}}"#, "0.1"), Some(r#""x""#));
    }

    #[test]
    fn a_string_says_what_its_escapes_mean_and_nothing_else_is_one() {
        let said = |text| Json::parse(text).unwrap().string();
        assert_eq!(said(r#""a\u00e9\n""#).as_deref(), Some("aé\n"));
        assert_eq!(said("1"), None);
        assert_eq!(Json::parse(r#""a"#), None);
        assert_eq!(Json::parse("{} {}"), None);
    }
}
