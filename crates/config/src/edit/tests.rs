#![expect(
    clippy::needless_raw_string_hashes,
    reason = "`expect_test` writes them"
)]

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::load;

const FILE: &str = "config.toml";

const SHARED: &str = r#"# My servers.
# Kept in git.
[limits]
sessions = 100 # plenty

# GitHub needs a token.
[servers.github]
command = "npx"
args = [
  "-y", # do not ask
  # the package
  "server-github",
]

# its variables
[servers.github.env]
TOKEN = "${GITHUB_TOKEN}"

[servers.time]
command = "uvx"   # from PyPI
# args = ["old"]

# The rest is about the file.
"#;

fn entry() -> ServerEntry {
    ServerEntry {
        command: "npx".to_owned(),
        args: vec!["-y".to_owned(), "it's \"quoted\"".to_owned()],
        env: [
            ("TOKEN".to_owned(), "${TOKEN:-none}".to_owned()),
            ("a.b".to_owned(), String::new()),
        ]
        .into(),
        env_pass: vec!["AWS_*".parse().expect("pattern")],
        cwd: Some("${workspace}".to_owned()),
        scope: Some(Scope::Global),
        ..ServerEntry::default()
    }
}

fn bare() -> ServerEntry {
    ServerEntry {
        command: "true".to_owned(),
        ..ServerEntry::default()
    }
}

#[test]
fn a_server_that_runs_already_is_written_down_with_its_headers() {
    let entry = ServerEntry {
        url: Some("https://host/mcp".to_owned()),
        headers: BTreeMap::from([("Authorization".to_owned(), "Bearer ${TOKEN}".to_owned())]),
        ca_cert: Some("/ca.pem".to_owned()),
        scope: Some(Scope::Global),
        ..ServerEntry::default()
    };
    assert_eq!(
        add("", "a", &entry).expect("added"),
        "[servers.a]\nurl = \"https://host/mcp\"\nheaders = { Authorization = \"Bearer ${TOKEN}\" }\n\
         ca_cert = \"/ca.pem\"\nscope = \"global\"\n"
    );
}

fn add(text: &str, name: &str, entry: &ServerEntry) -> Result<String, EditError> {
    add_server(text, Path::new(FILE), &name.parse().expect(name), entry)
}

fn remove(text: &str, name: &str) -> Result<String, EditError> {
    remove_server(text, Path::new(FILE), name)
}

fn take_out(text: &str, name: &str) -> Result<String, EditError> {
    take_out_server(text, Path::new(FILE), name)
}

#[track_caller]
fn check(edited: Result<String, EditError>, expected: &Expect) {
    match edited {
        Ok(text) => expected.assert_eq(&text),
        Err(error) => expected.assert_eq(&format!("{error}\n")),
    }
}

#[test]
fn an_added_server_stands_at_the_end_and_changes_nothing_else() {
    let edited = add(SHARED, "new.one", &entry()).expect("added");
    let block = edited
        .strip_prefix(SHARED)
        .expect("the old text is untouched");
    expect![[r#"

        [servers."new.one"]
        command = "npx"
        args = ["-y", """it's "quoted""""]
        env = { TOKEN = "${TOKEN:-none}", "a.b" = "" }
        env_pass = ["AWS_*"]
        cwd = "${workspace}"
        scope = "global"
    "#]]
    .assert_eq(block);
}

#[test]
fn what_was_added_is_what_was_meant() {
    let edited = add("", "a", &entry()).expect("added");
    let config = load(&edited, Path::new(FILE)).expect("loads");
    let server = &config.servers["a"];
    assert_eq!(server.args[1].as_written(), "it's \"quoted\"");
    assert_eq!(server.env["TOKEN"].as_written(), "${TOKEN:-none}");
    assert_eq!(server.env["a.b"].as_written(), "");
    assert_eq!(server.env_pass[0].as_str(), "AWS_*");
    assert_eq!(server.scope, Scope::Global);
    assert_eq!(
        server.cwd.as_ref().expect("cwd").as_written(),
        "${workspace}"
    );
}

#[test]
fn what_is_taken_out_leaves_every_comment_where_it_was() {
    let text = r##"
# about w
[servers.w] # of the header
command = "npx" # of the command
# between
args = ["#no", "it's \"#no", '#no', """#no
#no""""", # in the list
  "x"]

[servers.w.env] # of the variables
A = '\' # of a
# below
[servers.other]
command = "y"
"##;
    check(
        take_out(text, "w"),
        &expect![[r##"

            # about w
            # of the header
            # of the command
            # between
            # in the list
            # of the variables
            # of a
            # below
            [servers.other]
            command = "y"
        "##]],
    );
    let alone = "[servers.w]\ncommand = \"x\"\n# last";
    assert_eq!(take_out(alone, "w").expect("taken out"), "# last");
    assert_eq!(
        take_out(&format!("a = 1\n\n{alone}"), "w").expect("taken out"),
        "a = 1\n# last"
    );
}

#[test]
fn debug_output_of_an_entry_hides_its_texts() {
    assert_eq!(
        format!("{:?}", entry()),
        "ServerEntry { headers: [], env: [\"TOKEN\", \"a.b\"], env_pass: [EnvPattern(\"AWS_*\")], \
         scope: Some(Global), .. }"
    );
}

#[test]
fn a_file_of_windows_keeps_its_line_ends() {
    let text = "[servers.a]\r\ncommand = \"x\"\r\n";
    let edited = add(text, "b", &bare()).expect("added");
    assert_eq!(
        edited,
        "[servers.a]\r\ncommand = \"x\"\r\n\r\n[servers.b]\r\ncommand = \"true\"\r\n"
    );
    assert_eq!(remove(&edited, "b").as_deref(), Ok(text));
}

#[test]
fn a_value_of_several_lines_is_the_same_in_a_file_of_windows() {
    let mut entry = bare();
    entry.args = vec!["one\ntwo\r\nthree".to_owned()];
    let edited = add("# heading\r\n", "a", &entry).expect("added");
    let config = load(&edited, Path::new(FILE)).expect("loads");
    assert_eq!(
        config.servers["a"].args[0].as_written(),
        "one\ntwo\r\nthree"
    );
}

#[test]
fn a_missing_newline_at_the_end_is_added_first() {
    let edited = add("# only a comment", "a", &bare()).expect("added");
    assert_eq!(
        edited,
        "# only a comment\n\n[servers.a]\ncommand = \"true\"\n"
    );
}

#[test]
fn an_existing_server_is_not_overwritten() {
    check(
        add(SHARED, "time", &bare()),
        &expect![[r#"
        a server named `time` is configured already; remove it first: `mcpool remove time`
    "#]],
    );
}

#[test]
fn text_with_an_error_is_refused() {
    check(
        add("[servers.a\n", "b", &bare()),
        &expect![[r#"
        config.toml:1:11: not valid TOML: unclosed table, expected `]`
    "#]],
    );
    check(
        add("[servers.a]\ncommnd = 1\n", "b", &bare()),
        &expect![[r#"
            config.toml:2:1: servers.a.commnd: unknown key (did you mean `command`?)
        "#]],
    );
    check(
        remove("x = \n", "b"),
        &expect![[r#"
        config.toml:1:5: not valid TOML: string values must be quoted, expected literal string
    "#]],
    );
}

#[test]
fn an_entry_that_is_no_template_is_refused() {
    let mut entry = bare();
    entry.args = vec!["ok".to_owned(), "${".to_owned()];
    check(
        add("", "a", &entry),
        &expect![[r#"
        servers.a.args[1]: `${` is never closed by `}`; write `$${` for a literal `${`
    "#]],
    );
}

#[test]
fn a_program_or_folder_that_is_empty_is_refused() {
    let mut entry = bare();
    entry.command = String::new();
    check(
        add("", "a", &entry),
        &expect![[r#"
        servers.a.command: must not be empty
    "#]],
    );
}

#[test]
fn servers_in_braces_are_left_to_a_person() {
    let text = "servers = { a = { command = \"x\" } }\n";
    check(
        add(text, "b", &bare()),
        &expect![[r#"
        `servers` is written in braces here, which only a person can edit; write `[servers.b]` tables instead
    "#]],
    );
    check(
        remove(text, "a"),
        &expect![[r#"
        `servers` is written in braces here, which only a person can edit; write `[servers.a]` tables instead
    "#]],
    );
}

#[test]
fn removing_a_server_takes_its_tables_and_the_comments_that_touch_them() {
    check(
        remove(SHARED, "github"),
        &expect![[r##"
        # My servers.
        # Kept in git.
        [limits]
        sessions = 100 # plenty

        [servers.time]
        command = "uvx"   # from PyPI
        # args = ["old"]

        # The rest is about the file.
    "##]],
    );
    check(
        remove(SHARED, "time"),
        &expect![[r##"
        # My servers.
        # Kept in git.
        [limits]
        sessions = 100 # plenty

        # GitHub needs a token.
        [servers.github]
        command = "npx"
        args = [
          "-y", # do not ask
          # the package
          "server-github",
        ]

        # its variables
        [servers.github.env]
        TOKEN = "${GITHUB_TOKEN}"

        # The rest is about the file.
    "##]],
    );
}

#[test]
fn a_server_that_does_not_exist_is_answered_with_those_that_do() {
    check(
        remove(SHARED, "gitub"),
        &expect![[r#"
        no server named `gitub` is configured; configured are github, time
    "#]],
    );
    check(
        remove("", "gitub"),
        &expect![[r#"
        no server named `gitub` is configured
    "#]],
    );
}

#[test]
fn a_server_that_cannot_be_loaded_can_be_removed() {
    let text = "[servers.bad]\ncommnd = 1\n\n[servers.good]\ncommand = \"x\"\n";
    assert_eq!(
        remove(text, "bad").as_deref(),
        Ok("[servers.good]\ncommand = \"x\"\n")
    );
}

#[test]
fn a_server_with_an_address_of_its_own_is_added_before_it_loads_and_not_removed_under_it() {
    let text =
        "[http]\nlisten = [{ address = \"127.0.0.1:9999\", server = \"mnemonic\" }]\n".to_owned();
    assert!(load(&text, Path::new(FILE)).is_err());
    let whole = add(&text, "mnemonic", &bare()).unwrap();
    load(&whole, Path::new(FILE)).unwrap();
    assert_eq!(
        remove(&whole, "mnemonic").unwrap_err().to_string(),
        "`http.listen[0].server` names `mnemonic`; take that out of the file first"
    );
    let two = add(&whole, "other", &bare()).unwrap();
    remove(&two, "other").unwrap();
}

#[test]
fn a_comment_that_opens_the_file_stays() {
    let text = "# My servers.\n[servers.a]\ncommand = \"x\"\n";
    assert_eq!(remove(text, "a").as_deref(), Ok("# My servers.\n"));
}

#[test]
fn a_comment_that_touches_the_next_server_stays_with_it() {
    let text = "[servers.a]\ncommand = \"x\"\n# about b\n[servers.b]\ncommand = \"y\"\n";
    assert_eq!(
        remove(text, "a").as_deref(),
        Ok("# about b\n[servers.b]\ncommand = \"y\"\n")
    );
    assert_eq!(
        remove(text, "b").as_deref(),
        Ok("[servers.a]\ncommand = \"x\"\n")
    );
}

#[test]
fn servers_in_one_table_are_removed_line_by_line() {
    let text = "[servers]\na = { command = \"x\" }\nb.command = \"y\"\nb.args = [\n  \"1\",\n]\nc.command = \"z\"\n";
    assert_eq!(
        remove(text, "a").as_deref(),
        Ok("[servers]\nb.command = \"y\"\nb.args = [\n  \"1\",\n]\nc.command = \"z\"\n")
    );
    assert_eq!(
        remove(text, "b").as_deref(),
        Ok("[servers]\na = { command = \"x\" }\nc.command = \"z\"\n")
    );
}

#[test]
fn tables_of_one_server_that_stand_apart_are_all_removed() {
    let text = "[servers.a]\ncommand = \"x\"\n\n[servers.b]\ncommand = \"y\"\n\n[servers.a.env]\nK = \"v\"\n";
    assert_eq!(
        remove(text, "a").as_deref(),
        Ok("[servers.b]\ncommand = \"y\"\n")
    );
}

#[test]
fn a_line_that_looks_like_a_comment_in_a_string_of_another_server_is_not_cut_off() {
    let text = "[servers.b]\ncommand = \"\"\"\n# y\"\"\"\n[servers.a]\ncommand = \"x\"\n";
    check(
        remove(text, "a"),
        &expect![[r#"
        the file cannot be changed automatically; edit `[servers.a]` by hand
    "#]],
    );
}

#[test]
fn tables_deep_in_each_other_cost_no_more_time_than_others() {
    let path = ["a"; 60].join(".");
    let text = format!("[servers.a]\ncommand = \"x\"\n\n[b.{path}]\nc = \"d\"\n");
    assert_eq!(remove(&text, "a"), Ok(format!("[b.{path}]\nc = \"d\"\n")));
}

/// Files as people write them, from blocks in any order.
fn files() -> impl Strategy<Value = String> {
    let blocks = prop::sample::subsequence(
        vec![
            "# a heading\n",
            "\n",
            "\n\n# loose\n\n",
            "[limits]\nsessions = 5 # five\n",
            "\n[servers.one]\ncommand = \"1\"\nargs = [\n  \"a\", # b\n\n  \"c\",\n]\n",
            "# about two\n[servers.two]\ncommand = '2'\n# env = 3\n",
            "[servers.\"th.ree\"]\n  command = \"\"\"3\n# not a comment\n\n\"\"\"\n\n",
            "[servers.four]\ncommand = \"4\"\n[servers.four.env]\nA = \"${B}\"\n",
        ],
        0..=8,
    );
    (blocks.prop_shuffle(), any::<bool>()).prop_map(|(blocks, is_windows)| {
        let text = blocks.concat();
        if is_windows {
            text.replace('\n', "\r\n")
        } else {
            text
        }
    })
}

proptest! {
    #[test]
    fn adding_a_server_and_removing_it_gives_the_same_text(
        text in files(),
        args in prop::collection::vec("[^$\0]{0,12}", 0..4),
        name in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,12}",
        value in "\\PC{0,12}",
    ) {
        let mut entry = entry();
        entry.args = args;
        entry.env.insert("K".to_owned(), value.replace('$', "$ "));
        let edited = match add(&text, &name, &entry) {
            Ok(edited) => edited,
            Err(EditError::Exists { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(take_out(&edited, &name), Ok(text.clone()));
        prop_assert_eq!(remove(&edited, &name), Ok(text));
    }

    #[test]
    fn removing_a_server_leaves_all_others_as_they_were(text in files()) {
        let config = load(&text, Path::new(FILE)).expect("loads");
        for name in config.servers.keys() {
            let edited = remove(&text, name.as_str()).expect("removed");
            let mut expected = config.clone();
            expected.servers.remove(name);
            prop_assert_eq!(load(&edited, Path::new(FILE)), Ok(expected));
        }
    }
}
