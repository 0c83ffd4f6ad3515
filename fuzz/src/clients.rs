//! A client's file: finding its servers, putting mcpool before them, and taking it away again.
//!
//! The oracle of an edit is the file itself: with the command lines cut out of both, the file
//! before and the file after are the same bytes.

use std::{ops::Range, str};

use config::clients::{
    ALL, Arguments, Caller, Change, Client, EditError, Entry, Grammar, Kind, Local, Node, Step,
    Style, Value, adopt, adopt_over_http, over_http, release, release_from_http, survey,
};

mod composed;

/// Longest input that is also taken for choices, in bytes.
const CHOICES_MAX: usize = 400;

/// Checks the bytes as a file of one client, which the first of them names, and the file that they
/// describe choice by choice.
pub fn check(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let number = usize::from(*first);
    let client = ALL[number % ALL.len()];
    let forms: Vec<&Client> = client.forms().collect();
    let client = forms[number / ALL.len() % forms.len()];
    if let Ok(text) = str::from_utf8(rest) {
        check_file(client, text);
    }
    if rest.len() <= CHOICES_MAX {
        check_file(client, &composed::file(client, rest));
    }
}

fn caller() -> Caller {
    Caller {
        program: "/opt/mcpool".to_owned(),
        home: None,
    }
}

fn check_file(client: &Client, text: &str) {
    let before = match survey(text, client) {
        Ok(before) => before,
        Err(error) => {
            assert!(error.line > 0 && error.column > 0 && !error.message.is_empty());
            let change = Change::Remove {
                at: Vec::new(),
                key: String::new(),
            };
            let refused = client.grammar.edit(text, &[change]);
            assert_eq!(refused, Err(EditError::Unreadable(error)));
            return;
        }
    };
    let mut after = text.to_owned();
    let mut adopted = Vec::new();
    for (number, entry) in before.iter().enumerate() {
        if let Kind::Local(local) = &entry.kind
            && let Ok(edited) = client.grammar.edit(&after, &adopt(entry, local, &caller()))
        {
            check_rest(client, &after, &edited, entry);
            after = edited;
            adopted.push((number, local));
        }
    }
    check_undoing(client, text, &after, &before, &adopted);
    check_addresses(client, text, &before);
    check_more(client, text);
}

/// Nothing but a command line differs, and what was in its list is still there as it was written.
fn check_rest(client: &Client, before: &str, after: &str, entry: &Entry) {
    let (old, new) = (
        command(client, before, entry),
        command(client, after, entry),
    );
    let Some((program, Some(list))) = new else {
        panic!("the command line is gone")
    };
    let Some((old_program, old_list)) = old else {
        panic!("there was no command line")
    };
    let (program, inserted) = if old_list.is_some() || program == list {
        (program, list.clone())
    } else {
        // The list was put behind the program.
        (program.start..list.end, list.end..list.end)
    };
    let old_list_or_none = old_list.clone().unwrap_or(old_program.end..old_program.end);
    assert_eq!(
        without(before, &[old_program, old_list_or_none]),
        without(after, &[program, inserted]),
        "something else has changed"
    );
    if old_list.is_some()
        && let Some(words) = words(client, before, entry)
    {
        let words = &before[words];
        assert!(
            after[list].ends_with(words),
            "what was in the list has changed"
        );
    }
}

/// The bytes of the program, and of the list of its arguments if there is one; they are the same
/// where one list holds all words.
fn command(
    client: &Client,
    text: &str,
    entry: &Entry,
) -> Option<(Range<usize>, Option<Range<usize>>)> {
    in_command(client, text, entry, |program, list| {
        (program.span.clone(), list.map(list_span))
    })
    .map(|(program, list)| (shifted(text, program), list.map(|list| shifted(text, list))))
}

/// The bytes from the first word of the list to its end, if it has one.
fn words(client: &Client, text: &str, entry: &Entry) -> Option<Range<usize>> {
    let words = in_command(client, text, entry, |_, list| {
        let list = list?;
        Some(list.items().first()?.span.start..list_span(list).end)
    });
    Some(shifted(text, words??))
}

fn in_command<T>(
    client: &Client,
    text: &str,
    entry: &Entry,
    look: impl Fn(&Node, Option<&Node>) -> T,
) -> Option<T> {
    let tree = client.grammar.read(text).ok()?;
    let entry = tree.at(&entry.at)?;
    client.commands.iter().find_map(|form| {
        let holder = match form.within {
            Some(within) => entry.get(within)?,
            None => entry,
        };
        let program = holder.get(form.program)?;
        if let Value::Map(_) = program.value {
            return None;
        }
        Some(match form.arguments {
            Some(arguments) => look(program, holder.get(arguments)),
            None => look(program, Some(program)),
        })
    })
}

/// Spans count from behind the mark of the byte order.
fn shifted(text: &str, span: Range<usize>) -> Range<usize> {
    let offset = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    span.start + offset..span.end + offset
}

/// Where a list stands. That of a block ends with its last item.
fn list_span(list: &Node) -> Range<usize> {
    match (list.style, list.items()) {
        (Style::Block, [from, .., to]) => from.span.start..to.span.end,
        (Style::Block, [only]) => only.span.clone(),
        _ => list.span.clone(),
    }
}

fn without(text: &str, spans: &[Range<usize>; 2]) -> String {
    let [one, other] = spans;
    let (first, second) = if one.start <= other.start {
        (one, other)
    } else {
        (other, one)
    };
    let middle = text.get(first.end..second.start).unwrap_or_default();
    [
        &text[..first.start],
        middle,
        &text[second.end.max(first.end)..],
    ]
    .concat()
}

/// What a file says, however it is written.
fn said(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("{text:?}"),
        Value::Other(raw) | Value::Half(raw) => raw.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(said).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(members) => {
            let members = members
                .iter()
                .map(|member| format!("{:?}:{}", member.key, said(&member.node)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

/// The servers are what was meant, a second time changes nothing, and the way back leaves no trace.
fn check_undoing(
    client: &Client,
    before_text: &str,
    after_text: &str,
    before: &[Entry],
    adopted: &[(usize, &Local)],
) {
    let Ok(after) = survey(after_text, client) else {
        panic!("the edited file cannot be read")
    };
    assert_eq!(before.len(), after.len());
    let mut changes = Vec::new();
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        let Some((_, local)) = adopted.iter().find(|(adopted, _)| *adopted == number) else {
            assert_eq!(before, after, "a server that is left alone is what it was");
            continue;
        };
        let Kind::Ours(command) = &after.kind else {
            panic!("a second time would change something")
        };
        assert_eq!(command.words, caller().command_line(&before.name, local));
        let arguments: Arguments = local.command.arguments();
        match release(command, arguments) {
            Some(release) => changes.extend(release),
            None => panic!("there is no way back"),
        }
    }
    match client.grammar.edit(after_text, &changes) {
        // A bare text with a comma is quoted between brackets, and stays so.
        Ok(undone) if client.grammar == Grammar::Yaml && undone != before_text => {
            let undone = client.grammar.read(&undone).map(|tree| said(&tree));
            let before = client.grammar.read(before_text).map(|tree| said(&tree));
            assert_eq!(undone, before, "the way back leads elsewhere");
        }
        Ok(undone) => assert_eq!(undone, before_text, "the way back leaves a trace"),
        Err(error) => panic!("there is no way back: {error}"),
    }
}

const URL: &str = "http://127.0.0.1:7665/mcp/x";

/// An address takes the place of a command line and of nothing else, and the command line comes back.
fn check_addresses(client: &Client, text: &str, entries: &[Entry]) {
    let Ok(tree) = client.grammar.read(text) else {
        return;
    };
    for (number, entry) in entries.iter().enumerate() {
        let Kind::Local(local) = &entry.kind else {
            continue;
        };
        if over_http(&tree, entry, local, client).is_err() {
            continue;
        }
        let changes = adopt_over_http(&tree, entry, local, client, URL);
        let Ok(imported) = client.grammar.edit(text, &changes) else {
            continue;
        };
        let (Ok(after), Ok(now)) = (survey(&imported, client), client.grammar.read(&imported))
        else {
            panic!("the edited file cannot be read")
        };
        assert_eq!(after.len(), entries.len());
        for (other, (before, after)) in entries.iter().zip(&after).enumerate() {
            assert!(
                other == number || before == after,
                "another server has changed"
            );
        }
        check_surroundings(text, &imported, &tree, entry);
        let at: &[Step] = &entry.at;
        let before = (text, &tree, entry, local);
        let Some(changes) = release_from_http((&now, at), before, client, URL) else {
            panic!("there is no way back")
        };
        // Where nobody can write it but a person, that is said.
        if let Ok(undone) = client.grammar.edit(&imported, &changes) {
            let undone = client.grammar.read(&undone).map(|tree| tree.in_any_order());
            assert_eq!(
                undone,
                Ok(tree.in_any_order()),
                "the way back leads elsewhere"
            );
        }
    }
}

/// No byte before or behind an entry in brackets has changed.
fn check_surroundings(before: &str, after: &str, tree: &Node, entry: &Entry) {
    let Some(node) = tree.at(&entry.at).filter(|node| node.style == Style::Flow) else {
        return;
    };
    let span = shifted(before, node.span.clone());
    assert!(
        after.starts_with(&before[..span.start]),
        "what is before it has changed"
    );
    assert!(
        after.ends_with(&before[span.end..]),
        "what is behind it has changed"
    );
}

/// One more member comes and goes without a trace, wherever there is another.
fn check_more(client: &Client, text: &str) {
    let (Ok(tree), Some(path)) = (client.grammar.read(text), client.servers.first()) else {
        return;
    };
    let at: Vec<Step> = path
        .iter()
        .map(|key| Step::Key((*key).to_owned()))
        .collect();
    let Some(holder) = tree.at(&at) else {
        return;
    };
    let key = "one more".to_owned();
    let put = Change::Put {
        at: at.clone(),
        key: key.clone(),
        value: holder.clone(),
    };
    let Ok(more) = client.grammar.edit(text, &[put]) else {
        return;
    };
    match client.grammar.edit(&more, &[Change::Remove { at, key }]) {
        Ok(less) if !holder.members().is_empty() => assert_eq!(less, text),
        Ok(less) => {
            let less = client.grammar.read(&less).map(|tree| said(&tree));
            assert_eq!(less, Ok(said(&tree)));
        }
        Err(error) => panic!("what has come does not go: {error}"),
    }
}
