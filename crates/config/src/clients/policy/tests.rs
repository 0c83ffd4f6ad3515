use super::*;

const THROUGH: &str = "mcpool connect --name x -- npx x";
const URL: &str = "http://127.0.0.1:7665/mcp/x";

fn policy(files: &[(Rules, &str)]) -> Policy {
    let mut policy = Policy::default();
    for (rules, text) in files {
        policy.add(*rules, text).unwrap();
    }
    policy
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Of an entry that becomes another command line.
fn refusal(policy: &Policy, name: &str, line: &str) -> Option<PolicyReason> {
    policy.refusal(name, &words(line), Way::Command(&words(THROUGH)))
}

const DENIED: Option<PolicyReason> = Some(PolicyReason::Denied);
const AS_IT_IS: Option<PolicyReason> = Some(PolicyReason::AllowedAsItIs);
const NOT_UNDERSTOOD: Option<PolicyReason> = Some(PolicyReason::NotUnderstood);

#[test]
fn what_is_denied_by_name_or_by_command_line_stays_as_it_is() {
    let settings = r#"{"deniedMcpServers": [
        {"serverName": "evil"}, {"serverCommand": ["npx", "-y", "x"]}, {"serverUrl": "https://*"}
    ]}"#;
    for rules in [Rules::Lists, Rules::OwnLists] {
        let policy = policy(&[(rules, settings)]);
        assert_eq!(refusal(&policy, "evil", "anything"), DENIED);
        assert_eq!(refusal(&policy, "good", "npx -y x"), DENIED);
        assert_eq!(refusal(&policy, "good", "npx -y x --more"), None);
        // Nobody knows what it is once the client has filled it in.
        assert_eq!(refusal(&policy, "good", "${NPX} -y x"), DENIED);
        assert_eq!(refusal(&policy, "good", "${NPX} -y y"), None);
    }
}

#[test]
fn a_denial_that_is_not_understood_may_be_about_anything() {
    for rule in [
        r#"{"serverPattern": "npx *"}"#,
        r#"{"serverCommand": "npx b"}"#,
        r#"{"serverCommand": []}"#,
        r#"{"serverCommand": ["npx", 3]}"#,
        r#"{"serverCommand": ["npx", "\ud83d"]}"#,
        r#"{"serverName": "b", "serverCommand": "npx b"}"#,
        r#"{"serverName": 3}"#,
        r#"{"serverUrl": ["https://b"]}"#,
        r#""npx b""#,
        "null",
        "{}",
    ] {
        for (rules, list) in [
            (Rules::Lists, "deniedMcpServers"),
            (Rules::Lists, "allowedMcpServers"),
            (Rules::OwnLists, "deniedMcpServers"),
            (Rules::OwnLists, "allowedMcpServers"),
            (Rules::VsCode, "ChatDeniedMcpServers"),
            (Rules::VsCode, "ChatAllowedMcpServers"),
        ] {
            let text = format!(r#"{{"{list}": [{{"serverName": "y"}}, {rule}]}}"#);
            let odd = policy(&[(rules, &text)]);
            for name in ["x", "y"] {
                assert_eq!(refusal(&odd, name, "npx x"), NOT_UNDERSTOOD, "{text}");
            }
            let is_denying = list.to_lowercase().contains("denied");
            assert_eq!(odd.denies("x", &words("npx x")), is_denying, "{text}");
        }
    }
}

#[test]
fn a_setting_that_is_not_understood_leaves_all_as_it_is() {
    for (rules, text) in [
        (Rules::Lists, r#"{"allowManagedMcpServersOnly": "true"}"#),
        (Rules::Lists, r#"{"managedMcpServers": ["x"]}"#),
        (Rules::Gemini, r#"{"admin": {"mcp": {"enabled": "false"}}}"#),
        (Rules::Gemini, r#"{"mcp": {"excluded": ["y", 3]}}"#),
        (Rules::VsCode, r#"{"ChatMCP": "some"}"#),
        (Rules::VsCode, r#"{"ChatMCP": {}}"#),
    ] {
        let odd = policy(&[(rules, text), (Rules::Elsewhere, "")]);
        assert_eq!(refusal(&odd, "x", "npx x"), NOT_UNDERSTOOD, "{text}");
    }
    for (rules, text) in [
        (Rules::Lists, r#"{"managedMcpServers": null}"#),
        (Rules::Gemini, r#"{"admin": {"mcp": {"enabled": true}}}"#),
        (Rules::VsCode, r#"{"ChatMCP": true}"#),
    ] {
        assert_eq!(
            refusal(&policy(&[(rules, text)]), "x", "npx x"),
            None,
            "{text}"
        );
    }
}

#[test]
fn what_should_be_a_list_and_is_none_is_not_understood() {
    for (rules, text) in [
        (Rules::Lists, r#"{"allowedMcpServers": {}}"#),
        (Rules::Lists, r#"{"deniedMcpServers": {"serverName": "x"}}"#),
        (Rules::OwnLists, r#"{"allowedMcpServers": "x"}"#),
        (Rules::OwnLists, r#"{"deniedMcpServers": "y"}"#),
        (Rules::Gemini, r#"{"mcp": {"allowed": "x"}}"#),
        (Rules::Gemini, r#"{"mcp": {"excluded": "y"}}"#),
        (Rules::Gemini, r#"{"mcp": {"excluded": [{"name": "y"}]}}"#),
        (Rules::VsCode, r#"{"ChatAllowedMcpServers": {}}"#),
        (Rules::VsCode, r#"{"ChatDeniedMcpServers": {}}"#),
        (Rules::OwnAmp, r#"{"amp.mcpPermissions": {}}"#),
    ] {
        let odd = policy(&[(rules, text)]);
        assert_eq!(refusal(&odd, "x", "npx x"), NOT_UNDERSTOOD, "{text}");
        assert!(!odd.lets("x", Way::Command(&words("npx x"))), "{text}");
    }
    let strict = policy(&[(Rules::Lists, r#"{"strictPluginOnlyCustomization": "mcp"}"#)]);
    let refused = refusal(&strict, "x", "npx x");
    assert_eq!(refused, Some(PolicyReason::Exclusive));
}

#[test]
fn what_is_allowed_by_its_command_line_stays_as_it_is() {
    let policy = policy(&[(
        Rules::Lists,
        r#"{"allowedMcpServers": [{"serverCommand": ["npx", "x"]}, {"serverName": "y"}]}"#,
    )]);
    assert_eq!(refusal(&policy, "x", "npx x"), AS_IT_IS);
    assert_eq!(refusal(&policy, "other", "npx other"), DENIED);
    // Beside command lines, a name says nothing about what is started.
    assert_eq!(refusal(&policy, "y", "npx x"), AS_IT_IS);
    assert_eq!(refusal(&policy, "y", "npx y"), DENIED);
    // It says something about addresses.
    let over_http = |name| policy.refusal(name, &words("npx x"), Way::Url(URL));
    assert_eq!(over_http("y"), None);
    assert_eq!(over_http("x"), AS_IT_IS);
}

#[test]
fn a_name_or_our_own_command_line_goes_on_to_be_allowed() {
    let names = policy(&[(
        Rules::Lists,
        r#"{"allowedMcpServers": [{"serverName": "y"}]}"#,
    )]);
    assert_eq!(refusal(&names, "y", "npx y"), None);
    assert_eq!(refusal(&names, "x", "npx x"), DENIED);
    let ours = policy(&[(
        Rules::Lists,
        r#"{"allowedMcpServers": [{"serverCommand": ["npx", "x"]},
            {"serverCommand": ["mcpool", "connect", "--name", "x", "--", "npx", "x"]}]}"#,
    )]);
    assert_eq!(refusal(&ours, "x", "npx x"), None);
    let none = policy(&[(Rules::Lists, r#"{"allowedMcpServers": []}"#)]);
    assert_eq!(refusal(&none, "x", "npx x"), DENIED);
}

#[test]
fn a_list_of_the_user_makes_that_of_the_administrator_longer_unless_that_is_all() {
    let own = (
        Rules::OwnLists,
        r#"{"allowedMcpServers": [{"serverName": "x"}]}"#,
    );
    let managed = r#"{"allowedMcpServers": [{"serverName": "y"}]}"#;
    let both = policy(&[(Rules::Lists, managed), own]);
    assert_eq!(refusal(&both, "x", "npx x"), None);
    let only = managed.replace('}', r#"}], "allowManagedMcpServersOnly": true}"#);
    let only = policy(&[(Rules::Lists, &only[..only.rfind("]}").unwrap()]), own]);
    assert_eq!(refusal(&only, "x", "npx x"), DENIED);
}

#[test]
fn servers_of_the_administrator_are_all_there_are() {
    let strict = r#"{"strictPluginOnlyCustomization": ["skills", "mcp"]}"#;
    for (rules, text) in [(Rules::Exclusive, "{}"), (Rules::Lists, strict)] {
        let policy = policy(&[(rules, text)]);
        assert_eq!(refusal(&policy, "x", "npx"), Some(PolicyReason::Exclusive));
    }
    assert!(Policy::default().add(Rules::Lists, "{").is_err());
}

#[test]
fn codex_runs_what_is_required_by_name_and_program() {
    let required = policy(&[(
        Rules::Requirements,
        "[mcp_servers.x.identity]\ncommand = \"npx\"\n[mcp_servers.z.identity]\nurl = \"https://z\"\n\
         [mcp_servers.m.identity.command]\nexecutable = \"npx\"\nargs = []\n\
         [mcp_servers.p.identity]\ncommand = \"mcpool\"\n",
    )]);
    assert_eq!(refusal(&required, "x", "npx x"), AS_IT_IS);
    assert_eq!(refusal(&required, "y", "npx x"), DENIED);
    assert_eq!(refusal(&required, "z", "npx x"), DENIED);
    // How its words are described is not understood: it may be allowed, and is left as it is.
    assert_eq!(refusal(&required, "m", "npx x"), DENIED);
    assert_eq!(refusal(&required, "p", "mcpool x"), None);
    let none = policy(&[(Rules::Requirements, "approval = 1\n")]);
    assert_eq!(refusal(&none, "x", "npx x"), None);
}

#[test]
fn a_server_of_the_administrator_s_takes_the_place_of_one_of_the_same_name() {
    let taken = Some(PolicyReason::Taken);
    for (rules, text) in [
        (Rules::Toml, "[mcp_servers.x]\ncommand = \"y\"\n"),
        (
            Rules::Lists,
            r#"{"managedMcpServers": {"x": {"type": "http", "url": "https://x"}}}"#,
        ),
        (Rules::Gemini, r#"{"mcpServers": {"x": {}}}"#),
        (Rules::OpenCode, r#"{"mcp": {"x": {"enabled": false}}}"#),
        (Rules::Amp, r#"{"amp.mcpServers": {"x": {}}}"#),
    ] {
        let policy = policy(&[(rules, text)]);
        assert_eq!(refusal(&policy, "x", "npx x"), taken, "{text}");
        assert_eq!(refusal(&policy, "y", "npx x"), None, "{text}");
    }
}

#[test]
fn what_is_switched_off_by_name_is_disabled_however_the_name_is_written() {
    let off = policy(&[(
        Rules::Switches,
        "{\n  \"github\": {\n    \"enabled\": false\n  },\n  \"my server\": {\n    \"enabled\": false\n  },\n  \
         \"memory\": {\n    \"enabled\": true\n  },\n  \"time\": {}\n}",
    )]);
    for (name, is_off) in [
        ("github", true),
        ("GitHub", true),
        (" My Server ", true),
        ("memory", false),
        ("time", false),
        ("git", false),
    ] {
        let expected = is_off.then_some(PolicyReason::SwitchedOff);
        assert_eq!(refusal(&off, name, "npx x"), expected, "{name}");
        // What goes through mcpool already stays so.
        assert!(!off.denies(name, &words("npx x")), "{name}");
    }
    let broken = Policy::default().add(Rules::Switches, "{\"github\": ");
    assert!(broken.is_err());
}

#[test]
fn gemini_cli_and_vs_code_deny_by_name_or_all() {
    let gemini = policy(&[(
        Rules::Gemini,
        r#"{"mcp": {"allowed": ["x", "y"], "excluded": ["y"]}}"#,
    )]);
    assert_eq!(refusal(&gemini, "x", "npx x"), None);
    assert_eq!(refusal(&gemini, "y", "npx x"), DENIED);
    assert_eq!(refusal(&gemini, "z", "npx x"), DENIED);
    for (rules, text, expected) in [
        (
            Rules::Gemini,
            r#"{"admin": {"mcp": {"enabled": false}}}"#,
            DENIED,
        ),
        (Rules::VsCode, r#"{"ChatMCP": "none"}"#, DENIED),
        (Rules::VsCode, r#"{"ChatMCP": false}"#, DENIED),
        (Rules::VsCode, r#"{"ChatMCP": "registry"}"#, AS_IT_IS),
        (Rules::VsCode, r#"{"ChatMCP": "all"}"#, None),
        (
            Rules::VsCode,
            r#"{"ChatAllowedMcpServers": [{"serverCommand": ["npx", "x"]}]}"#,
            AS_IT_IS,
        ),
        (
            Rules::VsCode,
            r#"{"ChatDeniedMcpServers": [{"serverName": "x"}]}"#,
            DENIED,
        ),
        (Rules::Elsewhere, "", AS_IT_IS),
    ] {
        assert_eq!(
            refusal(&policy(&[(rules, text)]), "x", "npx x"),
            expected,
            "{text}"
        );
    }
}

#[test]
fn of_amp_s_permissions_the_first_that_fits_counts() {
    let rules = |rules: &str| {
        policy(&[(
            Rules::Amp,
            &format!(r#"{{"amp.mcpPermissions": [{rules}]}}"#),
        )])
    };
    let allow_npx = r#"{"matches": {"command": "npx"}, "action": "allow"}"#;
    let reject_npx = r#"{"matches": {"command": "npx", "args": "*evil*"}, "action": "reject"}"#;
    let reject_all = r#"{"matches": {"command": "*"}, "action": "reject"}"#;
    let allow_ours = r#"{"matches": {"command": "*mcpool"}, "action": "allow"}"#;
    assert_eq!(refusal(&rules(allow_npx), "x", "npx x"), None);
    assert_eq!(refusal(&rules(reject_all), "x", "npx x"), DENIED);
    assert_eq!(
        refusal(&rules(&format!("{allow_npx}, {reject_all}")), "x", "npx x"),
        AS_IT_IS
    );
    let both = format!("{allow_ours}, {allow_npx}, {reject_all}");
    assert_eq!(refusal(&rules(&both), "x", "npx x"), None);
    // What its arguments must be is not understood: it may be meant.
    assert_eq!(refusal(&rules(reject_npx), "x", "npx good"), DENIED);
    assert_eq!(refusal(&rules(reject_npx), "x", "uvx good"), None);
    let by_url = r#"{"matches": {"url": "*"}, "action": "reject"}"#;
    assert_eq!(refusal(&rules(by_url), "x", "npx x"), None);
    assert_eq!(
        rules(by_url).refusal("x", &words("npx x"), Way::Url(URL)),
        AS_IT_IS
    );
}

#[test]
fn what_is_not_read_and_is_about_servers_leaves_all_as_it_is() {
    let rules = Rules::Unread(&["McpServers", "ChatMCP"]);
    for (text, expected) in [
        (
            "bplist00\u{fffd}deniedMcpServers\u{fffd}",
            Some(PolicyReason::Unread),
        ),
        ("bplist00 ChatMCP", Some(PolicyReason::Unread)),
        ("bplist00 UpdateMode", None),
    ] {
        assert_eq!(
            refusal(&policy(&[(rules, text)]), "x", "npx x"),
            expected,
            "{text}"
        );
    }
    // What is denied besides is denied.
    let both = policy(&[
        (rules, "ChatMCP"),
        (Rules::VsCode, r#"{"ChatMCP": "none"}"#),
    ]);
    assert_eq!(refusal(&both, "x", "npx x"), DENIED);
}

#[test]
fn what_a_rule_denies_is_told_from_what_no_list_allows() {
    let words = words("npx x");
    for (rules, text, expected) in [
        (
            Rules::Lists,
            r#"{"deniedMcpServers": [{"serverCommand": ["npx", "x"]}]}"#,
            true,
        ),
        (
            Rules::Lists,
            r#"{"allowedMcpServers": [{"serverCommand": ["mcpool"]}]}"#,
            false,
        ),
        (
            Rules::Amp,
            r#"{"amp.mcpPermissions": [{"matches": {"command": "npx"}, "action": "reject"}]}"#,
            true,
        ),
    ] {
        assert_eq!(
            policy(&[(rules, text)]).denies("x", &words),
            expected,
            "{text}"
        );
    }
}
