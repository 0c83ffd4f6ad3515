//! The table `[http]`.

use super::*;
use crate::{Http, HttpAuth};

#[test]
fn what_stands_there_is_read() {
    let config = read(
        "[http]\nlisten = [\"127.0.0.1:7665\", \"[::1]:0\"]\nauth = \"token\"\nsession_idle_timeout = \"1h\"\n",
    )
    .expect("loads");
    assert_eq!(
        config.http,
        Http {
            listen: Some(vec![
                "127.0.0.1:7665".parse().unwrap(),
                "[::1]:0".parse().unwrap()
            ]),
            auth: Some(HttpAuth::Token),
            session_idle_timeout: Some(IdleTimeout::After(Duration::from_hours(1))),
        }
    );
    assert_eq!(read("").expect("loads").http, Http::default());
    let off = read("[http]\nlisten = []\n").expect("loads");
    assert_eq!(off.http.listen, Some(Vec::new()));
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
            "[http]\nlisten = [{ address = \"127.0.0.1:9999\", server = \"x\" }]\n",
            "[http]\nauth = \"nobody\"\n",
            "[http]\nport = 7665\n",
        ],
        &expect![[r#"
            [http]
            listen = "127.0.0.1:7665"
                config.toml:2:10: http.listen: expected an array of addresses, found a string (put it in brackets: `["..."]`)
            [http]
            listen = ["0.0.0.0:7665"]
                config.toml:2:11: http.listen[0]: "0.0.0.0:7665" is neither at 127.0.0.1 nor at [::1] (mcpool serves this machine only)
            [http]
            listen = ["127.0.0.1:1", "[::ffff:127.0.0.1]:7665"]
                config.toml:2:26: http.listen[1]: "[::ffff:127.0.0.1]:7665" is neither at 127.0.0.1 nor at [::1] (mcpool serves this machine only)
            [http]
            listen = ["localhost:7665"]
                config.toml:2:11: http.listen[0]: "localhost:7665" is not an address with a port (write one such as `127.0.0.1:7665` or `[::1]:7665`)
            [http]
            listen = ["7665"]
                config.toml:2:11: http.listen[0]: "7665" is not an address with a port (write one such as `127.0.0.1:7665` or `[::1]:7665`)
            [http]
            listen = [{ address = "127.0.0.1:9999", server = "x" }]
                config.toml:2:11: http.listen[0]: expected a string, found an inline table
            [http]
            auth = "nobody"
                config.toml:2:8: http.auth: "nobody" is not one of `same-user`, `token`, `none`
            [http]
            port = 7665
                config.toml:2:1: http.port: unknown key (known here: listen, auth, session_idle_timeout)
        "#]],
    );
}
