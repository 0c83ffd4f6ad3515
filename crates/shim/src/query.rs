//! What stands behind the `?` of a URL.

/// Whether a URL has a parameter of this name, which counts as it is written.
///
/// A parameter without a value (`?name=`), or without a `=` (`?name`), is one as well: whoever has written it has said
/// that there is to be none with a value. Behind a `#` there is none: that is sent to nobody.
pub fn has(url: &str, name: &str) -> bool {
    let (_, query) = without_fragment(url).split_once('?').unwrap_or_default();
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some(name))
}

/// The URL with this parameter, unless it [has](has()) one of that name; in any case without what stands behind a `#`.
///
/// Name and value are fit to stand in a URL.
pub fn with(url: &str, name: &str, value: &str) -> String {
    let url = without_fragment(url);
    if has(url, name) {
        return url.to_owned();
    }
    let mark = match url.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{url}{mark}{name}={value}")
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_there_with_a_value_or_without_one() {
        for (url, expected) in [
            ("ws://h/?key=1", true),
            ("ws://h/?key=", true),
            ("ws://h?key", true),
            ("ws://h/?a=b&key=1#c", true),
            ("ws://h/?a=b&key", true),
            ("ws://h/?key=1?key=2", true),
            ("ws://h/?keys=1", false),
            ("ws://h/?a=key", false),
            ("ws://h/?a=key=1", false),
            ("ws://h/?Key=1", false),
            ("ws://h/key=1", false),
            ("ws://h/#?key=1", false),
            ("ws://h/?", false),
            ("", false),
        ] {
            assert_eq!(has(url, "key"), expected, "{url}");
        }
    }

    #[test]
    fn a_parameter_is_added_where_there_is_none_of_its_name() {
        for (url, expected) in [
            ("ws://h/mcp", "ws://h/mcp?key=7"),
            ("ws://h", "ws://h?key=7"),
            ("ws://h/?", "ws://h/?key=7"),
            ("ws://h/?a", "ws://h/?a&key=7"),
            ("ws://h/?a=b&", "ws://h/?a=b&key=7"),
            ("ws://h/?a=b#c?d", "ws://h/?a=b&key=7"),
            ("ws://h/?keys=1", "ws://h/?keys=1&key=7"),
            ("ws://h/?key=1", "ws://h/?key=1"),
            ("ws://h/?key=#c", "ws://h/?key="),
            ("ws://h/?key&a", "ws://h/?key&a"),
        ] {
            assert_eq!(with(url, "key", "7"), expected, "{url}");
            assert_eq!(with(expected, "key", "8"), expected, "{url}");
        }
    }
}
