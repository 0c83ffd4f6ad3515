use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(words: &[&str], expected: &[&str]) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(super::words(&words), expected);
}

#[test]
fn credentials_in_words_are_hidden() {
    check(
        &["npx", "-y", "x", "--api-key", "sk-1", "--port", "80"],
        &["npx", "-y", "x", "--api-key", "***", "--port", "80"],
    );
    check(
        &[
            "-e",
            "TOKEN=ghp_1",
            "--token=ghp_1",
            "MODE=fast",
            "--flag=1",
        ],
        &["-e", "TOKEN=***", "--token=***", "MODE=fast", "--flag=1"],
    );
    check(
        &[
            "--header",
            "X-Mine: 1",
            "-H",
            "Cookie: a",
            "Authorization: Bearer x",
        ],
        &["--header", "***", "-H", "***", "Authorization:***"],
    );
    // What looks like a value may be an option that has one.
    check(&["--auth", "--token", "x"], &["--auth", "***", "***"]);
    check(
        &["sh", "-c", "TOKEN=ghp_1 exec x", "exec  x --token ghp_1"],
        &["sh", "-c", "TOKEN=***", "exec  x --token ***"],
    );
    check(
        &[
            "x", "-p", "hunter2", "-p", "8080", "-t", "/tmp", "-k", "${KEY}",
        ],
        &["x", "-p", "***", "-p", "8080", "-t", "/tmp", "-k", "${KEY}"],
    );
    let key = format!("sk-{}", "0Ab".repeat(8));
    check(
        &["npx", "-p", "@a/b", &key, "--from=sk", "skeleton"],
        &["npx", "-p", "@a/b", "***", "--from=sk", "skeleton"],
    );
    check(
        &["postgres://me:pass@host/db", "https://host/mcp?token=1"],
        &["postgres://***@host/db", "https://host/mcp?***"],
    );
}

#[test]
fn credentials_behind_an_option_in_one_word_are_hidden() {
    let key = format!("sk-{}", "0Ab".repeat(8));
    check(
        &[
            "--env=GITHUB_TOKEN=ghp_1",
            "--header=Authorization: Bearer opaque",
            "-H=Cookie: a",
            r#"--headers={"X-Mine":"s"}"#,
            "--header=${HEADER}",
            &format!("--with={key}"),
            "--set=a=1&token=2",
            "--env=TOKEN=a;b=c",
            "--host=tcp:db;Password=p w",
            "--run=x --token ghp_1",
            "--env=MODE=fast",
            "--url=https://host/mcp?token=1",
            "--api-key k --mode=fast",
        ],
        &[
            "--env=GITHUB_TOKEN=***",
            "--header=***",
            "-H=***",
            "--headers=***",
            "--header=${HEADER}",
            "--with=***",
            "--set=a=1&token=***",
            "--env=TOKEN=***",
            "--host=tcp:db;Password=***",
            "--run=x --token ***",
            "--env=MODE=fast",
            "--url=https://host/mcp?***",
            "--api-key *** --mode=fast",
        ],
    );
}

#[test]
fn credentials_within_words_are_hidden() {
    check(
        &[
            "mysql",
            "-phunter2",
            "-p8080",
            "-p/srv",
            "-transport",
            "-tghp_1",
            "-p${PW}",
        ],
        &[
            "mysql",
            "-p***",
            "-p8080",
            "-p/srv",
            "-transport",
            "-t***",
            "-p${PW}",
        ],
    );
    check(
        &[
            "-u",
            "me:pw",
            "-u",
            "1000:1000",
            "-u",
            "me",
            "-ume:pw",
            "--user=me:pw",
        ],
        &[
            "-u",
            "***",
            "-u",
            "1000:1000",
            "-u",
            "me",
            "-u***",
            "--user=***",
        ],
    );
    check(
        &[
            "AccountName=a;AccountKey=b==;EndpointSuffix=c",
            "Server=tcp:db;User ID=me;Password=p w;Encrypt=yes",
            "jdbc:sqlserver://db:1433;user=me;password=pw",
            "a=1&token=2",
            "https://host/mcp?a=1&b=2",
            "cd /x; TOKEN=ghp_1 exec y --token a;b",
        ],
        &[
            "AccountName=a;AccountKey=***;EndpointSuffix=c",
            "Server=tcp:db;User ID=me;Password=***;Encrypt=yes",
            "jdbc:sqlserver://db:1433;user=me;password=***",
            "a=1&token=***",
            "https://host/mcp?***",
            "cd /x; TOKEN=*** exec y --token ***",
        ],
    );
}

#[test]
fn credentials_in_json_within_words_are_hidden() {
    let key = format!("sk-{}", "0Ab".repeat(8));
    check(
        &[
            r#"{"braveApiKey":"b","limit":3}"#,
            r#"--config={"url": "https://me:pw@h", "list": ["--token", "t"]}"#,
            &format!(r#"[{{"a": "{key}", "headers": {{"X-Mine": "x"}}, "key": "${{KEY}}"}}]"#),
            r#"{"mode": "fast"}"#,
        ],
        &[
            r#"{"braveApiKey":"***","limit":3}"#,
            r#"--config={"url": "https://***@h", "list": ["--token", "***"]}"#,
            r#"[{"a": "***", "headers": {"X-Mine": "***"}, "key": "${KEY}"}]"#,
            r#"{"mode": "fast"}"#,
        ],
    );
    // What only looks like JSON may end anywhere.
    check(
        &[
            r#""{\"mode\":\"fast\",\"apiKey\":\"k\"}""#,
            r#"npx --token t x --config '{"apiKey" : "a b"}' --more"#,
            r#"curl -H "Authorization: Bearer b""#,
            r"{'api_key': 'k'}",
            r#"-c=x={a="b",token="t"}"#,
            "mode=fast,token=t",
            r#"{"mode": "fast"} x"#,
            &format!("exec x '{key}'"),
        ],
        &[
            r#""{\"mode\":\"fast\",\"apiKey\":***"#,
            r#"npx --token *** x --config '{"apiKey" :***"#,
            r#"curl -H ***"Authorization:***"#,
            r"{'api_key':***",
            r#"-c=x={a="b",token=***"#,
            "mode=fast,token=***",
            r#"{"mode": "fast"} x"#,
            "exec x ***",
        ],
    );
}

#[test]
fn what_a_client_fills_in_is_shown_and_what_it_falls_back_to_is_not() {
    check(
        &["--token", "${TOKEN}", "TOKEN=${env:TOKEN}", "${TOKEN}"],
        &["--token", "${TOKEN}", "TOKEN=${env:TOKEN}", "${TOKEN}"],
    );
    check(
        &[
            "--token",
            "${TOKEN:-ghp_1}",
            "TOKEN=${T:-ghp_1}",
            "${TOKEN:-ghp_1}",
        ],
        &["--token", "***", "TOKEN=***", "${TOKEN:***"],
    );
}

#[track_caller]
fn check_text(grammar: Grammar, before: &str, expected: &Expect) {
    let shown = text(before, grammar);
    expected.assert_eq(shown.trim_start_matches('\u{feff}'));
    assert!(!shown.contains("ghp"), "{shown}");
}

#[test]
fn credentials_and_comments_in_files_are_hidden() {
    check_text(
        Grammar::Jsonc,
        "\u{feff}{ // ghp_1\n \"a\": {/* ghp_2\nghp_3 */\"args\": [\"-y\", \"--key\", \"ghp_4\", \"T_KEY=ghp_5\"],\n \"url\": \"http://x//y\",\n \"env\": {\"PIN\": 1234, \"T\": \"${T:-ghp_6}\", \"U\": \"${U}\"}}}",
        &expect![[r#"
            { // ***
             "a": {/* *** */"args": ["-y", "--key", "***", "T_KEY=***"],
             "url": "http://x//y",
             "env": {"PIN": "***", "T": "***", "U": "${U}"}}}"#]],
    );
    check_text(
        Grammar::Json,
        r#"{"note": "cut \ud83d", "args": ["--key", "ghp_1\ud83d"], "env": {"T": "ghp_2\ude00"}}"#,
        &expect![[r#"{"note": "cut \ud83d", "args": ["--key", "***"], "env": {"T": "***"}}"#]],
    );
    check_text(
        Grammar::Toml,
        "a = \"x # y\" # ghp_1\n\n[m]\nargs = [\"--token\", 'ghp_2'] # ghp_3\nenv = { N = 12, T = '''ghp_4'''}\n[[l]]\nauth = \"ghp_5\"\n",
        &expect![[r#"
            a = "x # y" # ***

            [m]
            args = ["--token", "***"] # ***
            env = { N = "***", T = "***"}
            [[l]]
            auth = "***"
        "#]],
    );
    check_text(
        Grammar::Yaml,
        "# ghp_1\na: x#y # ghp_2\nargs:\n  - --token\n  - ghp_3\nenv:\n  PIN: 12\n  T: |\n    ghp_4\n    # ghp_5\nb: 1\n",
        &expect![[r##"
            # ***
            a: x#y # ***
            args:
              - --token
              - "***"
            env:
              PIN: "***"
              T: |
                "***"
            b: 1
        "##]],
    );
}
