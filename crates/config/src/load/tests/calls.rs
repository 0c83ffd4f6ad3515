//! `serialize` and `once`.

use super::*;
use crate::{Once, Serialize};

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_device_is_for_all_tools_of_a_server_or_for_some() {
    let serialize =
        |line: &str| server(&format!("[servers.a]\ncommand = \"x\"\n{line}\n")).serialize;
    assert_eq!(serialize(""), None);
    let all = Serialize {
        name: "speakers".to_owned(),
        tools: None,
    };
    assert_eq!(serialize("serialize = \"speakers\""), Some(all.clone()));
    assert_eq!(serialize("serialize = { name = \"speakers\" }"), Some(all));
    let some = serialize("serialize = { name = \"speakers\", tools = [\"speak\", \"play\"] }");
    let some = some.unwrap();
    assert_eq!(
        some.tools.unwrap().into_iter().collect::<Vec<_>>(),
        ["play", "speak"]
    );
}

#[test]
fn calls_that_are_carried_out_once_are_named_with_what_makes_them_equal() {
    let once = |line: &str| server(&format!("[servers.a]\ncommand = \"x\"\n{line}\n")).once;
    assert_eq!(once(""), None);
    let expected = Once {
        tools: texts(&["announce"]).into_iter().collect(),
        key: Some(texts(&["text"])),
        ttl: Duration::from_secs(5),
    };
    let line = "once = { tools = [\"announce\"], key = [\"text\"], ttl = \"5s\" }";
    assert_eq!(once(line), Some(expected));
    let line = "once = { tools = [\"announce\"], ttl = \"1h\" }";
    assert_eq!(once(line).unwrap().key, None);
}

#[test]
fn what_is_missing_or_wrong_is_told_with_an_example() {
    let of = |line: &str| format!("[servers.a]\ncommand = \"x\"\n{line}\n");
    let texts = [
        "serialize = 1",
        "serialize = \"\"",
        "serialize = { tools = [\"a\"] }",
        "serialize = { name = \"a\", tools = [] }",
        "serialize = { name = \"a\", tool = \"b\" }",
        "once = \"5s\"",
        "once = { tools = [\"a\"] }",
        "once = { ttl = \"5s\" }",
        "once = { tools = \"a\", ttl = \"5s\" }",
        "once = { tools = [\"a\"], ttl = \"2h\" }",
        "once = { tools = [\"a\"], ttl = \"5s\", keys = [] }",
    ]
    .map(of);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    check_errors(
        &texts,
        &expect![[r#"
            [servers.a]
            command = "x"
            serialize = 1
                config.toml:3:13: servers.a.serialize: expected a string or a table, found an integer
            [servers.a]
            command = "x"
            serialize = ""
                config.toml:3:13: servers.a.serialize: "" cannot be a name
            [servers.a]
            command = "x"
            serialize = { tools = ["a"] }
                config.toml:3:1: servers.a.serialize: `name` is missing (for example `serialize = { name = "speakers", tools = ["speak"] }`)
            [servers.a]
            command = "x"
            serialize = { name = "a", tools = [] }
                config.toml:3:27: servers.a.serialize.tools: must not be empty
            [servers.a]
            command = "x"
            serialize = { name = "a", tool = "b" }
                config.toml:3:27: servers.a.serialize.tool: unknown key (did you mean `tools`?)
            [servers.a]
            command = "x"
            once = "5s"
                config.toml:3:8: servers.a.once: expected a table, found a string
            [servers.a]
            command = "x"
            once = { tools = ["a"] }
                config.toml:3:1: servers.a.once: `ttl` is missing (for example `once = { tools = ["announce"], ttl = "5s" }`)
            [servers.a]
            command = "x"
            once = { ttl = "5s" }
                config.toml:3:1: servers.a.once: `tools` is missing (for example `once = { tools = ["announce"], ttl = "5s" }`)
            [servers.a]
            command = "x"
            once = { tools = "a", ttl = "5s" }
                config.toml:3:18: servers.a.once.tools: expected an array of names of tools, found a string (put it in brackets: `["..."]`)
            [servers.a]
            command = "x"
            once = { tools = ["a"], ttl = "2h" }
                config.toml:3:31: servers.a.once.ttl: must be from 100ms to 1h
            [servers.a]
            command = "x"
            once = { tools = ["a"], ttl = "5s", keys = [] }
                config.toml:3:37: servers.a.once.keys: unknown key (did you mean `key`?)
        "#]],
    );
}
