//! A configuration file: reading it, and editing it without a trace.
//!
//! The oracle of an edit is the file itself: what is not about the server stays byte for byte, what was
//! added can be taken out again, and the rest means what it meant.

use std::{collections::BTreeMap, path::Path, str};

use config::{
    Config, EditError, LoadError, Scope, ServerEntry, ServerName, Template, add_server, load,
    remove_server,
};

use crate::choices::Choices;

mod composed;

const FILE: &str = "config.toml";

/// Longest input that is also taken for a list of pieces, in bytes.
const PIECES_MAX: usize = 60;

/// Checks the bytes as a configuration file, and the file that they describe piece by piece.
pub fn check(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        check_file(input, text);
    }
    if input.len() <= PIECES_MAX {
        check_file(input, &composed::file(input));
    }
}

fn check_file(input: &[u8], text: &str) {
    match load(text, Path::new(FILE)) {
        Ok(config) => {
            check_values(&config);
            check_addition(text, &config, &mut Choices::of(input));
            for name in config.servers.keys() {
                check_removal(text, &config, name);
            }
        }
        Err(error) => {
            check_error(text, &error);
            check_broken(text, &mut Choices::of(input));
        }
    }
}

/// An error says where in the file something is wrong.
fn check_error(text: &str, error: &LoadError) {
    assert_eq!(error.file, Path::new(FILE));
    assert!(!error.message.is_empty());
    let line = error
        .line
        .checked_sub(1)
        .and_then(|index| text.split('\n').nth(index));
    let Some(line) = line else {
        panic!("there is no line {}: {error}", error.line)
    };
    assert!(
        (1..=line.chars().count() + 1).contains(&error.column),
        "there is no column {}: {error}",
        error.column
    );
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("{FILE}:{}:{}: ", error.line, error.column)));
}

/// What was read means the same when it is read from what was written down of it.
fn check_values(config: &Config) {
    for (name, server) in &config.servers {
        assert_eq!(name.as_str().parse::<ServerName>().as_ref(), Ok(name));
        for template in server.templates() {
            let again = Template::parse(&template.as_written(), None);
            assert_eq!(again.as_ref(), Ok(template));
        }
    }
}

/// A server more changes nothing else, and is gone without a trace when it is taken out.
fn check_addition(text: &str, config: &Config, choices: &mut Choices) {
    let name = name(config, choices);
    let entry = entry(text, choices);
    let edited = match add_server(text, Path::new(FILE), &name, &entry) {
        Ok(edited) => edited,
        Err(EditError::Exists { name: taken }) => {
            assert!(taken == name && config.servers.contains_key(&name));
            return;
        }
        Err(EditError::Entry { key, message }) => {
            assert!(key.starts_with("servers.") && !message.is_empty());
            return;
        }
        Err(EditError::Inline { .. }) => {
            assert!(text.contains('{') || text.contains("servers"));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let Some(added) = edited.strip_prefix(text) else {
        panic!("the text before is no longer there")
    };
    assert!(added.contains(name.as_str()));
    let Ok(mut after) = load(&edited, Path::new(FILE)) else {
        panic!("the edited file cannot be read")
    };
    let server = after.servers.remove(&name);
    assert_eq!(&after, config, "everything else means what it meant");
    let Some(server) = server else {
        panic!("the server is not there")
    };
    let arguments: Vec<String> = server.args.iter().map(Template::as_written).collect();
    assert_eq!(arguments, entry.args, "what was added is what was meant");

    match remove_server(&edited, Path::new(FILE), name.as_str()) {
        Ok(undone) if text.is_empty() || text.ends_with('\n') => assert_eq!(undone, text),
        // The last line had no end; now it has one.
        Ok(undone) => assert_eq!(
            undone.trim_end_matches(['\r', '\n']),
            text.trim_end_matches(['\r', '\n'])
        ),
        Err(error) => panic!("what was added cannot be removed: {error}"),
    }
}

/// Without a server, all others mean what they meant, and no line has changed.
fn check_removal(text: &str, config: &Config, name: &ServerName) {
    let edited = match remove_server(text, Path::new(FILE), name.as_str()) {
        Ok(edited) => edited,
        Err(EditError::Inline { .. } | EditError::ByHand { .. } | EditError::Addressed { .. }) => {
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut expected = config.clone();
    expected.servers.remove(name);
    assert_eq!(load(&edited, Path::new(FILE)).as_ref(), Ok(&expected));
    let mut lines = text.split_inclusive('\n');
    for line in edited.split_inclusive('\n') {
        assert!(lines.any(|old| old == line), "{line:?} is new");
    }
}

/// A file with an error cannot be added to, unless a server is just what it wants; a server may be taken out of
/// it, if that is certain.
fn check_broken(text: &str, choices: &mut Choices) {
    let name = name(&Config::default(), choices);
    let entry = entry(text, choices);
    let refused = add_server(text, Path::new(FILE), &name, &entry);
    let wants_server = |error: LoadError| error.key.ends_with("].server");
    assert!(
        matches!(refused, Err(EditError::Unreadable(_)))
            || load(text, Path::new(FILE)).is_err_and(wants_server)
    );
    for name in text.split(['[', ']', '.', '\n', ' ', '"']).take(20) {
        if let Ok(edited) = remove_server(text, Path::new(FILE), name) {
            assert!(edited.len() < text.len());
        }
    }
}

/// Often a new name, sometimes one that is taken.
fn name(config: &Config, choices: &mut Choices) -> ServerName {
    let names = ["new", "a.b", "-", "0", "servers", "limits", "..."];
    let taken = config.servers.keys().next();
    match (choices.below(8), taken) {
        (0, Some(taken)) => taken.clone(),
        _often => match choices.one_of(&names).parse() {
            Ok(name) => name,
            Err(error) => panic!("{error}"),
        },
    }
}

/// A server whose texts are pieces of the input, so that they hold whatever a text can hold.
fn entry(text: &str, choices: &mut Choices) -> ServerEntry {
    let mut piece = || {
        let start = text.floor_char_boundary(choices.below(text.len() + 1));
        let end = text.floor_char_boundary(start + choices.below(24));
        // A hole of a template could be cut in the middle.
        text[start..end.max(start)].replace('$', "S")
    };
    let command = format!("x{}", piece());
    let args = (0..3).map(|_| piece()).collect();
    let env = BTreeMap::from([
        ("TOKEN".to_owned(), piece()),
        (format!("a.{}", piece().replace(['=', '\0'], "")), piece()),
    ]);
    let cwd = Some(format!("/{}", piece()));
    let url = format!("http://host/{}", piece());
    let headers = BTreeMap::from([("X-Token".to_owned(), piece())]);
    let scope = *choices.one_of(&[None, Some(Scope::Auto), Some(Scope::Session)]);
    if choices.below(4) == 0 {
        return ServerEntry {
            url: Some(url),
            headers,
            scope,
            ..ServerEntry::default()
        };
    }
    ServerEntry {
        command,
        args,
        env,
        cwd,
        scope,
        ..ServerEntry::default()
    }
}
