//! The table `[http]`.

use super::*;
use crate::{Http, HttpAuth, HttpSocket, Listen, Tls};

fn at(address: &str, server: Option<&str>) -> Listen {
    Listen {
        address: address.parse().unwrap(),
        server: server.map(|name| name.parse().unwrap()),
        is_secure: false,
    }
}

#[test]
fn what_stands_there_is_read() {
    let config = read(
        "[http]\nlisten = [\"127.0.0.1:7665\", \"[::1]:0\", { address = \"127.0.0.1:9999\", server = \"mnemonic\" }]\nsocket = \"/run/vscode.sock\"\nauth = \"token\"\nsession_idle_timeout = \"1h\"\n[servers.mnemonic]\ncommand = \"mnemonic\"\n",
    )
    .expect("loads");
    assert_eq!(
        config.http,
        Http {
            listen: Some(vec![
                at("127.0.0.1:7665", None),
                at("[::1]:0", None),
                at("127.0.0.1:9999", Some("mnemonic")),
            ]),
            tls: None,
            socket: Some(HttpSocket::At("/run/vscode.sock".into())),
            auth: Some(HttpAuth::Token),
            session_idle_timeout: Some(IdleTimeout::After(Duration::from_hours(1))),
        }
    );
    assert_eq!(read("").expect("loads").http, Http::default());
    for (word, expected) in [("true", HttpSocket::Usual), ("false", HttpSocket::Off)] {
        let config = read(&format!("[http]\nsocket = {word}\n")).expect("loads");
        assert_eq!(config.http.socket, Some(expected));
    }
    let off = read("[http]\nlisten = []\n").expect("loads");
    assert_eq!(off.http.listen, Some(Vec::new()));
}

#[test]
fn other_machines_come_in_with_tls() {
    let config = read(
        "[http]\nlisten = [{ address = \"0.0.0.0:7666\", tls = true }, { address = \"127.0.0.1:1\", tls = false }]\n[http.tls]\ncert = \"/c.pem\"\nkey = \"/k.pem\"\nnames = [\"pool.example.com\", \"[2001:db8::7]\"]\n",
    )
    .expect("loads");
    let open = Listen {
        is_secure: true,
        ..at("0.0.0.0:7666", None)
    };
    assert_eq!(
        config.http.listen,
        Some(vec![open, at("127.0.0.1:1", None)])
    );
    let names = ["pool.example.com", "[2001:db8::7]"];
    assert_eq!(
        config.http.tls,
        Some(Tls {
            cert: "/c.pem".into(),
            key: "/k.pem".into(),
            names: names.map(str::to_owned).to_vec(),
        })
    );
}

#[test]
fn what_is_wrong_with_it_is_told() {
    check_errors(
        &[
            "[http]\nlisten = \"127.0.0.1:7665\"\n",
            "[http]\nlisten = [\"0.0.0.0:7665\"]\n",
            "[http]\nlisten = [\"127.0.0.1:1\", \"[::ffff:127.0.0.1]:7665\"]\n",
            "[http]\nlisten = [\"localhost:7665\"]\n",
            "[http]\nlisten = [\"7665\"]\n",
            "[http]\nlisten = [{ server = \"x\" }]\n",
            "[http]\nlisten = [{ address = \"0.0.0.0:9999\", server = \"x\" }]\n",
            "[http]\nlisten = [{ address = \"127.0.0.1:9999\", server = \"a b\" }]\n",
            "[http]\nlisten = [{ address = \"127.0.0.1:9999\", name = \"x\" }]\n",
            "[http]\nlisten = [\"127.0.0.1:1\", { address = \"127.0.0.1:1\", server = \"x\" }]\n",
            "[http]\nsocket = \"relative\"\n",
            "[http]\nsocket = 1\n",
            "[http]\nauth = \"nobody\"\n",
            "[http]\nport = 7665\n",
        ],
        &expect![[r#"
            [http]
            listen = "127.0.0.1:7665"
                config.toml:2:10: http.listen: expected an array of addresses, found a string (put it in brackets: `["..."]`)
            [http]
            listen = ["0.0.0.0:7665"]
                config.toml:2:11: http.listen[0]: "0.0.0.0:7665" is neither at 127.0.0.1 nor at [::1] (beyond this machine mcpool is served with TLS and the token alone: `{ address = "…", tls = true }`, and a certificate in `[http.tls]`)
            [http]
            listen = ["127.0.0.1:1", "[::ffff:127.0.0.1]:7665"]
                config.toml:2:26: http.listen[1]: "[::ffff:127.0.0.1]:7665" is neither at 127.0.0.1 nor at [::1] (beyond this machine mcpool is served with TLS and the token alone: `{ address = "…", tls = true }`, and a certificate in `[http.tls]`)
            [http]
            listen = ["localhost:7665"]
                config.toml:2:11: http.listen[0]: "localhost:7665" is not an address with a port (write one such as `127.0.0.1:7665` or `[::1]:7665`)
            [http]
            listen = ["7665"]
                config.toml:2:11: http.listen[0]: "7665" is not an address with a port (write one such as `127.0.0.1:7665` or `[::1]:7665`)
            [http]
            listen = [{ server = "x" }]
                config.toml:2:11: http.listen[0]: `address` is missing (such as `{ address = "127.0.0.1:9999", server = "NAME" }`)
            [http]
            listen = [{ address = "0.0.0.0:9999", server = "x" }]
                config.toml:2:23: http.listen[0].address: "0.0.0.0:9999" is neither at 127.0.0.1 nor at [::1] (beyond this machine mcpool is served with TLS and the token alone: `{ address = "…", tls = true }`, and a certificate in `[http.tls]`)
            [http]
            listen = [{ address = "127.0.0.1:9999", server = "a b" }]
                config.toml:2:50: http.listen[0].server: a server's name is made of letters, digits, `.`, `_` and `-`, but character 2 is ' '
            [http]
            listen = [{ address = "127.0.0.1:9999", name = "x" }]
                config.toml:2:41: http.listen[0].name: unknown key (known here: address, server, tls)
            [http]
            listen = ["127.0.0.1:1", { address = "127.0.0.1:1", server = "x" }]
                config.toml:2:26: http.listen[1]: 127.0.0.1:1 stands there twice
            [http]
            socket = "relative"
                config.toml:2:10: http.socket: relative is no absolute path
            [http]
            socket = 1
                config.toml:2:10: http.socket: expected true, false or an absolute path, found an integer
            [http]
            auth = "nobody"
                config.toml:2:8: http.auth: "nobody" is not one of `same-user`, `token`, `none`
            [http]
            port = 7665
                config.toml:2:1: http.port: unknown key (known here: listen, tls, socket, auth, session_idle_timeout)
        "#]],
    );
}

#[test]
fn an_address_of_a_server_that_is_not_there_is_told() {
    check_errors(
        &[
            "[http]\nlisten = [\"127.0.0.1:1\", { address = \"127.0.0.1:9999\", server = \"nope\" }]\n[servers.other]\ncommand = \"x\"\n",
            // What is wrong with the server itself is told instead.
            "[http]\nlisten = [{ address = \"127.0.0.1:9999\", server = \"broken\" }]\n[servers.broken]\ncomand = \"x\"\n",
        ],
        &expect![[r#"
            [http]
            listen = ["127.0.0.1:1", { address = "127.0.0.1:9999", server = "nope" }]
            [servers.other]
            command = "x"
                config.toml:2:65: http.listen[1].server: no server named `nope` is configured (add it: `mcpool add nope -- COMMAND`, or take `server` out here)
            [http]
            listen = [{ address = "127.0.0.1:9999", server = "broken" }]
            [servers.broken]
            comand = "x"
                config.toml:4:1: servers.broken.comand: unknown key (did you mean `command`?)
        "#]],
    );
}

#[test]
fn what_is_wrong_with_tls_is_told() {
    check_errors(
        &[
            "[http]\nlisten = [{ address = \"127.0.0.1:1\", tls = true }]\n",
            "[http]\nlisten = [{ address = \"127.0.0.1:1\", tls = 1 }]\n",
            "[http]\nauth = \"none\"\nlisten = [{ address = \"0.0.0.0:1\", tls = true }]\n[http.tls]\ncert = \"/c\"\nkey = \"/k\"\nnames = [\"n\"]\n",
            "[http.tls]\ncert = \"/c\"\n",
            "[http.tls]\ncert = \"c\"\nkey = \"/k\"\nnames = [\"n\"]\n",
            "[http.tls]\ncert = \"/c\"\nkey = \"/k\"\nnames = []\n",
            "[http.tls]\ncert = \"/c\"\nkey = \"/k\"\nnames = [\"n:7\"]\n",
            "[http.tls]\nca = \"/c\"\n",
        ],
        &expect![[r#"
            [http]
            listen = [{ address = "127.0.0.1:1", tls = true }]
                config.toml:2:10: http.listen: `tls` needs a certificate (name its files in `[http.tls]`, as `cert` and `key`)
            [http]
            listen = [{ address = "127.0.0.1:1", tls = 1 }]
                config.toml:2:44: http.listen[0].tls: expected true or false, found an integer
            [http]
            auth = "none"
            listen = [{ address = "0.0.0.0:1", tls = true }]
            [http.tls]
            cert = "/c"
            key = "/k"
            names = ["n"]
                config.toml:3:10: http.listen: beyond this machine nobody may come in without the token (`auth` must not be "none" beside such an address)
            [http.tls]
            cert = "/c"
                config.toml:1:7: http.tls: `key`, `names` is missing (the files of a certificate and of its key, and the names that clients use in their URLs)
            [http.tls]
            cert = "c"
            key = "/k"
            names = ["n"]
                config.toml:2:8: http.tls.cert: c is no absolute path
            [http.tls]
            cert = "/c"
            key = "/k"
            names = []
                config.toml:4:9: http.tls.names: there must be one at least
            [http.tls]
            cert = "/c"
            key = "/k"
            names = ["n:7"]
                config.toml:4:10: http.tls.names[0]: "n:7" is no host as it stands in a URL (such as "pool.example.com" or "192.0.2.7", in small letters and without a port)
            [http.tls]
            ca = "/c"
                config.toml:2:1: http.tls.ca: unknown key (known here: cert, key, names)
        "#]],
    );
}
