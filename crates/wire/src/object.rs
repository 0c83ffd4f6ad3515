//! Members of an object within a frame: found by name, taken out and put in, the others as they stood.

use alloc::{borrow::Cow, string::String, vec::Vec};

use crate::{
    frame::Frame,
    params::{Span, span},
    quoted,
    skim::members,
};

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, escapes resolved. One with half a character in it cannot be resolved, and stands here as it is
    /// written, with its quotes: nobody looks for such a name.
    pub name: Cow<'a, str>,
    /// Its name as it is written, with its quotes.
    pub written: &'a str,
    /// The JSON text of its value.
    pub value: &'a str,
    /// Where the value stands: in the frame, or in an object that stands alone.
    pub at: Span,
}

/// The members of an object that stands alone, in order; `None` if the text is none.
pub fn members_of(object: &str) -> Option<Vec<Member<'_>>> {
    let mut found = Vec::new();
    members(object, |name, value| {
        found.push(Member {
            name: name.text().unwrap_or(Cow::Borrowed(name.json)),
            written: name.json,
            value,
            at: span(object, value),
        });
    })
    .ok()?;
    Some(found)
}

/// An object that stands alone without the members of these names, and with others behind the rest.
///
/// `None` if the text is none. What stays is as it stood.
pub fn edited(object: &str, without: &[&str], with: &[(&str, &str)]) -> Option<String> {
    let members = members_of(object)?;
    let mut edited = String::from("{");
    for member in &members {
        if !without.contains(&member.name.as_ref()) {
            push_member(&mut edited, member.written, member.value);
        }
    }
    for (name, value) in with {
        push_member(&mut edited, &quoted(name), value);
    }
    edited.push('}');
    Some(edited)
}

impl Frame {
    /// The members of the object at a span of this frame, in order; `None` if no object stands there.
    pub fn members(&self, object: &Span) -> Option<Vec<Member<'_>>> {
        let mut found = members_of(self.json(object))?;
        for member in &mut found {
            member.at = object.start + member.at.start..object.start + member.at.end;
        }
        Some(found)
    }

    /// The first member of this name of the object at a span of this frame.
    pub fn member(&self, object: &Span, name: &str) -> Option<Member<'_>> {
        let members = self.members(object)?;
        members.into_iter().find(|member| member.name == name)
    }

    /// The object at a span of this frame without the members of these names, and with others behind the rest.
    ///
    /// `None` if no object stands there. What stays is as it stood.
    pub fn edited(&self, object: &Span, without: &[&str], with: &[(&str, &str)]) -> Option<String> {
        edited(self.json(object), without, with)
    }
}

/// Adds a member to an object that is being written; both are JSON.
fn push_member(object: &mut String, name: &str, value: &str) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(name);
    object.push(':');
    object.push_str(value);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Message;

    fn meta_of(text: &'static str) -> (Frame, Span) {
        let frame = Frame::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let Message::Request { params, .. } = &frame.message else {
            panic!("a request");
        };
        let meta = params.meta.clone().unwrap();
        (frame, meta)
    }

    #[test]
    fn members_are_taken_out_and_put_in_and_the_others_stay_as_they_stood() {
        let (frame, meta) = meta_of(
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{ "a" : 1e400, "\u0062":[ 1 ] ,"c":"\u00e9"}}}"#,
        );
        assert_eq!(
            frame.json(&meta),
            r#"{ "a" : 1e400, "\u0062":[ 1 ] ,"c":"\u00e9"}"#
        );
        let edited = frame.edited(&meta, &["b", "nobody"], &[("d", "{}")]);
        assert_eq!(
            edited.as_deref(),
            Some(r#"{"a":1e400,"c":"\u00e9","d":{}}"#)
        );
        let members = frame.members(&meta).unwrap();
        let found = members.iter().map(|member| frame.json(&member.at));
        assert_eq!(found.collect::<Vec<_>>(), ["1e400", "[ 1 ]", r#""\u00e9""#]);
    }

    #[test]
    fn a_name_that_holds_half_a_character_stays_as_it_stood() {
        let (frame, meta) = meta_of(
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"\ud800":1,"a":2,"\u0063":3}}}"#,
        );
        let edited = frame.edited(&meta, &["a"], &[("d", "4")]);
        assert_eq!(edited.as_deref(), Some(r#"{"\ud800":1,"\u0063":3,"d":4}"#));
        let members = frame.members(&meta).unwrap();
        let names = members.iter().map(|member| member.name.as_ref());
        assert_eq!(names.collect::<Vec<_>>(), [r#""\ud800""#, "a", "c"]);
    }

    #[test]
    fn nothing_is_left_of_an_object_whose_members_are_taken_out_and_what_is_none_has_none() {
        let (frame, meta) =
            meta_of(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"a":1}}}"#);
        assert_eq!(frame.edited(&meta, &["a"], &[]).as_deref(), Some("{}"));
        assert_eq!(frame.edited(&(0..3), &[], &[]), None);
    }
}
