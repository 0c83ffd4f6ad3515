//! Which parameters of which tools stand in headers, as servers have listed them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use mux::{Page, Route};

use crate::front::{Param, tools_of};

/// Servers of which it is known; then one goes, and is read again.
const ROUTES_MAX: usize = 64;

/// By route. Read once for each list that a server gives.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<Route, Known>);

#[derive(Debug, Default)]
struct Known {
    /// What was read.
    pages: Vec<Bytes>,
    tools: BTreeMap<Box<str>, Arc<[Param]>>,
}

impl Schemas {
    /// The parameters of a tool that stand in headers, by the pages of `tools/list` of its server.
    pub(super) fn params(
        &mut self,
        route: &Route,
        pages: &[&Page],
        tool: &str,
    ) -> Option<Arc<[Param]>> {
        let is_read = self.0.get(route).is_some_and(|known| known.is_of(pages));
        if !is_read {
            self.0.insert(route.clone(), Known::read(pages));
            if self.0.len() > ROUTES_MAX {
                let other = self.0.keys().find(|known| *known != route).cloned();
                other.map(|other| self.0.remove(&other));
            }
        }
        self.0.get(route)?.tools.get(tool).cloned()
    }
}

impl Known {
    fn read(pages: &[&Page]) -> Self {
        let tools = pages.iter().flat_map(|page| tools_of(&page.result));
        Known {
            tools: tools.map(|(name, params)| (name, params.into())).collect(),
            pages: pages.iter().map(|page| page.result.clone()).collect(),
        }
    }

    fn is_of(&self, pages: &[&Page]) -> bool {
        let is_same = |(read, page): (&Bytes, &&Page)| {
            // Most often it is the very same, which need not be read.
            let is_one = read.as_ptr() == page.result.as_ptr() && read.len() == page.result.len();
            is_one || *read == page.result
        };
        self.pages.len() == pages.len() && self.pages.iter().zip(pages).all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(tool: &str, header: &str) -> Page {
        let text = format!(
            r#"{{"tools":[{{"name":"{tool}","inputSchema":{{"properties":{{"a":{{"type":"string","x-mcp-header":"{header}"}}}}}}}}]}}"#
        );
        Page {
            cursor: None,
            result: Bytes::from(text),
            holds: None,
        }
    }

    fn route(number: usize) -> Route {
        Route(number.to_le_bytes().as_slice().into())
    }

    #[test]
    fn a_list_is_read_once_and_again_when_it_has_changed() {
        let mut schemas = Schemas::default();
        let pages = [page("t", "A"), page("u", "A")];
        let pages = pages.each_ref();
        let first = schemas.params(&route(1), &pages, "t").unwrap();
        // Kept elsewhere it is the same list.
        let copy = [page("t", "A"), page("u", "A")];
        let again = schemas.params(&route(1), &copy.each_ref(), "t").unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(schemas.params(&route(1), &pages, "u").is_some());
        assert!(schemas.params(&route(1), &pages, "v").is_none());
        assert!(schemas.params(&route(2), &[], "t").is_none());
        let changed = page("t", "B");
        let other = schemas.params(&route(1), &[&changed], "t").unwrap();
        assert_ne!(first, other);
        assert!(schemas.params(&route(1), &[&changed], "u").is_none());
    }

    #[test]
    fn no_more_servers_are_known_than_may() {
        let mut schemas = Schemas::default();
        let page = page("t", "A");
        for number in 0..2 * ROUTES_MAX {
            let params = schemas.params(&route(number), &[&page], "t");
            assert!(params.is_some());
        }
        assert_eq!(schemas.0.len(), ROUTES_MAX);
    }
}
