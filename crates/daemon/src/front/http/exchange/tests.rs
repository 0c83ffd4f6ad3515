use super::*;

fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
    all.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

#[test]
fn a_place_is_read_from_the_url_and_the_header() {
    let read = |target: &str, header: &[(&'static str, &'static str)]| {
        place(None, &target.parse().unwrap(), &headers(header))
    };
    let bound = |path: &str| Place {
        workspace: Some(path.into()),
        ..Place::default()
    };
    assert_eq!(read("/mcp", &[]), Ok(Place::default()));
    assert_eq!(
        read("/mcp?workspace=/a%20b%2fc+d", &[]),
        Ok(bound("/a b/c+d"))
    );
    assert_eq!(read("/mcp?x=1&repo=/a", &[]), Ok(bound("/a")));
    assert_eq!(read("/mcp", &[("mcpool-workspace", "/a")]), Ok(bound("/a")));
    assert_eq!(
        read("/mcp?repo=/a", &[("mcpool-workspace", "/a")]),
        Ok(bound("/a"))
    );
    let named = read("/mcp?session_key=a%3Db", &[]).unwrap();
    assert_eq!(named.session_key.as_deref(), Some("a=b"));
    for nameless in ["/mcp?session_key", "/mcp?session_key="] {
        assert_eq!(read(nameless, &[]), Ok(Place::default()), "{nameless}");
    }
    for wrong in [
        "/mcp?workspace=",
        "/mcp?workspace=a",
        "/mcp?workspace=%2",
        "/mcp?workspace=/%ff",
        "/mcp?workspace=/%+f",
        "/mcp?session_key=a&session_key=b",
        "/mcp?session_key&session_key=b",
        "/mcp?workspace=/a&repo=/b",
        "/mcp?workspace=/a&workspace=/a",
    ] {
        let fault = read(wrong, &[]).unwrap_err();
        assert_eq!(fault.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert!(read("/mcp?repo=/a", &[("mcpool-workspace", "/b")]).is_err());
    let several = [("mcpool-workspace", "/a"), ("mcpool-workspace", "/b")];
    assert!(read("/mcp", &several).is_err());
}

#[test]
fn a_request_is_for_one_session_at_most() {
    let key = "0123456789abcdef0123456789abcdef";
    let id = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SESSION_ID, HeaderValue::from_static(value));
        }
        key_of_session(&headers)
    };
    assert_eq!(id(&[]), Ok(None));
    assert_eq!(id(&[key]), Ok(Key::parse(key)));
    assert_eq!(id(&["none of ours"]), Err(HttpFault::NoSuchSession));
    let several = id(&[key, key]).unwrap_err();
    assert_eq!(several.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn what_a_client_accepts_is_read_as_ranges() {
    let both = ["application/json", "text/event-stream"];
    for (accept, takes) in [
        ("application/json, text/event-stream", true),
        ("text/event-stream;q=0.5,application/json", true),
        ("*/*", true),
        ("application/*, text/*", true),
        ("application/json", false),
        ("text/event-stream", false),
        ("", false),
    ] {
        let headers = headers(&[("accept", accept)]);
        assert_eq!(accepts(&headers, &both), takes, "{accept}");
    }
    assert!(!accepts(&HeaderMap::new(), &both));
    let two = [
        ("accept", "application/json"),
        ("accept", "text/event-stream"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in two {
        headers.append(name, value.parse().unwrap());
    }
    assert!(accepts(&headers, &both));
}

#[test]
fn versions_with_a_handshake_are_taken_and_so_is_none() {
    assert_eq!(check_version(&HeaderMap::new()), Ok(()));
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        assert_eq!(
            check_version(&headers(&[("mcp-protocol-version", version)])),
            Ok(())
        );
    }
    for version in ["2026-07-28", "1999-01-01", "", "x"] {
        let checked = check_version(&headers(&[("mcp-protocol-version", version)]));
        assert_eq!(checked, Err(HttpFault::UnknownVersion));
    }
}

#[test]
fn json_on_several_lines_is_the_same_on_one() {
    let text = Bytes::from_static(b"{\r\n  \"a\": 1\n}\n");
    assert_eq!(&without_line_ends(&text)[..], b"{    \"a\": 1 } ");
}
