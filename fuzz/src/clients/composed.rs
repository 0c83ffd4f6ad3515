//! Files as people and clients write them, from choices: bytes that are changed at random seldom are
//! a file at all.
//!
//! Each byte of an input makes one choice, so an engine that changes bytes changes how something is
//! written, or which member comes next.

use std::fmt::{self, Write as _};

use config::clients::{Client, Grammar, Holder, WHOLE_FILE};

const TEXTS: [&str; 20] = [
    "npx",
    "-y",
    "uvx",
    "a b",
    "ü\u{1f600}",
    "it's",
    "\"q\"",
    "#no",
    "${X}",
    "--",
    "C:\\x",
    "",
    "true",
    "8080",
    "a: b",
    "- x",
    "tab\t",
    "two\nlines",
    "a, b",
    "docker",
];

const NAMES: [&str; 7] = ["a", "b", "c.d", "with space", "é", "a", "-"];

/// A value of a member.
enum Said {
    Text(&'static str),
    List(Vec<&'static str>),
    Map(Vec<(&'static str, &'static str)>),
    Raw(&'static str),
}

type Members = Vec<(&'static str, Said)>;

struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    /// The next byte, below `bound`; 0 when there are no more.
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % bound)
    }

    fn one_of<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    fn text(&mut self) -> &'static str {
        self.one_of(&TEXTS)
    }
}

/// Writing to a text does not fail.
fn put(text: &mut String, more: fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}

/// The file that these choices describe.
pub(super) fn file(client: &Client, input: &[u8]) -> String {
    let mut choices = Choices(input.iter());
    let form = choices.below(8);
    let entries: Vec<(&str, Members)> = (0..choices.below(4))
        .map(|_| (choices.one_of(&NAMES), members(client, &mut choices)))
        .collect();
    let text = match client.grammar {
        Grammar::Json | Grammar::Jsonc => json(client, &entries, &mut choices),
        Grammar::Toml => toml(&entries, &mut choices),
        Grammar::Yaml => yaml(client, &entries, &mut choices),
    };
    let text = if form & 1 != 0 {
        text.replace('\n', "\r\n")
    } else {
        text
    };
    if form & 2 != 0 {
        format!("\u{feff}{text}")
    } else {
        text
    }
}

fn members(client: &Client, choices: &mut Choices<'_>) -> Members {
    let command = choices.one_of(client.commands);
    let texts = |choices: &mut Choices<'_>| -> Vec<&'static str> {
        (0..choices.below(4)).map(|_| choices.text()).collect()
    };
    let mut members: Members = Vec::new();
    match command.arguments {
        Some(arguments) => {
            members.push((command.program, Said::Text(choices.text())));
            if choices.below(3) != 0 {
                let place = choices.below(2);
                members.insert(place, (arguments, Said::List(texts(choices))));
            }
        }
        None => members.push((command.program, Said::List(texts(choices)))),
    }
    for _ in 0..choices.below(4) {
        let member = match choices.below(5) {
            0 => ("type", Said::Text(client.local_types[0])),
            1 => (
                client.variables[0],
                Said::Map(vec![("A", choices.text()), ("B_C", "x")]),
            ),
            2 => ("timeout", Said::Raw("30")),
            3 => ("other", Said::List(texts(choices))),
            _ => ("enabled", Said::Raw("true")),
        };
        if members.iter().all(|(key, _)| *key != member.0) {
            let place = choices.below(members.len() + 1);
            members.insert(place, member);
        }
    }
    members
}

/// JSON with blanks, and where the client has them comments, in any place.
struct Json<'c, 'a> {
    choices: &'c mut Choices<'a>,
    has_comments: bool,
    text: String,
}

fn json(client: &Client, entries: &[(&str, Members)], choices: &mut Choices<'_>) -> String {
    let mut json = Json {
        choices,
        has_comments: client.grammar == Grammar::Jsonc,
        text: String::new(),
    };
    let keys = client.servers[json.choices.below(client.servers.len())];
    if keys == [WHOLE_FILE] {
        json.members(entries.first().map_or(&[], |(_, members)| members));
        return json.text;
    }
    for key in keys {
        json.token("{");
        json.string(if *key == "*" { "/a \"project\"" } else { key });
        json.token(":");
    }
    json.token("{");
    for (number, (name, members)) in entries.iter().enumerate() {
        if number > 0 {
            json.token(",");
        }
        json.string(name);
        json.token(":");
        json.members(members);
    }
    json.end("}");
    for _ in keys {
        json.end("}");
    }
    json.text
}

impl Json<'_, '_> {
    fn token(&mut self, token: &str) {
        let blanks = ["", " ", "\n  ", "\n\t", "", "\n"];
        let comments = ["", " ", "\n  ", "// \"}\n", "/* , */", "\n      "];
        let blank = self.choices.one_of(if self.has_comments {
            &comments
        } else {
            &blanks
        });
        self.text.push_str(blank);
        self.text.push_str(token);
    }

    /// A bracket, perhaps behind one comma too many.
    fn end(&mut self, bracket: &str) {
        if self.has_comments && self.choices.below(5) == 1 && !self.text.ends_with(['{', '[', ','])
        {
            self.token(",");
        }
        self.token(bracket);
    }

    fn members(&mut self, members: &[(&str, Said)]) {
        self.token("{");
        for (number, (key, said)) in members.iter().enumerate() {
            if number > 0 {
                self.token(",");
            }
            self.string(key);
            self.token(":");
            self.said(said);
        }
        self.end("}");
    }

    fn string(&mut self, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        let quoted = match self.choices.below(3) {
            1 => quoted.replace('/', "\\/").replace('é', "\\u00e9"),
            // As a program in JavaScript writes a text that it has cut.
            2 => quoted.replace('\u{1f600}', "\\ud83d"),
            _ => quoted,
        };
        self.token(&quoted);
    }

    fn said(&mut self, said: &Said) {
        match said {
            Said::Text(text) => self.string(text),
            Said::Raw(raw) => self.token(raw),
            Said::List(items) => {
                self.token("[");
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.token(",");
                    }
                    self.string(item);
                }
                self.end("]");
            }
            Said::Map(members) => {
                self.token("{");
                for (number, (key, value)) in members.iter().enumerate() {
                    if number > 0 {
                        self.token(",");
                    }
                    self.string(key);
                    self.token(":");
                    self.string(value);
                }
                self.end("}");
            }
        }
    }
}

fn toml(entries: &[(&str, Members)], choices: &mut Choices<'_>) -> String {
    let mut text = choices
        .one_of(&["", "# top\n", "model = \"x\"\n\n"])
        .to_owned();
    let style = choices.below(3);
    for (name, members) in entries {
        let name = format!("\"{name}\"");
        if style == 0 {
            let blank = choices.one_of(&["", " ", "  "]);
            let end = choices.one_of(&["\n", " # why\n", "\n\n"]);
            put(
                &mut text,
                format_args!("{blank}[mcp_servers.{blank}{name}]{end}"),
            );
        }
        let mut inline = Vec::new();
        let mut tables = String::new();
        for (key, said) in members {
            let value = toml_said(said, style == 2, choices);
            let equals = choices.one_of(&[" = ", "=", "  =\t"]);
            let end = choices.one_of(&["\n", " # [no]\n", "\n\n", "\n# a = 1\n"]);
            match (style, said) {
                (0, Said::Map(members)) if choices.below(2) == 0 => {
                    put(&mut tables, format_args!("[mcp_servers.{name}.{key}]\n"));
                    for (key, value) in members {
                        let value = toml_string(value, choices);
                        put(&mut tables, format_args!("{key} = {value}\n"));
                    }
                }
                (0, _) => {
                    let blank = choices.one_of(&["", "  ", "\t"]);
                    put(&mut text, format_args!("{blank}{key}{equals}{value}{end}"));
                }
                (1, _) => put(
                    &mut text,
                    format_args!("mcp_servers.{name}.{key}{equals}{value}{end}"),
                ),
                _ => inline.push(format!("{key}{equals}{value}")),
            }
        }
        if style == 2 {
            put(
                &mut text,
                format_args!("mcp_servers.{name} = {{ {} }}\n", inline.join(", ")),
            );
        }
        text.push_str(&tables);
    }
    text
}

fn toml_said(said: &Said, is_inline: bool, choices: &mut Choices<'_>) -> String {
    match said {
        Said::Text(text) => toml_string(text, choices),
        Said::Raw(raw) => (*raw).to_owned(),
        Said::List(items) => {
            let lead = if is_inline {
                choices.one_of(&["", " "])
            } else {
                choices.one_of(&["", " ", "\n  ", " # why\n\t"])
            };
            let items: Vec<String> = items
                .iter()
                .map(|item| toml_string(item, choices))
                .collect();
            let end = if is_inline {
                ""
            } else {
                choices.one_of(&["", ",", "\n", ",\n", " # end\n"])
            };
            let end = if items.is_empty() && end.starts_with(',') {
                ""
            } else {
                end
            };
            format!("[{lead}{}{end}]", items.join(&format!(",{lead}")))
        }
        Said::Map(members) => {
            let members = members
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml_string(value, choices)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn toml_string(text: &str, choices: &mut Choices<'_>) -> String {
    match choices.below(4) {
        1 if !text.contains(['\'', '\n', '\t']) => format!("'{text}'"),
        2 if !text.contains('\'') => format!("'''{text}'''"),
        3 if !text.contains(['"', '\\']) => format!("\"\"\"\n{text}\"\"\""),
        // What JSON escapes, TOML escapes in the same way.
        _ => serde_json::Value::from(text).to_string(),
    }
}

fn yaml(client: &Client, entries: &[(&str, Members)], choices: &mut Choices<'_>) -> String {
    let mut text = choices
        .one_of(&["", "# top\n", "---\n", "a: [1, 2]\n", "b: &x\n  - y\n"])
        .to_owned();
    let is_list = client.holder == Holder::List;
    let wide = choices.one_of(&["  ", "", "    "]);
    let wide = if wide.is_empty() && !is_list {
        "  "
    } else {
        wide
    };
    text.push_str(client.servers[0][0]);
    text.push(':');
    text.push_str(choices.one_of(&["\n", " # servers\n"]));
    for (name, members) in entries {
        let name = yaml_string(name, false, choices);
        let mut members: Vec<(&str, String)> = members
            .iter()
            .map(|(key, said)| (*key, yaml_said(said, wide, choices)))
            .collect();
        if is_list {
            let place = choices.below(members.len() + 1);
            members.insert(place, ("name", format!(" {name}")));
        }
        if choices.below(4) == 3 {
            let is_one_line = members.iter().all(|(_, value)| !value.contains('\n'));
            if is_one_line {
                let lead = if is_list {
                    "- ".to_owned()
                } else {
                    format!("{name}: ")
                };
                let inner: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{key}:{value}"))
                    .collect();
                put(
                    &mut text,
                    format_args!("{wide}{lead}{{{}}}\n", inner.join(", ")),
                );
                continue;
            }
        }
        if !is_list {
            put(&mut text, format_args!("{wide}{name}:\n"));
        }
        for (number, (key, value)) in members.iter().enumerate() {
            let lead = if is_list && number == 0 { "- " } else { "  " };
            let end = choices.one_of(&["\n", " # why\n", "\n\n", "\n# c\n"]);
            put(&mut text, format_args!("{wide}{lead}{key}:{value}{end}"));
        }
    }
    text
}

fn yaml_said(said: &Said, wide: &str, choices: &mut Choices<'_>) -> String {
    match said {
        Said::Text(text) => format!(" {}", yaml_string(text, true, choices)),
        Said::Raw(raw) => format!(" {raw}"),
        Said::List(items) if items.is_empty() || choices.below(2) == 0 => {
            let items: Vec<String> = items
                .iter()
                .map(|item| yaml_string(item, false, choices))
                .collect();
            format!(" [{}]", items.join(choices.one_of(&[", ", ",", " , "])))
        }
        Said::List(items) => {
            let inner = choices.one_of(&["  ", "    "]);
            let mut lines = String::new();
            for item in items {
                let item = yaml_string(item, true, choices);
                let comment = choices.one_of(&["", " # c", "", "\n"]);
                put(&mut lines, format_args!("\n{wide}{inner}- {item}{comment}"));
            }
            lines
        }
        Said::Map(members) => {
            let members = members
                .iter()
                .map(|(key, value)| format!("{key}: {}", yaml_string(value, false, choices)));
            format!(" {{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A scalar; bare if it is so chosen, whatever it says then.
fn yaml_string(text: &str, is_line: bool, choices: &mut Choices<'_>) -> String {
    let is_one_line = !text.contains(['\n', '\t']);
    match choices.below(5) {
        1 if is_one_line => format!("'{}'", text.replace('\'', "''")),
        2 if is_one_line && !text.is_empty() && (is_line || !text.contains(',')) => text.to_owned(),
        3 if is_line && is_one_line && !text.is_empty() => format!("|-\n            {text}"),
        4 => format!("!!str {}", serde_json::Value::from(text)),
        _ => serde_json::Value::from(text).to_string(),
    }
}
