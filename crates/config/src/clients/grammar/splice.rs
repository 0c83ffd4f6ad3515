//! Splices that grammars with brackets and commas have in common.

use super::{
    super::tree::{Member, Node, Step, Style, Value},
    Splice,
};

/// The text with each span replaced; spans do not overlap.
pub(super) fn apply(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|(span, _)| span.start);
    let mut edited = String::with_capacity(text.len() + 256);
    let mut copied = 0;
    for (span, new) in splices {
        edited.push_str(&text[copied..span.start]);
        edited.push_str(&new);
        copied = span.end;
    }
    edited.push_str(&text[copied..]);
    edited
}

/// The node at the end of a path on which no name stands twice.
pub(super) fn node_at<'t>(tree: &'t Node, path: &[Step]) -> Option<&'t Node> {
    path.iter().try_fold(tree, |node, step| match step {
        Step::Key(key) => Some(&only_member(node, key)?.node),
        Step::Index(index) => node.items().get(*index),
    })
}

/// The member of this name, if there is exactly one.
pub(super) fn only_member<'t>(map: &'t Node, key: &str) -> Option<&'t Member> {
    let mut found = map.members().iter().filter(|member| member.key == key);
    let member = found.next()?;
    found.next().is_none().then_some(member)
}

/// The span of a text that can be replaced.
pub(super) fn text_span(node: &Node) -> Option<std::ops::Range<usize>> {
    let is_plain = matches!(node.value, Value::Text(_)) && node.style == Style::Flow;
    is_plain.then(|| node.span.clone())
}

/// What stands between the start of the line and a place in it.
pub(super) fn line_before(text: &str, place: usize) -> &str {
    let start = text[..place].rfind('\n').map_or(0, |newline| newline + 1);
    &text[start..place]
}

/// The blanks before a place, if nothing else stands before it on its line.
pub(super) fn indentation(text: &str, place: usize) -> Option<&str> {
    let before = line_before(text, place);
    before
        .chars()
        .all(|character| character == ' ' || character == '\t')
        .then_some(before)
}

/// Whether the file puts a blank behind a comma on one line.
pub(super) fn comma(text: &str) -> &'static str {
    // A file of one line without blanks stays without.
    if text.trim_end().contains('\n') || text.contains(", ") || text.contains(": ") {
        ", "
    } else {
        ","
    }
}

/// Items before the first one of a list in brackets.
pub(super) fn prepend(text: &str, list: &Node, printed: &[String]) -> Option<Splice> {
    if list.style != Style::Flow {
        return None;
    }
    let Some(first) = list.items().first() else {
        let place = list.span.start + 1;
        return Some((place..place, printed.join(comma(text))));
    };
    let place = first.span.start;
    let separator = match (indentation(text, place), list.items().get(1)) {
        (Some(indentation), _) => {
            let newline = super::Grammar::newline(text);
            format!(",{newline}{indentation}")
        }
        (None, Some(second)) if &text[first.span.end..second.span.start] == "," => ",".to_owned(),
        (None, Some(_)) => ", ".to_owned(),
        (None, None) => comma(text).to_owned(),
    };
    let mut new = printed.join(&separator);
    new.push_str(&separator);
    Some((place..place, new))
}

/// A list in brackets without its first items.
pub(super) fn drop_first(list: &Node, count: usize) -> Option<Splice> {
    if list.style != Style::Flow {
        return None;
    }
    let items = list.items();
    let start = items.first()?.span.start;
    let end = match items.get(count) {
        Some(next) => next.span.start,
        None => items.get(count.checked_sub(1)?)?.span.end,
    };
    Some((start..end, String::new()))
}

/// One more member behind another, in braces.
pub(super) fn insert_in_braces(text: &str, after: &Member, key: &str, value: &str) -> Splice {
    let place = after.node.span.end;
    let lead = match indentation(text, after.key_span.start) {
        Some(indentation) => format!(",{}{indentation}", super::Grammar::newline(text)),
        None => comma(text).to_owned(),
    };
    let between = &text[after.key_span.end..after.node.span.start];
    let is_usual =
        between.len() < 8 && between.chars().all(|character| " \t:=".contains(character));
    let between = if is_usual { between } else { ": " };
    (place..place, format!("{lead}{key}{between}{value}"))
}

/// Another member in the place of one, with the same between its name and its value.
///
/// `None` where that is not one of its name, or has lines to itself.
pub(super) fn replace(
    text: &str,
    map: &Node,
    from: &str,
    (key, value): (&str, &str),
) -> Option<Splice> {
    let member = only_member(map, from)?;
    let between = &text[member.key_span.end..member.node.span.start];
    (member.node.style == Style::Flow).then(|| {
        (
            member.key_span.start..member.node.span.end,
            format!("{key}{between}{value}"),
        )
    })
}

/// A member that has lines to itself, without them: from that with its name to where it ends.
///
/// A comment there is somebody's.
pub(super) fn remove_lines(text: &str, member: &Member, end: usize) -> Option<Splice> {
    let lead = line_before(text, member.key_span.start);
    let is_header = lead.trim_start().starts_with('[');
    let start = member.key_span.start - lead.len();
    let line_end = text[end..]
        .find('\n')
        .map_or(text.len(), |newline| end + newline + 1);
    let lines = text.get(start..line_end)?;
    let has_comment = lines.lines().any(|line| line.trim_start().starts_with('#'));
    let is_alone = is_header || lead.trim().is_empty();
    if !is_alone || has_comment || !text[end..line_end].trim().is_empty() {
        return None;
    }
    if line_end == text.len() && !text.ends_with('\n') {
        // Its line has no end, so that of the one before goes.
        let start = text[..start].trim_end_matches(['\r', '\n']).len();
        return Some((start..line_end, String::new()));
    }
    Some((start..line_end, String::new()))
}

/// A map without a member.
///
/// Where another member is before it, only blanks and commas may be between them: a
/// comment there is somebody's.
pub(super) fn remove(text: &str, map: &Node, key: &str) -> Option<Splice> {
    let members = map.members();
    let place = members.iter().position(|member| member.key == key)?;
    let member = only_member(map, key)?;
    let (span, between) = if let Some(before) = place.checked_sub(1).map(|before| &members[before])
    {
        let end = before.node.span.end;
        // The names before the last one of a dotted name are the same for both. What stands
        // before a member on the line on which the one before it ends is no such name.
        let lead = line_before(text, member.key_span.start);
        let line = member.key_span.start - lead.len();
        let is_dotted = line >= end && lead == line_before(text, before.key_span.start);
        let start = if is_dotted {
            line
        } else {
            member.key_span.start
        };
        (end..member.node.span.end, end..start)
    } else if map.style == Style::Block {
        // Its line would stay.
        return None;
    } else if let Some(after) = members.get(place + 1) {
        let start = after.key_span.start;
        (member.key_span.start..start, member.node.span.end..start)
    } else {
        let span = member.key_span.start..member.node.span.end;
        (span, 0..0)
    };
    let is_free = text
        .get(between)?
        .chars()
        .all(|character| character.is_whitespace() || character == ',');
    (is_free && member.node.style != Style::Fixed).then(|| (span, String::new()))
}
