use super::{super::clean::LINE_BYTES, *};

const SECRET: &str = "sk-live/Ax9+Qz=7~! \"&";

fn veil(environment: &[(&str, &str)]) -> Veil {
    let mut secrets = Secrets::default();
    for (name, value) in environment {
        secrets.add_variable(name.as_bytes(), value.as_bytes());
    }
    secrets.into()
}

fn over(veil: &Veil, line: &str) -> String {
    veil.over(cleaned(line.as_bytes(), Extent::Whole))
}

fn without_secret(line: &str) -> String {
    over(&veil(&[("API_KEY", SECRET), ("MODE", "production")]), line)
}

#[test]
fn a_secret_is_taken_out_wherever_it_stands_and_nothing_else_is() {
    assert_eq!(
        without_secret(&format!("production: {SECRET} and '{SECRET}'")),
        "production: *** and '***'"
    );
    let none = "nothing of the kind: sk-live";
    assert_eq!(without_secret(none), none);
}

#[test]
fn a_secret_in_an_address_is_taken_out_whoever_has_encoded_it() {
    for encoded in [
        "sk-live%2FAx9%2BQz%3D7~%21%20%22%26",
        "sk-live%2fAx9%2bQz%3d7~%21%20%22%26",
        "sk-live%2FAx9%2BQz%3D7~!%20%22%26",
        "sk-live/Ax9%2BQz%3D7~%21%20%22%26",
        "sk-live%2FAx9%2BQz%3D7%7E%21+%22%26",
    ] {
        let line = format!("GET /?key={encoded}&v=1");
        assert_eq!(without_secret(&line), "GET /?key=***&v=1", "{encoded}");
    }
}

#[test]
fn a_secret_in_a_string_of_json_is_taken_out() {
    for quoted in [
        r#"sk-live/Ax9+Qz=7~! \"&"#,
        r#"sk-live/Ax9+Qz=7~! \"\u0026"#,
    ] {
        let line = format!(r#"{{"key":"{quoted}"}}"#);
        assert_eq!(without_secret(&line), r#"{"key":"***"}"#);
    }
}

#[test]
fn a_secret_in_base64_is_taken_out_whatever_stands_around_it() {
    for before in ["", "u", "us", "user:", "user:x"] {
        for after in ["", ":", "::x"] {
            let text = format!("{before}{SECRET}{after}");
            for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&text);
                let left = without_secret(&format!("Basic {encoded}"));
                // Of the characters at both ends others have a share in.
                let around = (before.len() + after.len()) * 4 / 3 + 4;
                let most = "Basic ***".len() + around;
                assert!(left.contains(VEIL) && left.len() <= most, "{left}");
            }
        }
    }
}

#[test]
fn the_passwords_in_addresses_are_secrets_and_their_users_are_none() {
    let veil = veil(&[
        (
            "BROKERS",
            "amqp://app:hunter22@a,amqp://app:p%40ssw0rd@b/x?user=a@b",
        ),
        ("REPOSITORY", "https://ghp_0123456789abcdef@github.com/x"),
    ]);
    for (line, shown) in [
        ("no way to app:hunter22@a", "no way to app:***@a"),
        ("no way to app:p%40ssw0rd@b", "no way to app:***@b"),
        ("`p@ssw0rd` was refused", "`***` was refused"),
        ("ghp_0123456789abcdef", "***"),
    ] {
        assert_eq!(over(&veil, line), shown);
    }
    for none in ["host/path:x@y", "user@host", "plain", "a:b c@d", ""] {
        assert_eq!(password_at(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn an_address_among_the_arguments_counts() {
    let spec = LaunchSpec {
        program: "/bin/server".into(),
        arguments: vec!["server".into(), "postgres://app:hunter22@db".into()],
        environment: [("A_TOKEN".into(), "abcdefgh".into())].into(),
        directory: "/".into(),
        umask: 0o22,
        secrets: BTreeSet::new(),
    };
    assert_eq!(
        over(&Veil::of(&spec), "hunter22 abcdefgh app"),
        "*** *** app"
    );
}

#[test]
fn each_line_of_a_key_and_the_token_of_a_header_are_secrets() {
    let veil = veil(&[
        (
            "SSH_PRIVATE_KEY",
            "-----BEGIN-----\nc2VjcmV0IG9uZQ\n-----END-----",
        ),
        ("AUTH_HEADER", "bearer 0123456789"),
    ]);
    assert_eq!(over(&veil, "read c2VjcmV0IG9uZQ"), "read ***");
    assert_eq!(over(&veil, "token 0123456789"), "token ***");
}

#[test]
fn where_a_credential_is_kept_is_no_secret() {
    let path = "/home/alice/key.json";
    let veil = veil(&[
        ("GOOGLE_APPLICATION_CREDENTIALS", path),
        ("PGPASSFILE", path),
    ]);
    assert_eq!(over(&veil, path), path);
}

#[test]
fn the_longer_of_two_secrets_leaves_nothing_of_itself() {
    let veil = veil(&[("A_TOKEN", "abcdefgh"), ("B_TOKEN", "abcdefgh-and-more")]);
    assert_eq!(over(&veil, "abcdefgh-and-more abcdefgh"), "*** ***");
}

#[test]
fn what_is_short_is_no_secret() {
    let veil = veil(&[("API_KEY", "none"), ("TOKEN", "")]);
    assert_eq!(over(&veil, "none of them"), "none of them");
    assert_eq!(format!("{veil:?}"), "Veil(0 forms)");
}

#[test]
fn a_line_that_was_cut_in_a_secret_does_not_end_with_its_beginning() {
    let veil = veil(&[("API_KEY", SECRET)]);
    let cut = |line: &str| veil.over(cleaned(line.as_bytes(), Extent::Beginning));
    let line = format!("token {}", &SECRET[..9]);
    assert_eq!(cut(&line), "token ***");
    assert_eq!(over(&veil, &line), line, "it may be a word like any other");
    assert_eq!(cut("he asks"), "he asks");
    let long = format!("{}{SECRET}", "x".repeat(LINE_BYTES - 9));
    let shown = over(&veil, &long);
    assert!(shown.ends_with("x***"), "{}", &shown[shown.len() - 20..]);
}

#[test]
fn what_is_hidden_goes_to_the_next_program() {
    let veil = veil(&[("API_KEY", SECRET)]);
    let frozen = serde_json::to_string(&veil).unwrap();
    let thawed: Veil = serde_json::from_str(&frozen).unwrap();
    assert_eq!(over(&thawed, SECRET), VEIL);
    assert_eq!(format!("{thawed:?}"), format!("{veil:?}"));
}

#[test]
fn a_process_that_runs_tells_of_its_secrets() {
    // Whatever this process was started with: it is no credential of ours, and hides no plain word.
    let veil = Veil::of_process(std::process::id());
    assert_eq!(over(&veil, "plain"), "plain");
    assert_eq!(format!("{:?}", Veil::of_process(u32::MAX)), "Veil(0 forms)");
}

#[test]
fn what_came_out_of_a_file_counts_whatever_it_is_called_and_wherever_it_stands() {
    let spec = LaunchSpec {
        program: "/bin/server".into(),
        arguments: vec!["server".into(), "--word=open sesame".into()],
        environment: [("WORD".into(), "<open sesame>".into())].into(),
        directory: "/".into(),
        umask: 0o22,
        secrets: [config::Secret::new("open sesame".into())].into(),
    };
    assert_eq!(
        over(&Veil::of(&spec), "said `open sesame`, or open%20sesame"),
        "said `***`, or ***"
    );
}

#[test]
fn a_secret_that_is_torn_where_words_were_cut_short_is_hidden_wherever_that_is() {
    let veil = veil(&[("API_KEY", SECRET)]);
    let (torn, rest) = SECRET.split_at(SECRET.len() - 2);
    let said = format!("it said {torn}…; asked otherwise, it said {SECRET} and {torn}…");
    let shown = "it said ***…; asked otherwise, it said *** and ***…";
    assert_eq!(veil.over_words(&said), shown);
    assert_eq!(veil.over_words(rest), rest);
}
