use hyper::{Request, StatusCode};

use super::{super::routes::ROUTES, *};

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OURS: &str = "127.0.0.1:7665";

/// Every path that there is, with a name where one stands, and one that there is not.
fn paths() -> Vec<String> {
    let known = ROUTES.iter().map(|route| route.path.replace('*', "git"));
    known.chain(["/nothing".to_owned()]).collect()
}

/// What each row of the table lets whom do: a route without a line here fails.
const EXPECTED: [(&str, &str, Admits); 6] = [
    ("/health", "GET", Admits::Everybody),
    ("/hook/*", "POST", Admits::TheKnown),
    ("/mcp", "POST, GET, DELETE", Admits::TheKnown),
    ("/mcp/*", "POST, GET, DELETE", Admits::TheKnown),
    ("/ws", "GET", Admits::TheKnown),
    ("/ws/*", "GET", Admits::TheKnown),
];

fn gate(auth: HttpAuth) -> Gate {
    let at = |address: &str, is_secure| Listen {
        address: address.parse().unwrap(),
        server: None,
        is_secure,
    };
    let addresses = [
        at(OURS, false),
        at("[::1]:7666", false),
        at("0.0.0.0:443", true),
        at("0.0.0.0:7668", true),
    ];
    let names = ["pool.example.com".to_owned()];
    let token = Token::of(TOKEN.as_bytes());
    Gate::new(&addresses, &names, (auth, token))
}

/// What becomes of a request with these headers: the status of the refusal, or 200.
fn status(
    auth: HttpAuth,
    peer: Peer,
    (method, target): (&str, &str),
    headers: &[(&str, &[u8])],
) -> StatusCode {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let checked = gate(auth).check(&head, peer);
    checked.map_or_else(|fault| fault.status(), |_passed| StatusCode::OK)
}

/// What a GET is answered with that is all right, at this path.
fn usual(path: &str) -> StatusCode {
    match Route::find(path) {
        None => StatusCode::NOT_FOUND,
        Some((route, _)) if route.methods.contains(&Method::GET) => StatusCode::OK,
        // That is looked at last.
        Some(_) => StatusCode::METHOD_NOT_ALLOWED,
    }
}

#[test]
fn every_route_has_its_line() {
    let rows: Vec<_> = ROUTES
        .iter()
        .map(|route| (route.path, route.allowed, route.admits))
        .collect();
    assert_eq!(rows, EXPECTED);
    for route in &ROUTES {
        let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
        assert_eq!(methods.join(", "), route.allowed);
    }
}

#[test]
fn on_every_path_a_request_must_be_for_one_of_our_hosts() {
    let hosts: [(&[&str], u16); 33] = [
        (&[OURS], 200),
        (&["localhost:7665"], 200),
        (&["[::1]:7665"], 200),
        (&["[::1]:7666"], 200),
        (&["127.0.0.1:7666"], 200),
        (&["pool.example.com"], 200),
        (&["pool.example.com:443"], 200),
        (&["pool.example.com:7668"], 200),
        (&["pool.example.com:7665"], 403),
        (&["127.0.0.1:7668"], 403),
        (&["127.0.0.1:443"], 403),
        (&["evil.com"], 403),
        (&["evil.com:7665"], 403),
        (&["127.0.0.1.evil.com:7665"], 403),
        (&["localhost.evil.com:7665"], 403),
        (&["localhost.:7665"], 403),
        (&["LOCALHOST:7665"], 403),
        (&["localhost"], 403),
        (&["127.0.0.1"], 403),
        (&["127.0.0.1:80"], 403),
        (&["0.0.0.0:7665"], 403),
        (&["127.1:7665"], 403),
        (&["127.0.0.2:7665"], 403),
        (&["2130706433:7665"], 403),
        (&["0x7f000001:7665"], 403),
        (&["[::ffff:127.0.0.1]:7665"], 403),
        (&["[::]:7665"], 403),
        (&["192.168.1.2:7665"], 403),
        (&["user@127.0.0.1:7665"], 403),
        (&["127.0.0.1:7665 "], 403),
        (&[""], 403),
        (&[], 400),
        (&[OURS, OURS], 400),
    ];
    for path in paths() {
        for (host, expected) in &hosts {
            let headers: Vec<(&str, &[u8])> =
                host.iter().map(|host| ("host", host.as_bytes())).collect();
            let found = status(HttpAuth::SameUser, Peer::SameUser, ("GET", &path), &headers);
            let expected = match expected {
                200 => usual(&path),
                other => StatusCode::from_u16(*other).unwrap(),
            };
            assert_eq!(found, expected, "{path} for {host:?}");
        }
        for (target, expected) in [
            (format!("http://{OURS}{path}"), usual(&path)),
            (format!("http://evil.com{path}"), StatusCode::FORBIDDEN),
        ] {
            let headers: [(&str, &[u8]); 1] = [("host", OURS.as_bytes())];
            let found = status(
                HttpAuth::SameUser,
                Peer::SameUser,
                ("GET", &target),
                &headers,
            );
            assert_eq!(found, expected, "{target}");
        }
    }
}

#[test]
fn on_every_path_a_page_of_a_browser_is_refused_unless_it_is_ours() {
    let origins: [(&[&[u8]], bool); 18] = [
        (&[], true),
        (&[b"http://127.0.0.1:7665"], true),
        (&[b"http://localhost:7665"], true),
        (&[b"http://[::1]:7666"], true),
        (&[b"https://pool.example.com"], false),
        (&[b"http://pool.example.com"], false),
        (&[b"http://127.0.0.1:7667"], false),
        (&[b"http://127.0.0.1"], false),
        (&[b"https://127.0.0.1:7665"], false),
        (&[b"null"], false),
        (&[b"http://evil.com"], false),
        (&[b"file://"], false),
        (&[b"chrome-extension://abc"], false),
        (&[b"http://localhost:7665@evil.com"], false),
        (&[b"http://localhost.:7665"], false),
        (&[b"HTTP://LOCALHOST:7665"], false),
        (&[b"http://127.0.0.1:7665\xff"], false),
        (&[b"http://127.0.0.1:7665", b"http://127.0.0.1:7665"], false),
    ];
    for path in paths() {
        for (origin, passes) in &origins {
            let mut headers: Vec<(&str, &[u8])> = vec![("host", OURS.as_bytes())];
            headers.extend(origin.iter().map(|origin| ("origin", *origin)));
            let found = status(HttpAuth::SameUser, Peer::SameUser, ("GET", &path), &headers);
            let expected = if *passes {
                usual(&path)
            } else {
                StatusCode::FORBIDDEN
            };
            assert_eq!(found, expected, "{path} from {origin:?}");
        }
        for (site, passes) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("", false),
        ] {
            let headers: [(&str, &[u8]); 2] = [
                ("host", OURS.as_bytes()),
                ("sec-fetch-site", site.as_bytes()),
            ];
            let found = status(HttpAuth::SameUser, Peer::SameUser, ("GET", &path), &headers);
            assert_eq!(found == usual(&path), passes, "{path} from {site}");
        }
    }
}

#[test]
fn a_post_is_json_or_nothing() {
    for path in paths() {
        for (kind, passes) in [
            (None, false),
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("text/plain"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (
                Some("multipart/form-data; boundary=application/json"),
                false,
            ),
            (Some("application/jsonp"), false),
            (Some("text/plain; application/json"), false),
        ] {
            let mut headers: Vec<(&str, &[u8])> = vec![("host", OURS.as_bytes())];
            headers.extend(kind.map(|kind| ("content-type", kind.as_bytes())));
            let found = status(
                HttpAuth::SameUser,
                Peer::SameUser,
                ("POST", &path),
                &headers,
            );
            let is_refused = found == StatusCode::UNSUPPORTED_MEDIA_TYPE;
            assert_eq!(is_refused, !passes, "{path} with {kind:?}: {found}");
        }
    }
}

#[test]
fn who_is_not_known_needs_the_token_on_every_path_but_the_one_that_tells_nothing() {
    let bearer = format!("Bearer {TOKEN}");
    let (longer, basic) = (format!("{bearer}0"), format!("Basic {TOKEN}"));
    let small = format!("bearer {TOKEN}");
    let tokens: [(Option<&str>, bool); 8] = [
        (None, false),
        (Some(&bearer), true),
        (Some(&small), true),
        (Some("Bearer "), false),
        (Some(&bearer[..bearer.len() - 1]), false),
        (Some(&longer), false),
        (Some(&basic), false),
        (Some(TOKEN), false),
    ];
    for path in paths() {
        for (token, is_right) in tokens {
            for (auth, peer, needs) in [
                (HttpAuth::SameUser, Peer::Unknown, true),
                (HttpAuth::SameUser, Peer::SameUser, false),
                (HttpAuth::Token, Peer::SameUser, true),
                (HttpAuth::None, Peer::Unknown, false),
                (HttpAuth::SameUser, Peer::Elsewhere, true),
                (HttpAuth::Token, Peer::Elsewhere, true),
                (HttpAuth::None, Peer::Elsewhere, true),
            ] {
                let mut headers: Vec<(&str, &[u8])> = vec![("host", OURS.as_bytes())];
                headers.extend(token.map(|token| ("authorization", token.as_bytes())));
                let found = status(auth, peer, ("GET", &path), &headers);
                let passes = is_right || !needs || path == "/health";
                let expected = if passes {
                    usual(&path)
                } else {
                    StatusCode::UNAUTHORIZED
                };
                assert_eq!(
                    found, expected,
                    "{path} with {token:?}, {auth} for {peer:?}"
                );
            }
        }
    }
}

#[test]
fn what_somebody_has_passed_on_needs_the_token_whoever_that_was() {
    for header in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "via",
        "cf-connecting-ip",
    ] {
        for auth in [HttpAuth::SameUser, HttpAuth::None] {
            let mut headers: Vec<(&str, &[u8])> = vec![("host", OURS.as_bytes()), (header, b"x")];
            let found = status(auth, Peer::SameUser, ("GET", "/mcp"), &headers);
            assert_eq!(found, StatusCode::UNAUTHORIZED, "{header}");
            let bearer = format!("Bearer {TOKEN}");
            headers.push(("authorization", bearer.as_bytes()));
            let found = status(auth, Peer::SameUser, ("GET", "/mcp"), &headers);
            assert_eq!(found, StatusCode::OK, "{header}");
        }
    }
}

#[test]
fn a_path_takes_the_methods_of_its_row() {
    for (path, method, expected) in [
        ("/health", "GET", 200),
        ("/health", "DELETE", 405),
        ("/hook/Stop", "GET", 405),
        ("/hook/Stop", "POST", 415),
        ("/mcp/git", "DELETE", 200),
        ("/mcp/git", "PUT", 405),
        ("/mcp/git", "OPTIONS", 405),
        ("/mcp", "HEAD", 405),
        ("/ws/git", "GET", 200),
        ("/ws/git", "POST", 415),
        ("/ws", "DELETE", 405),
        ("/.well-known/oauth-protected-resource/mcp/git", "GET", 404),
        ("/mcp/.well-known/oauth-authorization-server", "GET", 404),
    ] {
        let headers: [(&str, &[u8]); 1] = [("host", OURS.as_bytes())];
        let found = status(HttpAuth::SameUser, Peer::SameUser, (method, path), &headers);
        assert_eq!(found.as_u16(), expected, "{method} {path}");
    }
}

#[test]
fn at_our_own_socket_no_host_is_asked_for_and_pages_and_what_was_passed_on_are_kept_out() {
    for path in paths() {
        for auth in [HttpAuth::SameUser, HttpAuth::Token, HttpAuth::None] {
            let at = |headers: &[(&str, &[u8])]| {
                status(auth, Peer::AtOurSocket, ("GET", &path), headers)
            };
            assert_eq!(at(&[]), usual(&path));
            assert_eq!(at(&[("host", b"localhost")]), usual(&path));
            for headers in [("origin", &b"http://evil.com"[..]), ("origin", b"null")] {
                assert_eq!(at(&[headers]), StatusCode::FORBIDDEN, "{path} {headers:?}");
            }
            let passed_on = at(&[("x-forwarded-for", b"1.2.3.4")]);
            let is_let_in = path == "/health";
            assert_eq!(passed_on == StatusCode::UNAUTHORIZED, !is_let_in, "{path}");
        }
    }
}
