//! Addresses of servers that run already, as they may be shown.

/// An address without what may be a secret in it: a user and a password, and what is asked for.
pub fn shown_address(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (kept, cut) = url.split_at(end);
    let rest = if cut.is_empty() { "" } else { "?***" };
    let Some((scheme, rest_of_it)) = kept.split_once("://") else {
        return format!("{kept}{rest}");
    };
    let (authority, path) = rest_of_it.split_at(rest_of_it.find('/').unwrap_or(rest_of_it.len()));
    match authority.rsplit_once('@') {
        Some((_user, host)) => format!("{scheme}://***@{host}{path}{rest}"),
        None => format!("{kept}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (url, shown) in [
            ("http://127.0.0.1:1/mcp", "http://127.0.0.1:1/mcp"),
            (
                "https://me:pass@host/mcp?key=1#x",
                "https://***@host/mcp?***",
            ),
            ("wss://host?room=1", "wss://host?***"),
            ("https://a@b@host", "https://***@host"),
            ("unix:/run/x.sock:/mcp", "unix:/run/x.sock:/mcp"),
            ("/run/x@y.sock", "/run/x@y.sock"),
            ("${WHERE}/mcp?${KEY}", "${WHERE}/mcp?***"),
        ] {
            assert_eq!(shown_address(url), shown);
        }
    }
}
