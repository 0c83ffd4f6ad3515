//! How long things live: requests, servers, the daemon.

use super::*;

#[test]
fn the_daemons_own_life_is_read() {
    for (text, expected) in [
        ("\"1h\"", IdleTimeout::After(Duration::from_hours(1))),
        ("\"never\"", IdleTimeout::Never),
    ] {
        let config = read(&format!("[daemon]\nidle_timeout = {text}\n")).expect("loads");
        assert_eq!(config.daemon.idle_timeout, Some(expected));
    }
    check_errors(
        &[
            "[daemon]\nidle_exit = \"1h\"\n",
            "[daemon]\nidle_timout = \"1h\"\n",
            "[daemon]\nidle_timeout = \"0s\"\n",
            "[demon]\nidle_timeout = \"1h\"\n",
            "[daemon]\nidle_timeout = 30\n",
            "[daemon]\nidle_timeout = \"soon\"\n",
        ],
        &expect![[r#"
            [daemon]
            idle_exit = "1h"
                config.toml:2:1: daemon.idle_exit: unknown key (known here: idle_timeout, path)
            [daemon]
            idle_timout = "1h"
                config.toml:2:1: daemon.idle_timout: unknown key (did you mean `idle_timeout`?)
            [daemon]
            idle_timeout = "0s"
                config.toml:2:16: daemon.idle_timeout: must be from 1s to 30days
            [demon]
            idle_timeout = "1h"
                config.toml:1:2: demon: unknown key (did you mean `daemon`?)
            [daemon]
            idle_timeout = 30
                config.toml:2:16: daemon.idle_timeout: expected a duration such as "5m", or "never", found an integer
            [daemon]
            idle_timeout = "soon"
                config.toml:2:16: daemon.idle_timeout: "soon" is not a duration such as "5m", or "never"
        "#]],
    );
}

#[test]
fn the_terms_of_requests_are_checked_wherever_they_stand() {
    check_errors(
        &[
            "[limits]\nrequest_idle_timeout = \"0s\"\n",
            "[servers.a]\ncommand = \"x\"\nrequest_idle = \"5m\"\n",
            "[servers.a]\ncommand = \"x\"\nrequest_timeout = \"never\"\n",
            "[servers.a]\ncommand = \"x\"\nrequest_idle_timeout = \"31 days\"\n",
            "[servers.a]\ncommand = \"x\"\non_restart = \"eror\"\n",
            "[servers.a]\ncommand = \"x\"\non_daemon_failure = \"cry\"\n",
        ],
        &expect![[r#"
            [limits]
            request_idle_timeout = "0s"
                config.toml:2:24: limits.request_idle_timeout: must be from 1ms to 30days
            [servers.a]
            command = "x"
            request_idle = "5m"
                config.toml:3:1: servers.a.request_idle: unknown key (known here: command, url, headers, ca_cert, session_key_param, session_key_header, args, env, env_pass, env_file, path, cwd, scope, idle_timeout, request_timeout, request_idle_timeout, on_restart, on_daemon_failure, lazy, keep_warm, client_capabilities, asks, era, sse_poll_after, serialize, once)
            [servers.a]
            command = "x"
            request_timeout = "never"
                config.toml:3:19: servers.a.request_timeout: "never" is not a duration such as "25s"
            [servers.a]
            command = "x"
            request_idle_timeout = "31 days"
                config.toml:3:24: servers.a.request_idle_timeout: must be from 1ms to 30days
            [servers.a]
            command = "x"
            on_restart = "eror"
                config.toml:3:14: servers.a.on_restart: "eror" is not one of `continue`, `error` (did you mean `error`?)
            [servers.a]
            command = "x"
            on_daemon_failure = "cry"
                config.toml:3:21: servers.a.on_daemon_failure: "cry" is not one of `direct`, `error`
        "#]],
    );
}

#[test]
fn a_server_is_lazy_and_not_kept_warm_unless_it_says_otherwise_and_both_are_flags() {
    let server = |rest: &str| read(&format!("[servers.a]\ncommand = \"x\"\n{rest}\n"));
    let plain = server("").expect("loads");
    let plain = plain.servers.values().next().expect("one");
    assert!(plain.lazy && !plain.keep_warm);
    let warm = server("keep_warm = true").expect("loads");
    let warm = warm.servers.values().next().expect("one");
    assert_eq!(warm.idle_timeout, IdleTimeout::Never);
    let table = [
        (
            "lazy = \"yes\"",
            "config.toml:3:8: servers.a.lazy: expected true or false, found a string",
        ),
        (
            "keep_warm = 1",
            "config.toml:3:13: servers.a.keep_warm: expected true or false, found an integer",
        ),
        (
            "keep_worm = true",
            "config.toml:3:1: servers.a.keep_worm: unknown key (did you mean `keep_warm`?)",
        ),
        (
            "keep_warm = true\nidle_timeout = \"0s\"",
            "config.toml:4:1: servers.a.idle_timeout: contradicts `keep_warm = true` (leave one of the two out)",
        ),
    ];
    for (text, error) in table {
        assert_eq!(server(text).expect_err(text).to_string(), error);
    }
    for text in [
        "keep_warm = true\nidle_timeout = \"never\"",
        "keep_warm = false\nidle_timeout = \"0s\"",
        "lazy = false\nkeep_warm = true",
    ] {
        server(text).expect(text);
    }
}
