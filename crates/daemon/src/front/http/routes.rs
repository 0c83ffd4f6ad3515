//! All that there is over HTTP: one row for each path, and nothing is served that has none.
//!
//! **Invariant:** a request reaches whoever answers it only by a row of this table, and each row says who may.

use hyper::Method;

use super::HttpFault;

/// What there is at one path.
#[derive(Debug)]
pub(super) struct Route {
    /// `*` stands for one segment of any name.
    pub(super) path: &'static str,
    pub(super) methods: &'static [Method],
    /// The same for people and for the header `Allow`.
    pub(super) allowed: &'static str,
    pub(super) admits: Admits,
    pub(super) what: What,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admits {
    /// Who passes the gate, whoever that is: it learns nothing.
    Everybody,
    /// Who is known.
    TheKnown,
}

/// What is at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Whether we live.
    Health,
    /// An event of an agent, whose name this is.
    Hook,
    /// The only server.
    OnlyServer,
    /// The server that is named.
    Server,
    /// The only server, over a WebSocket.
    OnlyServerWeb,
    /// The server that is named, over a WebSocket.
    ServerWeb,
}

const MCP: &[Method] = &[Method::POST, Method::GET, Method::DELETE];
const GET: &[Method] = &[Method::GET];
const MCP_ALLOWED: &str = "POST, GET, DELETE";

/// The table.
pub(super) const ROUTES: [Route; 6] = [
    Route {
        path: "/health",
        methods: GET,
        allowed: "GET",
        admits: Admits::Everybody,
        what: What::Health,
    },
    Route {
        path: "/hook/*",
        methods: &[Method::POST],
        allowed: "POST",
        admits: Admits::TheKnown,
        what: What::Hook,
    },
    Route {
        path: "/mcp",
        methods: MCP,
        allowed: MCP_ALLOWED,
        admits: Admits::TheKnown,
        what: What::OnlyServer,
    },
    Route {
        path: "/mcp/*",
        methods: MCP,
        allowed: MCP_ALLOWED,
        admits: Admits::TheKnown,
        what: What::Server,
    },
    Route {
        path: "/ws",
        methods: GET,
        allowed: "GET",
        admits: Admits::TheKnown,
        what: What::OnlyServerWeb,
    },
    Route {
        path: "/ws/*",
        methods: GET,
        allowed: "GET",
        admits: Admits::TheKnown,
        what: What::ServerWeb,
    },
];

impl Route {
    /// The row of a path, and what stands for the name in it.
    pub(super) fn find(path: &str) -> Option<(&'static Route, &str)> {
        ROUTES
            .iter()
            .find_map(|route| Some((route, route.name_in(path)?)))
    }

    fn name_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.path.strip_suffix('*') {
            None => (path == self.path).then_some(""),
            Some(before) => {
                let name = path.strip_prefix(before)?;
                (!name.is_empty() && !name.contains('/')).then_some(name)
            }
        }
    }

    /// Whether the method is known there.
    pub(super) fn check_method(&self, method: &Method) -> Result<(), HttpFault> {
        if self.methods.contains(method) {
            Ok(())
        } else {
            Err(HttpFault::NoSuchMethod {
                allowed: self.allowed,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_row_or_none() {
        let found = |path| Route::find(path).map(|(route, name)| (route.what, name));
        assert_eq!(found("/health"), Some((What::Health, "")));
        assert_eq!(found("/hook/Stop"), Some((What::Hook, "Stop")));
        assert_eq!(found("/mcp"), Some((What::OnlyServer, "")));
        assert_eq!(found("/mcp/git"), Some((What::Server, "git")));
        assert_eq!(found("/ws"), Some((What::OnlyServerWeb, "")));
        assert_eq!(found("/ws/git"), Some((What::ServerWeb, "git")));
        for path in [
            "/",
            "",
            "/mcp/",
            "/hook",
            "/hook/",
            "/hook/a/b",
            "/mcp/a/b",
            "/ws/",
            "/ws/a/b",
            "/Health",
            "/health/",
            "/.well-known/oauth-protected-resource",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
