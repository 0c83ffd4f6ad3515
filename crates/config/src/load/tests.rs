use std::{ffi::OsString, time::Duration};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{
    Asks, Builtins, Capability, Era, IdleTimeout, OnDaemonFailure, OnRestart, Scope, Server,
};

mod calls;
mod http;
mod life;
mod remote;
mod secrets;

fn read(text: &str) -> Result<Config, LoadError> {
    load(text, Path::new("config.toml"))
}

#[track_caller]
fn server(text: &str) -> Server {
    let mut config = read(text).expect("loads");
    config.servers.pop_first().expect("one server").1
}

/// Every input, one per paragraph, with its first error below it.
#[track_caller]
fn check_errors(inputs: &[&str], expected: &Expect) {
    let mut shown = String::new();
    for input in inputs {
        let outcome = match read(input) {
            Ok(config) => format!("loads: {config:?}"),
            Err(error) => error.to_string(),
        };
        shown.extend([input.trim_end(), "\n    ", &outcome, "\n"]);
    }
    expected.assert_eq(&shown);
}

#[test]
fn an_empty_file_is_a_configuration_without_servers() {
    assert_eq!(read(""), Ok(Config::default()));
    assert_eq!(
        read("# nothing yet\n[servers]\n[limits]\n"),
        Ok(Config::default())
    );
}

#[test]
fn a_server_needs_only_a_command() {
    let server = server("[servers.time]\ncommand = \"uvx\"\n");
    assert_eq!(server.scope, Scope::Auto);
    assert_eq!(
        server.idle_timeout,
        IdleTimeout::After(Duration::from_mins(10))
    );
    assert_eq!(server.asks, Asks::Shared);
    assert_eq!(server.era, Era::Auto);
    assert_eq!(server.on_restart, OnRestart::Continue);
    assert_eq!(server.on_daemon_failure, OnDaemonFailure::Direct);
    assert_eq!(
        (server.request_timeout, server.request_idle_timeout),
        (None, None)
    );
    assert_eq!(server.client_capabilities, None);
    assert_eq!(server.cwd, None);
    assert!(server.args.is_empty() && server.env.is_empty() && server.env_pass.is_empty());
}

#[test]
fn every_key_of_a_server_is_read() {
    let server = server(
        r#"
        [servers."git.hub_1-x"]
        command = "npx"
        args = ["-y", "${PACKAGE:-server}"]
        env = { TOKEN = "${TOKEN}", FIXED = "1" }
        env_pass = ["AWS_*", "HTTPS_PROXY"]
        cwd = "${workspace}"
        scope = "global"
        idle_timeout = "never"
        request_timeout = "2h"
        request_idle_timeout = "5m"
        on_restart = "error"
        on_daemon_failure = "error"
        lazy = false
        keep_warm = true
        client_capabilities = ["roots", "sampling.tools"]
        asks = "session"
        era = "legacy"
        sse_poll_after = "60ms"
        "#,
    );
    assert_eq!(server.command.as_written(), "npx");
    assert_eq!(server.args[1].variables().collect::<Vec<_>>(), ["PACKAGE"]);
    assert_eq!(server.env["TOKEN"].as_written(), "${TOKEN}");
    assert_eq!(server.env_pass[0].as_str(), "AWS_*");
    assert_eq!(
        server.cwd.as_ref().expect("cwd").as_written(),
        "${workspace}"
    );
    assert_eq!(server.scope, Scope::Global);
    assert_eq!(server.idle_timeout, IdleTimeout::Never);
    assert_eq!(server.request_timeout, Some(Duration::from_hours(2)));
    let five_minutes = IdleTimeout::After(Duration::from_mins(5));
    assert_eq!(server.request_idle_timeout, Some(five_minutes));
    assert_eq!(server.on_restart, OnRestart::Error);
    assert_eq!(server.on_daemon_failure, OnDaemonFailure::Error);
    assert!(!server.lazy && server.keep_warm);
    assert_eq!(server.asks, Asks::Session);
    assert_eq!(server.era, Era::Legacy);
    assert_eq!(server.sse_poll_after, Some(Duration::from_millis(60)));
    assert_eq!(
        server.client_capabilities,
        Some(
            [
                Capability::Roots,
                Capability::Sampling,
                Capability::SamplingTools
            ]
            .into()
        )
    );
}

#[test]
fn a_server_may_be_written_in_every_way_that_toml_has() {
    let forms = [
        "[servers.a]\ncommand = \"x\"\nenv = { K = \"v\" }\n",
        "[servers.a]\ncommand = \"x\"\n[servers.a.env]\nK = \"v\"\n",
        "[servers]\na = { command = \"x\", env.K = \"v\" }\n",
        "servers.a.command = 'x'\nservers.a.env.K = 'v'\n",
        "servers = { a = { command = \"x\", env = { K = \"v\" } } }\n",
        "\u{feff}[servers.a]\r\ncommand = \"\"\"\r\nx\"\"\"\r\nenv.K = \"v\"\r\n",
    ];
    let first = read(forms[0]).expect("loads");
    for form in forms {
        assert_eq!(read(form).as_ref(), Ok(&first), "{form}");
    }
}

#[test]
fn every_limit_is_read() {
    let config = read(
        r#"
        [limits]
        message_bytes = "64 MiB"
        start_patience = "25s"
        greeting_timeout = "5m"
        session_in_flight = 64
        session_queue = 10000
        session_queue_bytes = 8388608
        slow_reader_bytes = "8 MiB"
        buffered_bytes = "512 MiB"
        sessions = 16384
        drain_patience = "0s"
        request_timeout = "24h"
        request_idle_timeout = "never"
        ping_interval = "30s"
        "#,
    )
    .expect("loads");
    assert_eq!(
        config.limits,
        crate::LimitsOverrides {
            message_bytes: Some(64 << 20),
            start_patience: Some(Duration::from_secs(25)),
            greeting_timeout: Some(Duration::from_mins(5)),
            session_in_flight: Some(64),
            session_queue: Some(10_000),
            session_queue_bytes: Some(8 << 20),
            slow_reader_bytes: Some(8 << 20),
            buffered_bytes: Some(512 << 20),
            sessions: Some(16_384),
            drain_patience: Some(Duration::ZERO),
            request_timeout: Some(Duration::from_hours(24)),
            request_idle_timeout: Some(IdleTimeout::Never),
            ping_interval: Some(Duration::from_secs(30)),
        }
    );
}

#[test]
fn an_unset_variable_leads_to_its_line_in_the_file() {
    let server = server(
        "# a comment\n[servers.a]\ncommand = \"x\"\nargs = [\n  \"-v\",\n  \"${NOPE}\",\n]\n",
    );
    let builtins = Builtins {
        workspace: None,
        session: "s",
        server: "a",
    };
    let nothing = |_: &str| -> Option<OsString> { None };
    let error = server.args[1]
        .resolve(&nothing, &builtins)
        .expect_err("unset")
        .to_string();
    assert!(
        error.starts_with("config.toml:6: servers.a.args[1]: "),
        "{error}"
    );
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    check_errors(
        &[
            "[servers.github]\ncommand = \"x\"\n  comand = \"y\"\n",
            "[servers.github]\ncomand = \"y\"\n",
            "[servers.github]\ncmd = \"y\"\n",
            "mcpServers = {}\n",
            "[server.a]\ncommand = \"x\"\n",
            "[limits]\nsession_inflight = 3\n",
            "[servers.a]\ncommand = \"x\"\nurl = \"http://127.0.0.1\"\n",
            "[servers.a]\ncommand = \"x\"\n\"weird key\" = 1\n",
        ],
        &expect![[r#"
            [servers.github]
            command = "x"
              comand = "y"
                config.toml:3:3: servers.github.comand: unknown key (did you mean `command`?)
            [servers.github]
            comand = "y"
                config.toml:2:1: servers.github.comand: unknown key (did you mean `command`?)
            [servers.github]
            cmd = "y"
                config.toml:2:1: servers.github.cmd: unknown key (did you mean `command`?)
            mcpServers = {}
                config.toml:1:1: mcpServers: unknown key (did you mean `servers`?)
            [server.a]
            command = "x"
                config.toml:1:2: server: unknown key (did you mean `servers`?)
            [limits]
            session_inflight = 3
                config.toml:2:1: limits.session_inflight: unknown key (did you mean `session_in_flight`?)
            [servers.a]
            command = "x"
            url = "http://127.0.0.1"
                config.toml:2:1: servers.a.command: contradicts `url` (a server that runs already is not started; leave one of the two out)
            [servers.a]
            command = "x"
            "weird key" = 1
                config.toml:3:1: servers.a."weird key": unknown key (known here: command, url, headers, ca_cert, session_key_param, session_key_header, args, env, env_pass, env_file, path, cwd, scope, idle_timeout, request_timeout, request_idle_timeout, on_restart, on_daemon_failure, lazy, keep_warm, client_capabilities, asks, era, sse_poll_after, serialize, once)
        "#]],
    );
}

#[test]
fn wrong_types_name_what_was_expected_and_what_was_found() {
    check_errors(
        &[
            "servers = 1\n",
            "[[servers]]\ncommand = \"x\"\n",
            "[servers]\na = \"npx\"\n",
            "[servers.a]\ncommand = [\"npx\"]\n",
            "[servers.a]\ncommand = \"x\"\nargs = \"-y\"\n",
            "[servers.a]\ncommand = \"x\"\nargs = [\"a\", 8080]\n",
            "[servers.a]\ncommand = \"x\"\nenv = [\"A=b\"]\n",
            "[servers.a]\ncommand = \"x\"\nenv = { PORT = 8080 }\n",
            "[servers.a]\ncommand = \"x\"\n[servers.a.env.X]\n",
            "[servers.a]\ncommand = \"x\"\nidle_timeout = 10\n",
            "[servers.a]\ncommand = \"x\"\nscope = true\n",
            "[limits]\nstart_patience = 25\n",
            "[limits]\nmessage_bytes = 1.5\n",
            "[limits]\nsessions = \"many\"\n",
        ],
        &expect![[r#"
            servers = 1
                config.toml:1:11: servers: expected a table, found an integer
            [[servers]]
            command = "x"
                config.toml:1:3: servers: expected a table, found an array of tables
            [servers]
            a = "npx"
                config.toml:2:5: servers.a: expected a table, found a string
            [servers.a]
            command = ["npx"]
                config.toml:2:11: servers.a.command: expected a string, found an array
            [servers.a]
            command = "x"
            args = "-y"
                config.toml:3:8: servers.a.args: expected an array of strings, found a string (put it in brackets: `["..."]`)
            [servers.a]
            command = "x"
            args = ["a", 8080]
                config.toml:3:14: servers.a.args[1]: expected a string, found an integer (put it in quotes)
            [servers.a]
            command = "x"
            env = ["A=b"]
                config.toml:3:7: servers.a.env: expected a table, found an array
            [servers.a]
            command = "x"
            env = { PORT = 8080 }
                config.toml:3:16: servers.a.env.PORT: expected a string, found an integer (put it in quotes)
            [servers.a]
            command = "x"
            [servers.a.env.X]
                config.toml:3:16: servers.a.env.X: expected a string, found a table
            [servers.a]
            command = "x"
            idle_timeout = 10
                config.toml:3:16: servers.a.idle_timeout: expected a duration such as "10m" or "0s", or "never", found an integer
            [servers.a]
            command = "x"
            scope = true
                config.toml:3:9: servers.a.scope: expected a string, found a boolean (put it in quotes)
            [limits]
            start_patience = 25
                config.toml:2:18: limits.start_patience: expected a duration such as "25s", found an integer
            [limits]
            message_bytes = 1.5
                config.toml:2:17: limits.message_bytes: expected a size such as "64 MiB" or a number of bytes, found a float
            [limits]
            sessions = "many"
                config.toml:2:12: limits.sessions: expected a number, found a string
        "#]],
    );
}

#[test]
fn wrong_values_of_a_server_say_what_would_be_right() {
    check_errors(
        &[
            "[servers.a]\n",
            "[servers.a]\ncommand = \"\"\n",
            "[servers.a]\ncommand = \"x\"\nscope = \"globl\"\n",
            "[servers.a]\ncommand = \"x\"\nasks = \"never\"\n",
            "[servers.a]\ncommand = \"x\"\nidle_timeout = \"10\"\n",
            "[servers.a]\ncommand = \"x\"\nidle_timeout = \"1000 years\"\n",
            "[servers.a]\ncommand = \"x\"\nclient_capabilities = [\"roots\", \"elicitation\"]\n",
        ],
        &expect![[r#"
            [servers.a]
                config.toml:1:10: servers.a: `command` is missing (the program to start, for example `command = "npx"`; or `url`, if it runs already)
            [servers.a]
            command = ""
                config.toml:2:11: servers.a.command: must not be empty
            [servers.a]
            command = "x"
            scope = "globl"
                config.toml:3:9: servers.a.scope: "globl" is not one of `auto`, `global`, `workspace`, `session` (did you mean `global`?)
            [servers.a]
            command = "x"
            asks = "never"
                config.toml:3:8: servers.a.asks: "never" is not one of `shared`, `session`
            [servers.a]
            command = "x"
            idle_timeout = "10"
                config.toml:3:16: servers.a.idle_timeout: "10" is not a duration such as "10m" or "0s", or "never"
            [servers.a]
            command = "x"
            idle_timeout = "1000 years"
                config.toml:3:16: servers.a.idle_timeout: longer than a year (write "never")
            [servers.a]
            command = "x"
            client_capabilities = ["roots", "elicitation"]
                config.toml:3:33: servers.a.client_capabilities[1]: "elicitation" is not one of `roots`, `sampling`, `sampling.tools`, `elicitation.form`, `elicitation.url`
        "#]],
    );
}

#[test]
fn what_cannot_be_passed_to_a_program_is_refused() {
    check_errors(
        &[
            "[servers.a]\ncommand = \"x\"\nenv_pass = [\"TOKEN=hunter2\"]\n",
            "[servers.a]\ncommand = \"x\"\nenv_pass = [\"*\"]\n",
            "[servers.a]\ncommand = \"x\"\nenv = { \"A=B\" = \"hunter2\" }\n",
            "[servers.\"a/b\"]\ncommand = \"x\"\n",
            "[servers.a]\ncommand = \"x\"\nargs = [\"é ${HOME\"]\n",
            "[servers.a]\ncommand = \"x\"\nargs = [\"\\t${A-b}\"]\n",
            "[servers.a]\ncommand = \"x\\u0000\"\n",
        ],
        &expect![[r#"
            [servers.a]
            command = "x"
            env_pass = ["TOKEN=hunter2"]
                config.toml:3:13: servers.a.env_pass[0]: `TOKEN=...` sets a variable, but only the name of one to pass belongs here (set `TOKEN` under `env`)
            [servers.a]
            command = "x"
            env_pass = ["*"]
                config.toml:3:13: servers.a.env_pass[0]: `*` would pass the whole environment; name the variables, for example `AWS_*`
            [servers.a]
            command = "x"
            env = { "A=B" = "hunter2" }
                config.toml:3:9: servers.a.env."A=B": "A=B" cannot be the name of a variable
            [servers."a/b"]
            command = "x"
                config.toml:1:10: servers."a/b": a server's name is made of letters, digits, `.`, `_` and `-`, but character 2 is '/'
            [servers.a]
            command = "x"
            args = ["é ${HOME"]
                config.toml:3:12: servers.a.args[0]: `${` is never closed by `}`; write `$${` for a literal `${`
            [servers.a]
            command = "x"
            args = ["\t${A-b}"]
                config.toml:3:9: servers.a.args[0]: "A-b" is not the name of a variable; `${NAME}` and `${NAME:-default}` are the forms that exist
            [servers.a]
            command = "x\u0000"
                config.toml:2:11: servers.a.command: a NUL character cannot be passed to a program
        "#]],
    );
}

#[test]
fn limits_out_of_range_say_the_range() {
    check_errors(
        &[
            "[limits]\nsessions = 0\n",
            "[limits]\nsession_queue = -1\n",
            "[limits]\nmessage_bytes = 0\n",
            "[limits]\nslow_reader_bytes = \"64 MegaBytes\"\n",
            "[limits]\nstart_patience = \"0s\"\n",
            "[limits]\ndrain_patience = \"2 days\"\n",
            "[limits]\nrequest_timeout = \"soon\"\n",
        ],
        &expect![[r#"
            [limits]
            sessions = 0
                config.toml:2:12: limits.sessions: must be from 1 to 1000000
            [limits]
            session_queue = -1
                config.toml:2:17: limits.session_queue: must be from 1 to 1000000
            [limits]
            message_bytes = 0
                config.toml:2:17: limits.message_bytes: must be from 1 KiB to 1 GiB
            [limits]
            slow_reader_bytes = "64 MegaBytes"
                config.toml:2:21: limits.slow_reader_bytes: "64 MegaBytes" is not a size such as "64 MiB" or a number of bytes
            [limits]
            start_patience = "0s"
                config.toml:2:18: limits.start_patience: must be from 1ms to 1day
            [limits]
            drain_patience = "2 days"
                config.toml:2:18: limits.drain_patience: must be from 0s to 1day
            [limits]
            request_timeout = "soon"
                config.toml:2:19: limits.request_timeout: "soon" is not a duration such as "25s"
        "#]],
    );
}

#[test]
fn text_that_is_no_toml_is_reported_with_its_place() {
    check_errors(
        &[
            "[servers.a\ncommand = \"x\"\n",
            "[servers.a]\ncommand = npx\n",
            "[servers.a]\ncommand = \"x\"\ncommand = \"y\"\n",
            "[servers.a]\ncommand = \"x\n",
            "{\"mcpServers\": {}}\n",
        ],
        &expect![[r#"
            [servers.a
            command = "x"
                config.toml:1:11: not valid TOML: unclosed table, expected `]`
            [servers.a]
            command = npx
                config.toml:2:11: not valid TOML: invalid float, expected `nan` (text must be in quotes)
            [servers.a]
            command = "x"
            command = "y"
                config.toml:3:1: not valid TOML: duplicate key
            [servers.a]
            command = "x
                config.toml:2:13: not valid TOML: invalid basic string, expected `"`
            {"mcpServers": {}}
                config.toml:1:1: not valid TOML: invalid key-value pair, expected key (this looks like JSON; servers are tables `[servers.NAME]` here)
        "#]],
    );
}

#[test]
fn of_several_errors_the_first_in_the_file_is_reported() {
    check_errors(
        &[
            "[limits]\nsessions = 0\n[servers.a]\nbad = 1\n",
            "[servers.a]\nbad = 1\n[limits]\nsessions = 0\n",
            "[servers.b]\ncommand = 1\n[servers.a]\ncommand = 2\n",
            "[servers.a]\ncommand = \"x\"\nenv = { B = 1, A = 2 }\nargs = 3\n",
        ],
        &expect![[r#"
            [limits]
            sessions = 0
            [servers.a]
            bad = 1
                config.toml:2:12: limits.sessions: must be from 1 to 1000000
            [servers.a]
            bad = 1
            [limits]
            sessions = 0
                config.toml:1:10: servers.a: `command` is missing (the program to start, for example `command = "npx"`; or `url`, if it runs already)
            [servers.b]
            command = 1
            [servers.a]
            command = 2
                config.toml:2:11: servers.b.command: expected a string, found an integer (put it in quotes)
            [servers.a]
            command = "x"
            env = { B = 1, A = 2 }
            args = 3
                config.toml:3:13: servers.a.env.B: expected a string, found an integer (put it in quotes)
        "#]],
    );
}

#[test]
fn every_key_that_is_suggested_is_also_understood() {
    for key in server::KEYS {
        let error = read(&format!("[servers.a]\n{key} = 1\n")).expect_err(key);
        assert!(!error.message.contains("unknown key"), "{error}");
    }
    for key in limits::KEYS {
        let error = read(&format!("[limits]\n{key} = true\n")).expect_err(key);
        assert!(!error.message.contains("unknown key"), "{error}");
    }
}

#[test]
fn every_key_of_the_daemon_is_understood() {
    for key in daemon::KEYS {
        let error = read(&format!("[daemon]\n{key} = true\n")).expect_err(key);
        assert!(!error.message.contains("unknown key"), "{error}");
    }
}

#[test]
fn the_reference_page_describes_every_key_and_its_examples_load() {
    let page = include_str!("../../../../docs/config.md");
    for key in server::KEYS
        .iter()
        .chain(limits::KEYS)
        .chain(daemon::KEYS)
        .chain(TOP_KEYS)
    {
        assert!(
            page.contains(&format!("`{key}`")) || page.contains(&format!("`[{key}]`")),
            "{key}"
        );
    }
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() > 3, "the page has examples");
    for example in examples {
        if let Err(error) = read(example) {
            panic!("{error}\n{example}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_error_within_the_file(text in "\\PC*") {
        if let Err(error) = read(&text) {
            prop_assert!(error.line >= 1 && error.column >= 1);
        }
    }

    #[test]
    fn any_toml_of_our_words_is_a_configuration_or_an_error_within_the_file(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "[servers.a]", "[servers]", "[limits]", "[[servers]]", "\n", "\r\n", " ", "=", ".", ",",
                "command", "args", "env", "env_pass", "scope", "idle_timeout", "a", "servers",
                "client_capabilities", "message_bytes", "\"x\"", "\"${A\"", "'é${'", "[", "]", "{",
                "}", "1", "1.5", "true", "\"never\"", "\"\"\"", "'''", "#", "\\u0000", "1979-05-27",
            ]),
            0..40,
        ),
    ) {
        let text = words.concat();
        if let Err(error) = read(&text) {
            prop_assert!(error.line >= 1 && error.line <= 1 + text.matches('\n').count());
            prop_assert!(error.column >= 1);
        }
    }
}
