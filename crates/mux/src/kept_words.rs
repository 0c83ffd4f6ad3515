//! What a server said of itself at a start, as it is kept for sessions that come when it does not run.
//!
//! A server of the modern era says how long others may be told what stands in a list (2026-07-28, caching:
//! `ttlMs`), and whether it is for whoever asked alone (`cacheScope`). Sessions that share a server are one user with
//! one set of credentials, and are told either. Where each has a server of its own, what was said to one of them alone
//! is neither kept nor told.
//!
//! **Invariant:** only what is whole is kept: a handshake that can be read, and lists from their first
//! page to their last. Every byte is the server's. No list is told for longer than the server allows, and nothing
//! private to another share key.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{
    Frame, Member, Message, Method, Outgoing, RequestId, edited, members_of, meta_name, quoted,
};

use crate::{
    class::Class,
    era::Era,
    event::Program,
    handshake::own_meta,
    lists::List,
    offers::Offer,
    verdict::{Finding, are_different},
};

/// Longest time for which a page is told to others, whatever its server says.
const HOLDS_MAX: Duration = Duration::from_hours(24);

/// How long it is believed that a server does not speak in an era. It may be changed without a trace in its files,
/// and nobody sees that another one stands at an address.
pub const VERDICT_LIFE: Duration = Duration::from_hours(24);

/// Where a result says how long it holds, in milliseconds (2026-07-28, caching).
const TTL: &str = "ttlMs";

/// Where a result says whom it is for (2026-07-28, caching), as JSON.
const SCOPE: &str = "cacheScope";

/// For everybody. Whatever else stands there, or nothing, is for whoever asked alone.
const PUBLIC: &str = r#""public""#;

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

/// What a server said of itself at one start, in one era, to clients of one class.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptWords {
    /// The class that it was greeted with. In the modern era it is told that with each request instead, and what
    /// it says in its lists must not hang on it.
    pub class: Class,
    /// The era in which it was spoken to.
    #[serde(default)]
    pub era: Era,
    /// What it was started from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// The result of its `initialize` or `server/discover`; empty if that is private, and nobody is served from these.
    #[serde(with = "crate::frozen::forms::text")]
    pub handshake: Bytes,
    /// In which era it was found not to speak, if that was tried, and how long that is to be believed yet, from the
    /// moment at which it is handed over.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::frozen::forms::finding::deserialize"
    )]
    pub refused: Option<Finding>,
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
    /// For how long others may be told so, from the moment at which it is handed over. `None` for as long as the
    /// program is the same: servers of the legacy era do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Duration>,
}

/// A page of a list, as a request asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) listing: Listing,
    pub(crate) cursor: Option<Box<str>>,
}

impl fmt::Debug for KeptWords {
    /// What servers say is payload, which is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeptWords({}, {}, {} bytes, {:?})",
            self.class,
            self.era.name(),
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

    /// Without what a server of the modern era has said to whoever asked alone; one of the legacy era does not say.
    /// Where that is what it is, only what was found of its eras is left.
    #[must_use]
    pub(crate) fn public(mut self) -> Self {
        if self.era == Era::Modern {
            self.lists.retain(|_, pages| {
                let mut pages = pages.iter();
                pages.all(|page| is_public(page.text()))
            });
            if !is_public(text_of(&self.handshake)) {
                self.handshake = Bytes::new();
                self.lists.clear();
            }
        }
        self
    }

    /// Whether something of it is not to be told for ever.
    pub fn may_expire(&self) -> bool {
        self.refused.is_some() || self.era == Era::Modern
    }

    /// What is left of them when that much time has passed.
    pub(crate) fn aged(self: Arc<Self>, age: Duration) -> Arc<Self> {
        if self.may_expire() {
            Arc::new(Arc::unwrap_or_clone(self).after(Some(age)))
        } else {
            self
        }
    }

    /// What is left of them when that much time has passed; `None` if nobody knows how much has.
    #[must_use]
    pub fn after(mut self, age: Option<Duration>) -> Self {
        self.refused = self.refused.and_then(|found| found.after(age?));
        let era = self.era;
        self.lists.retain(|_, pages| {
            let mut pages = pages.iter_mut();
            pages.all(|page| page.may_be_told(era) && page.still_holds_after(age))
        });
        self
    }

    /// Whether the same server says the same there, and no more was found of it since.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let refused = |words: &Self| words.refused.map(|found| found.refused);
        (self.class, self.era) == (other.class, other.era)
            && !are_different(self.program, other.program)
            && refused(self) == refused(other)
            && (&self.handshake, &self.lists) == (&other.handshake, &other.lists)
    }

    /// The page that a request asks for.
    pub(crate) fn page(&self, wanted: &Wanted) -> Option<&Page> {
        let pages = self.lists.get(&wanted.listing)?;
        let page = pages.iter().find(|page| page.cursor == wanted.cursor)?;
        Some(page).filter(|page| page.may_be_told(self.era))
    }
}

impl Page {
    pub(crate) fn len(&self) -> usize {
        self.result.len() + self.cursor.as_ref().map_or(0, |cursor| cursor.len())
    }

    /// Whether others may be told what a server of this era says there. Earlier versions did not keep for how long a
    /// modern one allows that.
    pub(crate) fn may_be_told(&self, era: Era) -> bool {
        era == Era::Legacy || self.holds.is_some()
    }

    fn text(&self) -> &str {
        text_of(&self.result)
    }

    /// The answer to a request for this page: the server's own, byte for byte.
    pub(crate) fn answer(&self, id: &RequestId) -> Outgoing {
        let result = self.text();
        Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ))
    }

    /// The same so long after it was handed over, with what is left of the time for which it holds; `None` if
    /// nothing is.
    pub(crate) fn answer_after(&self, id: &RequestId, age: Duration) -> Option<Outgoing> {
        let Some(holds) = self.holds else {
            return Some(self.answer(id));
        };
        let left = holds.checked_sub(age).filter(|left| !left.is_zero())?;
        let left = format!("{}", left.as_millis());
        let result = edited(self.text(), &[TTL], &[(TTL, &left)])?;
        Some(Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        )))
    }

    /// Whether a server says the same again, if for another time.
    pub(crate) fn is_like(&self, result: &str) -> bool {
        let without = |result: &str| edited(result, &[TTL], &[]);
        self.result == result.as_bytes()
            || self.holds.is_some() && without(self.text()) == without(result)
    }

    /// Takes note that it is older by this much; says whether it still holds.
    fn still_holds_after(&mut self, age: Option<Duration>) -> bool {
        let Some(holds) = &mut self.holds else {
            return true;
        };
        let left = age.and_then(|age| holds.checked_sub(age));
        *holds = left.unwrap_or_default();
        !holds.is_zero()
    }

    /// What the page behind this one is asked for with. Fails if that cannot be read.
    pub(crate) fn next_cursor(&self) -> Result<Option<Box<str>>, serde_json::Error> {
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
    pub(crate) fn request(&self, id: u64, era: Era) -> Outgoing {
        let method = self.listing.name();
        let cursor = self.cursor.as_ref();
        let cursor = cursor.map(|cursor| format!(r#""cursor":{}"#, quoted(cursor)));
        let meta = (era == Era::Modern).then(|| format!(r#""_meta":{}"#, own_meta()));
        let params: Vec<String> = [cursor, meta].into_iter().flatten().collect();
        let params = format!("{{{}}}", params.join(","));
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

fn text_of(result: &[u8]) -> &str {
    core::str::from_utf8(result).unwrap_or("{}")
}

fn is_public(result: &str) -> bool {
    let members = members_of(result).unwrap_or_default();
    let scope = members.iter().find(|member| member.name == SCOPE);
    scope.is_some_and(|scope| scope.value == PUBLIC)
}

/// For how long others may be told what a server of the modern era has said just now. What does not say so is not
/// to be told to others at all.
pub(crate) fn holds(result: &str) -> Duration {
    let members = members_of(result).unwrap_or_default();
    let ttl = members.iter().find(|member| member.name == TTL);
    let millis = ttl.and_then(|ttl| ttl.value.parse().ok());
    millis
        .map_or(Duration::ZERO, Duration::from_millis)
        .min(HOLDS_MAX)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

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
        let text = String::from_utf8(second.request(9, Era::Legacy).to_vec()).unwrap();
        assert_eq!(wanted(&text).as_ref(), Some(&second), "{text}");
        let text = String::from_utf8(second.request(9, Era::Modern).to_vec()).unwrap();
        assert_eq!(wanted(&text).as_ref(), Some(&second), "{text}");
        assert!(text.contains(meta_name::VERSION), "{text}");
    }

    #[expect(clippy::unnecessary_wraps, reason = "as a page says it")]
    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn how_long_a_result_holds_is_said_by_a_number_or_it_does_not() {
        for (said, millis) in [
            (r#"{"a":[],"ttlMs":1500}"#, 1500),
            (r#"{"ttlMs":0}"#, 0),
            ("{}", 0),
            (r#"{"ttlMs":-1}"#, 0),
            (r#"{"ttlMs":"9"}"#, 0),
            (r#"{"ttlMs":99999999999}"#, 86_400_000),
        ] {
            assert_eq!(holds(said), Duration::from_millis(millis), "{said}");
        }
    }

    #[test]
    fn what_was_kept_too_long_ago_is_not_told_and_what_it_says_of_time_is_what_is_left() {
        use Listing::{Prompts, Resources, Tools};
        let page = |holds| Page {
            cursor: None,
            result: Bytes::from_static(br#"{"tools":[1e400],"ttlMs":60000,"x":1}"#),
            holds,
        };
        let words = KeptWords {
            class: Class::default(),
            era: Era::Modern,
            program: None,
            handshake: Bytes::from_static(b"{}"),
            refused: Some(Finding {
                refused: Era::Legacy,
                life: Duration::from_secs(70),
            }),
            lists: BTreeMap::from([
                (Tools, vec![page(seconds(60))]),
                (Prompts, vec![page(seconds(60)), page(seconds(9))]),
                // As an earlier version has kept it.
                (Resources, vec![page(None)]),
            ]),
        };
        let listed = |age| {
            let left = words.clone().after(age);
            let life = left.refused.map(|found| found.life);
            (left.lists.into_keys().collect::<Vec<_>>(), life)
        };
        assert_eq!(listed(seconds(8)), (vec![Tools, Prompts], seconds(62)));
        assert_eq!(listed(seconds(9)), (vec![Tools], seconds(61)));
        assert_eq!(listed(seconds(60)), (vec![], seconds(10)));
        assert_eq!(listed(seconds(70)), (vec![], None));
        assert_eq!(listed(None), (vec![], None));
        let wanted = |listing| {
            let cursor = None;
            Wanted { listing, cursor }
        };
        assert!(words.page(&wanted(Tools)).is_some() && words.page(&wanted(Resources)).is_none());
        let mut left = words.clone();
        left.era = Era::Legacy;
        let left: Vec<_> = left.after(None).lists.into_keys().collect();
        assert_eq!(left, [Resources]);
        let left = words.after(seconds(20));
        let id = RequestId::from(7);
        let answer = |after| left.lists[&Tools][0].answer_after(&id, Duration::from_secs(after));
        assert_eq!(
            answer(15).unwrap().to_vec(),
            br#"{"jsonrpc":"2.0","id":7,"result":{"tools":[1e400],"x":1,"ttlMs":25000}}"#
        );
        assert_eq!(answer(40), None);
        assert!(left.lists[&Tools][0].is_like(r#"{"ttlMs":3,"tools":[1e400],"x":1}"#));
        assert!(!left.lists[&Tools][0].is_like(r#"{"ttlMs":60000,"tools":[],"x":1}"#));
    }

    #[test]
    fn a_page_is_answered_as_the_server_wrote_it() {
        let page = Page {
            cursor: None,
            result: Bytes::from_static(br#"{ "tools":[1e400], "x" : 1.0}"#),
            holds: None,
        };
        let answer = page.answer(&RequestId::from_json("\"a\"").unwrap());
        assert_eq!(
            answer.to_vec(),
            br#"{"jsonrpc":"2.0","id":"a","result":{ "tools":[1e400], "x" : 1.0}}"#
        );
    }
}
