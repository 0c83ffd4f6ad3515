//! What a server said of itself at a start, as it is kept for sessions that come when it does not run.
//!
//! **Invariant:** only what is whole is kept: a handshake that can be read, and lists from their first
//! page to their last. Every byte is the server's.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{Frame, Member, Message, Method, Outgoing, RequestId, meta_name, quoted};

use crate::{class::Class, era::Era, lists::List, offers::Offer};

/// Pages that one list may have.
const PAGES_MAX: usize = 64;

/// One of the lists that a server can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Listing {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
}

/// What a server said of itself at one start to clients of one class.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptWords {
    /// The class that it was greeted with.
    pub class: Class,
    /// The result of its `initialize`.
    #[serde(with = "crate::frozen::forms::text")]
    pub handshake: Bytes,
    /// In which era it was found not to speak, if that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Era>,
    /// Those of its lists that are known, whole.
    pub lists: BTreeMap<Listing, Vec<Page>>,
}

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// What it was asked for with; the first page has none.
    pub cursor: Option<Box<str>>,
    /// The result, as the server wrote it.
    #[serde(with = "crate::frozen::forms::text")]
    pub result: Bytes,
}

/// A page of a list, as a request asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) listing: Listing,
    pub(crate) cursor: Option<Box<str>>,
}

/// The pages of one list that were seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pages(Vec<Page>);

impl fmt::Debug for KeptWords {
    /// What servers say is payload, which is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeptWords({}, {} bytes, {:?})",
            self.class,
            self.len(),
            self.lists.keys()
        )
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({} bytes)", self.result.len())
    }
}

impl KeptWords {
    /// The bytes of all that the server said.
    pub fn len(&self) -> usize {
        let pages = self.lists.values().flatten();
        let pages: usize = pages.map(Page::len).sum();
        self.handshake.len() + pages
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The page that a request asks for.
    pub(crate) fn page(&self, wanted: &Wanted) -> Option<&Page> {
        let pages = self.lists.get(&wanted.listing)?;
        pages.iter().find(|page| page.cursor == wanted.cursor)
    }
}

impl Page {
    fn len(&self) -> usize {
        self.result.len() + self.cursor.as_ref().map_or(0, |cursor| cursor.len())
    }

    /// The answer to a request for this page: the server's own, byte for byte.
    pub(crate) fn answer(&self, id: &RequestId) -> Outgoing {
        let result = core::str::from_utf8(&self.result).unwrap_or("{}");
        Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ))
    }

    /// What the page behind this one is asked for with. Fails if that cannot be read.
    fn next_cursor(&self) -> Result<Option<Box<str>>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(rename = "nextCursor", default)]
            next: Option<Box<str>>,
        }
        serde_json::from_slice::<Listed>(&self.result).map(|listed| listed.next)
    }
}

impl Listing {
    /// All of them.
    pub const ALL: [Listing; 4] = [
        Listing::Tools,
        Listing::Prompts,
        Listing::Resources,
        Listing::ResourceTemplates,
    ];

    /// The name of the request.
    pub fn name(self) -> &'static str {
        match self {
            Listing::Tools => "tools/list",
            Listing::Prompts => "prompts/list",
            Listing::Resources => "resources/list",
            Listing::ResourceTemplates => "resources/templates/list",
        }
    }

    /// The list of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Listing::ALL
            .into_iter()
            .find(|listing| listing.name() == name)
    }

    /// The list that a method asks for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others ask for none")]
    pub(crate) fn of(method: &Method) -> Option<Self> {
        match method {
            Method::ToolsList => Some(Listing::Tools),
            Method::PromptsList => Some(Listing::Prompts),
            Method::ResourcesList => Some(Listing::Resources),
            Method::ResourceTemplatesList => Some(Listing::ResourceTemplates),
            _none => None,
        }
    }

    /// Whose changes are its own, too.
    pub(crate) fn list(self) -> List {
        match self {
            Listing::Tools => List::Tools,
            Listing::Prompts => List::Prompts,
            Listing::Resources | Listing::ResourceTemplates => List::Resources,
        }
    }

    /// What a server offers that has it.
    pub(crate) fn offer(self) -> Offer {
        match self {
            Listing::Tools => Offer::Tools,
            Listing::Prompts => Offer::Prompts,
            Listing::Resources | Listing::ResourceTemplates => Offer::Resources,
        }
    }
}

impl Wanted {
    /// What a request asks for, if it asks for a page of a list and for nothing besides: an answer to
    /// parameters that we do not know is nobody else's.
    pub(crate) fn by(frame: &Frame) -> Option<Self> {
        let Message::Request { method, params, .. } = &frame.message else {
            return None;
        };
        let listing = Listing::of(method)?;
        let mut cursor = None;
        let Some(place) = &params.at else {
            let said = frame.member(&(0..frame.len()), "params");
            let is_none = said.is_none_or(|said| said.value == "null");
            return is_none.then_some(Wanted { listing, cursor });
        };
        for member in frame.members(place)? {
            match member.name.as_ref() {
                // `null` is not the same as nothing: servers may refuse it.
                "cursor" if cursor.is_none() => cursor = Some(Box::from(frame.text(&member.at)?)),
                "_meta" if asks_for_nothing(frame, &member) => {}
                _unknown => return None,
            }
        }
        Some(Wanted { listing, cursor })
    }

    /// Our own request for it. Its members stand in an order that clients do not use, so that whoever
    /// looks on can tell it from theirs.
    pub(crate) fn request(&self, id: u64) -> Outgoing {
        let method = self.listing.name();
        let params = match &self.cursor {
            Some(cursor) => format!(r#"{{"cursor":{}}}"#, quoted(cursor)),
            None => String::from("{}"),
        };
        Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":{id}}}"#
        ))
    }
}

/// Whether a `_meta` says nothing that an answer may depend on. Who asks is said by each request of the modern era:
/// what may depend on that is a part of what sessions have in common.
fn asks_for_nothing(frame: &Frame, meta: &Member<'_>) -> bool {
    let Some(members) = frame.members(&meta.at) else {
        return meta.value == "null";
    };
    members.iter().all(|member| {
        let name = member.name.as_ref();
        name == meta_name::PROGRESS_TOKEN || meta_name::OF_SENDER.contains(&name)
    })
}

impl Pages {
    pub(crate) fn of(pages: &[Page]) -> Self {
        Pages(pages.to_vec())
    }

    /// Takes in a page. Says whether that is news.
    pub(crate) fn see(&mut self, cursor: Option<&str>, result: &[u8]) -> bool {
        let known = self
            .0
            .iter_mut()
            .find(|page| page.cursor.as_deref() == cursor);
        // The answer may be a part of a larger buffer; this one is kept for long.
        let copy = || Bytes::copy_from_slice(result);
        match known {
            Some(page) if page.result == result => return false,
            Some(page) => page.result = copy(),
            None => self.0.push(Page {
                cursor: cursor.map(Box::from),
                result: copy(),
            }),
        }
        self.forget_unreachable();
        true
    }

    /// All of them in order, if the last is known.
    pub(crate) fn whole(&self) -> Option<Vec<Page>> {
        let (pages, is_whole) = self.walk();
        is_whole.then(|| pages.into_iter().cloned().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Page> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Page::len).sum()
    }

    /// The pages from the first on, and whether the last of them is the last that there is.
    fn walk(&self) -> (Vec<&Page>, bool) {
        let mut pages = Vec::new();
        let mut cursor = None;
        while let Some(page) = self.0.iter().find(|page| page.cursor == cursor) {
            pages.push(page);
            match page.next_cursor() {
                Ok(None) => return (pages, true),
                Ok(next) if pages.len() < PAGES_MAX => cursor = next,
                Ok(Some(_)) | Err(_) => break,
            }
        }
        (pages, false)
    }

    /// Cursors are the server's own affair, and may be others at each walk.
    fn forget_unreachable(&mut self) {
        let (pages, _) = self.walk();
        let reachable: BTreeSet<Option<Box<str>>> =
            pages.into_iter().map(|page| page.cursor.clone()).collect();
        self.0.retain(|page| reachable.contains(&page.cursor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Option<Wanted> {
        Wanted::by(&Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap())
    }

    #[test]
    fn a_request_asks_for_a_page_and_for_nothing_besides_or_for_nothing_that_is_kept() {
        let request = |method: &str, params: &str| {
            wanted(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#
            ))
        };
        let first = Some(Wanted {
            listing: Listing::Tools,
            cursor: None,
        });
        for params in [
            "",
            r#","params":{}"#,
            r#","params":{"_meta":{"progressToken":7}}"#,
        ] {
            assert_eq!(request("tools/list", params), first, "{params}");
        }
        let second = request("prompts/list", r#","params":{"cursor":"a\n"}"#).unwrap();
        assert_eq!(second.cursor.as_deref(), Some("a\n"));
        for params in [
            r#","params":{"filter":"x"}"#,
            r#","params":{"cursor":null}"#,
            r#","params":{"cursor":7}"#,
            r#","params":{"_meta":{"x/y":1}}"#,
        ] {
            assert_eq!(request("tools/list", params), None, "{params}");
        }
        assert_eq!(request("tools/call", r#","params":{"name":"x"}"#), None);
        let text = String::from_utf8(second.request(9).to_vec()).unwrap();
        assert_eq!(wanted(&text), Some(second), "{text}");
    }

    #[test]
    fn a_list_is_whole_when_its_last_page_is_known_and_old_pages_do_not_stay() {
        let mut pages = Pages::default();
        assert!(pages.see(None, br#"{"tools":[1],"nextCursor":"a"}"#));
        assert_eq!(pages.whole(), None);
        assert!(pages.see(Some("a"), br#"{"tools":[2]}"#));
        assert_eq!(pages.whole().unwrap().len(), 2);
        assert!(!pages.see(Some("a"), br#"{"tools":[2]}"#));
        assert!(pages.see(None, br#"{"tools":[1],"nextCursor":"b"}"#));
        assert_eq!(pages.whole(), None);
        assert!(pages.see(Some("b"), br#"{"tools":[2],"nextCursor":null}"#));
        assert_eq!(pages.whole().unwrap().len(), 2);
        assert!(pages.see(None, br#"{"tools":[]}"#));
        assert_eq!(pages.len(), 12);
    }

    #[test]
    fn a_list_that_leads_in_a_circle_or_nowhere_is_not_whole() {
        let mut pages = Pages::default();
        pages.see(None, br#"{"nextCursor":"a"}"#);
        pages.see(Some("a"), br#"{"nextCursor":"a"}"#);
        assert_eq!(pages.whole(), None);
        let mut pages = Pages::default();
        pages.see(None, br#"{"nextCursor":7}"#);
        assert_eq!(pages.whole(), None);
    }

    #[test]
    fn a_page_is_answered_as_the_server_wrote_it() {
        let page = Page {
            cursor: None,
            result: Bytes::from_static(br#"{ "tools":[1e400], "x" : 1.0}"#),
        };
        let answer = page.answer(&RequestId::from_json("\"a\"").unwrap());
        assert_eq!(
            answer.to_vec(),
            br#"{"jsonrpc":"2.0","id":"a","result":{ "tools":[1e400], "x" : 1.0}}"#
        );
    }
}
