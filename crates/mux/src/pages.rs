//! The pages of one list of a server, as far as they were seen.
//!
//! **Invariant:** from the first page each leads to the next, and none is left over from an earlier walk. A list is
//! whole with its last page, and only as long as each page holds.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{kept_words::Page, moment::Moment};

/// Pages that one list may have.
const PAGES_MAX: usize = 64;

/// The pages of one list that were seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pages(Vec<Seen>);

/// A page, and until when others may be told what stands on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    #[serde(flatten)]
    page: Page,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
}

impl Pages {
    /// Those that were handed over just now.
    pub(crate) fn of(pages: &[Page], now: Moment) -> Self {
        let seen = pages.iter().map(|page| Seen {
            page: page.clone(),
            until: page.holds.map(|holds| now + holds),
        });
        Pages(seen.collect())
    }

    /// Takes in a page that holds for so long, if its server says so. Says whether that is news.
    pub(crate) fn see(
        &mut self,
        cursor: Option<&str>,
        result: &[u8],
        (now, holds): (Moment, Option<Duration>),
    ) -> bool {
        let until = holds.map(|holds| now + holds);
        let known = self
            .0
            .iter_mut()
            .find(|seen| seen.page.cursor.as_deref() == cursor);
        // The answer may be a part of a larger buffer; this one is kept for long.
        let copy = || Bytes::copy_from_slice(result);
        match known {
            Some(seen) if seen.page.result == result => {
                if !seen.is_another_time(until, now) {
                    return false;
                }
                seen.until = until;
            }
            Some(seen) => (seen.page.result, seen.until) = (copy(), until),
            None => self.0.push(Seen {
                page: Page {
                    cursor: cursor.map(Box::from),
                    result: copy(),
                    holds,
                },
                until,
            }),
        }
        self.forget_unreachable();
        true
    }

    /// All of them in order, if the last is known and each still holds.
    pub(crate) fn whole(&self, now: Moment) -> Option<Vec<Page>> {
        let (pages, is_whole) = self.walk();
        let holds = pages
            .iter()
            .all(|seen| seen.until.is_none_or(|until| until > now));
        let handed_over = |seen: &&Seen| Page {
            holds: seen.until.map(|until| until - now),
            ..seen.page.clone()
        };
        (is_whole && holds).then(|| pages.iter().map(handed_over).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Page> {
        self.0.iter().map(|seen| &seen.page)
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().map(Page::len).sum()
    }

    /// The pages from the first on, and whether the last of them is the last that there is.
    fn walk(&self) -> (Vec<&Seen>, bool) {
        let mut pages = Vec::new();
        let mut cursor = None;
        while let Some(seen) = self.0.iter().find(|seen| seen.page.cursor == cursor) {
            pages.push(seen);
            match seen.page.next_cursor() {
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
        let reachable: BTreeSet<Option<Box<str>>> = pages
            .into_iter()
            .map(|seen| seen.page.cursor.clone())
            .collect();
        self.0.retain(|seen| reachable.contains(&seen.page.cursor));
    }
}

impl Seen {
    /// Whether it makes a difference that what is known of the page holds until then: it holds for less long, or
    /// half of the time is over for which it was to hold.
    fn is_another_time(&self, until: Option<Moment>, now: Moment) -> bool {
        match (self.until, until) {
            (Some(before), Some(until)) => until < before || (before - now) < (until - now) / 2,
            (before, until) => before != until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a server that does not say how long it holds.
    const ALWAYS: (Moment, Option<Duration>) = (Moment(0), None);

    #[test]
    fn a_list_is_whole_when_its_last_page_is_known_and_old_pages_do_not_stay() {
        let mut pages = Pages::default();
        let whole = |pages: &Pages| pages.whole(Moment::NEVER);
        assert!(pages.see(None, br#"{"tools":[1],"nextCursor":"a"}"#, ALWAYS));
        assert_eq!(whole(&pages), None);
        assert!(pages.see(Some("a"), br#"{"tools":[2]}"#, ALWAYS));
        assert_eq!(whole(&pages).unwrap().len(), 2);
        assert!(!pages.see(Some("a"), br#"{"tools":[2]}"#, ALWAYS));
        assert!(pages.see(None, br#"{"tools":[1],"nextCursor":"b"}"#, ALWAYS));
        assert_eq!(whole(&pages), None);
        assert!(pages.see(Some("b"), br#"{"tools":[2],"nextCursor":null}"#, ALWAYS));
        assert_eq!(whole(&pages).unwrap().len(), 2);
        assert!(pages.see(None, br#"{"tools":[]}"#, ALWAYS));
        assert_eq!(pages.len(), 12);
    }

    #[test]
    fn a_list_that_leads_in_a_circle_or_nowhere_is_not_whole() {
        let mut pages = Pages::default();
        pages.see(None, br#"{"nextCursor":"a"}"#, ALWAYS);
        pages.see(Some("a"), br#"{"nextCursor":"a"}"#, ALWAYS);
        assert_eq!(pages.whole(Moment::NEVER), None);
        let mut pages = Pages::default();
        pages.see(None, br#"{"nextCursor":7}"#, ALWAYS);
        assert_eq!(pages.whole(Moment::NEVER), None);
    }

    fn at(seconds: u64) -> Moment {
        Moment(0) + Duration::from_secs(seconds)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as a page says it")]
    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_list_holds_for_as_long_as_each_of_its_pages_and_what_prolongs_that_little_is_no_news() {
        let mut pages = Pages::default();
        let (first, second) = (br#"{"nextCursor":"a","ttlMs":1}"#, br#"{"ttlMs":1}"#);
        assert!(pages.see(None, first, (at(0), seconds(100))));
        assert!(pages.see(Some("a"), second, (at(10), seconds(20))));
        let holds = |pages: &Pages, now: u64| {
            let whole = pages.whole(at(now));
            whole.map(|pages| pages.iter().map(|page| page.holds).collect::<Vec<_>>())
        };
        assert_eq!(holds(&pages, 20), Some(std::vec![seconds(80), seconds(10)]));
        assert_eq!(holds(&pages, 30), None);
        assert!(!pages.see(Some("a"), second, (at(19), seconds(20))));
        assert!(pages.see(Some("a"), second, (at(21), seconds(20))));
        assert_eq!(holds(&pages, 30), Some(std::vec![seconds(70), seconds(11)]));
        // It holds for less long than it was said.
        assert!(pages.see(None, first, (at(30), seconds(0))));
        assert_eq!(holds(&pages, 30), None);
        let frozen = serde_json::to_string(&pages).unwrap();
        assert_eq!(serde_json::from_str::<Pages>(&frozen).unwrap(), pages);
        // As an earlier version has frozen them.
        let before = r#"[{"cursor":null,"result":"{}"}]"#;
        let before: Pages = serde_json::from_str(before).unwrap();
        assert_eq!(holds(&before, 1 << 30), Some(std::vec![None]));
    }
}
