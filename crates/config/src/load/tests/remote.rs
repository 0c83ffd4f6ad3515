//! Servers that run already.

use super::*;
use crate::Template;

#[test]
fn a_server_that_runs_already_needs_only_its_address() {
    for url in [
        "http://127.0.0.1:3000/mcp",
        "https://mcp.example.com/",
        "ws://localhost:9999",
        "wss://host/ws?room=1",
        "unix:/run/server.sock:/mcp",
        "/run/server.sock",
        "${WHERE:-http://127.0.0.1}/mcp",
    ] {
        let server = server(&format!("[servers.a]\nurl = \"{url}\"\n"));
        let remote = server.remote.expect("it runs elsewhere");
        assert_eq!(remote.url.as_written(), url);
        assert!(remote.headers.is_empty() && remote.ca_cert.is_none());
        assert_eq!(remote.session_key_param, "session_key");
        assert_eq!(remote.session_key_header, "Mcpool-Session");
    }
}

#[test]
fn every_key_of_a_server_that_runs_already_is_read() {
    let server = server(
        r#"
        [servers.a]
        url = "https://mcp.example.com/mcp"
        headers = { Authorization = "Bearer ${TOKEN}", X-Team = "blue" }
        ca_cert = "${HOME}/ca.pem"
        session_key_param = "key"
        session_key_header = "X-Session"
        scope = "global"
        keep_warm = true
        "#,
    );
    let names: Vec<&str> = server.templates().flat_map(Template::variables).collect();
    assert_eq!(names, ["TOKEN", "HOME"]);
    let remote = server.remote.expect("it runs elsewhere");
    let headers: Vec<&str> = remote.headers.keys().map(String::as_str).collect();
    assert_eq!(headers, ["authorization", "x-team"]);
    assert_eq!(remote.session_key_param, "key");
    assert_eq!(remote.session_key_header, "X-Session");
    assert_eq!(server.scope, Scope::Global);
    assert!(!format!("{remote:?}").contains("blue"), "{remote:?}");
}

#[test]
fn what_is_wrong_with_it_is_told() {
    check_errors(
        &[
            "[servers.a]\nurl = \"ftp://host/\"\n",
            "[servers.a]\nurl = \"\"\n",
            "[servers.a]\nurl = \"https://me:secret@host/mcp\"\n",
            "[servers.a]\nurl = \"http://host\"\nargs = [\"-y\"]\n",
            "[servers.a]\nurl = \"http://host\"\nheaders = { \"a b\" = \"x\" }\n",
            "[servers.a]\nurl = \"http://host\"\nheaders = { Host = \"x\" }\n",
            "[servers.a]\nurl = \"http://host\"\nheaders = { A = \"1\", a = \"2\" }\n",
            "[servers.a]\nurl = \"http://host\"\nsession_key_param = \"a b\"\n",
            "[servers.a]\nurl = \"http://host\"\nsession_key_header = \"Mcp-Session-Id\"\n",
            "[servers.a]\ncommand = \"x\"\nca_cert = \"ca.pem\"\n",
        ],
        &expect![[r#"
            [servers.a]
            url = "ftp://host/"
                config.toml:2:7: servers.a.url: must begin with one of http://, https://, ws://, wss://, unix:/, or `/`
            [servers.a]
            url = ""
                config.toml:2:7: servers.a.url: must not be empty
            [servers.a]
            url = "https://me:secret@host/mcp"
                config.toml:2:7: servers.a.url: must not hold a user or a password (put what the server wants to see into `headers`)
            [servers.a]
            url = "http://host"
            args = ["-y"]
                config.toml:3:1: servers.a.args: contradicts `url` (a server that runs already is not started; leave one of the two out)
            [servers.a]
            url = "http://host"
            headers = { "a b" = "x" }
                config.toml:3:13: servers.a.headers."a b": "a b" cannot be the name of a header
            [servers.a]
            url = "http://host"
            headers = { Host = "x" }
                config.toml:3:13: servers.a.headers.Host: "Host" is a header that mcpool sets itself
            [servers.a]
            url = "http://host"
            headers = { A = "1", a = "2" }
                config.toml:3:22: servers.a.headers.a: stands there twice
            [servers.a]
            url = "http://host"
            session_key_param = "a b"
                config.toml:3:21: servers.a.session_key_param: "a b" cannot be such a name
            [servers.a]
            url = "http://host"
            session_key_header = "Mcp-Session-Id"
                config.toml:3:22: servers.a.session_key_header: "Mcp-Session-Id" cannot be such a name
            [servers.a]
            command = "x"
            ca_cert = "ca.pem"
                config.toml:3:1: servers.a.ca_cert: is for a server with `url` (say where it runs)
        "#]],
    );
}
