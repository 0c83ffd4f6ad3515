use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::*;

fn environment(name: &str) -> Option<OsString> {
    match name {
        "HOME" => Some("/home/alice".into()),
        "EMPTY" => Some(OsString::new()),
        "BYTES" => Some(OsString::from_vec(b"\xff\xfe".to_vec())),
        _ => None,
    }
}

const BOUND: Builtins<'_> = Builtins {
    workspace: None,
    session: "s7",
    server: "echo",
};

fn resolve(text: &str) -> Result<OsString, TemplateError> {
    let builtins = Builtins {
        workspace: Some(Path::new("/src/app")),
        ..BOUND
    };
    Template::parse(text, None)
        .expect(text)
        .resolve(&environment, &builtins)
}

#[test]
fn holes_are_filled_and_all_else_stands_for_itself() {
    let cases = [
        ("", ""),
        ("plain", "plain"),
        ("${HOME}/x", "/home/alice/x"),
        ("${HOME}${HOME}", "/home/alice/home/alice"),
        ("${UNSET:-fallback}", "fallback"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${EMPTY:-fallback}", "fallback"),
        ("<${EMPTY}>", "<>"),
        ("${HOME:-fallback}", "/home/alice"),
        ("${workspace}", "/src/app"),
        ("${session}@${server}", "s7@echo"),
        ("$HOME", "$HOME"),
        ("costs 5$", "costs 5$"),
        ("$", "$"),
        ("$$", "$$"),
        ("$${HOME}", "${HOME}"),
        ("$$${HOME}", "$${HOME}"),
        ("}{", "}{"),
        ("é${HOME}é", "é/home/aliceé"),
    ];
    for (text, expected) in cases {
        assert_eq!(resolve(text), Ok(expected.into()), "{text}");
    }
}

#[test]
fn values_that_are_not_utf8_pass_through() {
    let resolved = resolve("a${BYTES}b").expect("set");
    assert_eq!(resolved.into_vec(), b"a\xff\xfeb");
}

#[test]
fn a_malformed_hole_is_refused_with_its_position() {
    let cases = [
        (
            "ab${HOME",
            2,
            "`${` is never closed by `}`; write `$${` for a literal `${`",
        ),
        ("${}", 2, "`${}` names no variable"),
        ("${:-x}", 2, "`${}` names no variable"),
        (
            "${A-b}",
            2,
            "\"A-b\" is not the name of a variable; `${NAME}` and `${NAME:-default}` are the forms that exist",
        ),
        (
            "é${1A}",
            4,
            "\"1A\" is not the name of a variable; `${NAME}` and `${NAME:-default}` are the forms that exist",
        ),
        ("${A:-${B}}", 5, "a default cannot contain `${`"),
        ("a\0b", 1, "a NUL character cannot be passed to a program"),
    ];
    for (text, offset, message) in cases {
        let error = Template::parse(text, None).expect_err(text);
        assert_eq!(
            (error.offset, error.to_string().as_str()),
            (offset, message),
            "{text}"
        );
    }
}

#[test]
fn an_unset_variable_is_reported_with_file_line_and_key() {
    let origin = Origin {
        file: Path::new("config.toml").into(),
        line: 7,
        key: "servers.github.env.TOKEN".to_owned(),
    };
    let template = Template::parse("${GITHUB_TOKEN}", Some(origin)).expect("template");
    assert_eq!(
        template
            .resolve(&environment, &BOUND)
            .expect_err("unset")
            .to_string(),
        "config.toml:7: servers.github.env.TOKEN: the environment variable `GITHUB_TOKEN` is not set; \
         set it where the client starts, or give it a default: `${GITHUB_TOKEN:-...}`"
    );
}

#[test]
fn a_workspace_that_is_not_there_is_an_error_that_says_how_to_bind() {
    let template = Template::parse("${workspace}", None).expect("template");
    assert_eq!(
        template
            .resolve(&environment, &BOUND)
            .expect_err("unbound")
            .to_string(),
        "`${workspace}` has no value, because this session is bound to no workspace; start the client \
         inside a project folder, set CLAUDE_PROJECT_DIR, or connect with `--workspace DIR` \
         (over HTTP: `?workspace=DIR` behind the URL)"
    );
    let template = Template::parse("${workspace:-/tmp}", None).expect("template");
    assert_eq!(template.resolve(&environment, &BOUND), Ok("/tmp".into()));
}

#[test]
fn a_template_lists_the_variables_and_the_builtins_that_it_names() {
    let template = Template::parse("${A}$${B}${server}${C:-x}${A}", None).expect("template");
    assert_eq!(template.variables().collect::<Vec<_>>(), ["A", "C", "A"]);
    assert_eq!(template.builtins().collect::<Vec<_>>(), [Builtin::Server]);
}

#[test]
fn a_literal_has_no_holes() {
    let template = Template::literal("${HOME}".into());
    assert_eq!(template.resolve(&environment, &BOUND), Ok("${HOME}".into()));
}

#[test]
fn debug_output_hides_the_text_and_names_the_holes() {
    let template = Template::parse("hunter2${HOME:-secret}", None).expect("template");
    assert_eq!(format!("{template:?}"), "Template(***${HOME})");
}

proptest! {
    #[test]
    fn text_without_dollars_resolves_to_itself(text in "[^$\0]*") {
        prop_assert_eq!(resolve(&text), Ok(text.into()));
    }

    #[test]
    fn parsing_never_panics(text in "(\\$|\\{|\\}|:-|[a-zA-Z0-9_é]|\\PC){0,40}") {
        if let Err(error) = Template::parse(&text, None) {
            prop_assert!(text.is_char_boundary(error.offset));
        }
    }

    #[test]
    fn a_template_from_a_file_is_shown_so_that_it_reads_back_as_the_same(
        text in "(\\$|\\{|\\}|:-|[A-C]){0,20}",
    ) {
        let origin = Origin { file: Path::new("f").into(), line: 1, key: "k".to_owned() };
        if let Ok(template) = Template::parse(&text, Some(origin)) {
            prop_assert_eq!(Template::parse(&template.as_written(), None), Ok(template));
        }
    }
}

#[test]
fn whoever_brings_no_environment_is_told_where_else_variables_stand() {
    let template = Template::parse("${NOT_SET}", None).expect("parses");
    let sources = Sources {
        variable: &environment,
        whence: Whence::File,
        file: &|_| unreachable!("it names none"),
    };
    let told = template
        .resolve_from(&sources, &BOUND)
        .expect_err("it is unset");
    assert!(told.to_string().contains("`env_file`"), "{told}");
}

#[test]
fn a_hole_of_a_file_is_filled_with_what_is_in_it() {
    let template = Template::parse("<${file:/run/a b}${file:~/c:-d}>", None).expect("parses");
    let file = |path: &str| match path {
        "/run/a b" => Ok("secret".into()),
        other => Err(format!("{other} is missing")),
    };
    let sources = Sources {
        variable: &environment,
        whence: Whence::File,
        file: &file,
    };
    let told = template
        .resolve_from(&sources, &BOUND)
        .expect_err("one is missing");
    assert_eq!(told.to_string(), "~/c:-d is missing");
    let template = Template::parse("<${file:/run/a b}>", None).expect("parses");
    assert_eq!(
        template.resolve_from(&sources, &BOUND),
        Ok("<secret>".into())
    );
    assert_eq!(template.as_written(), "<${file:/run/a b}>");
    assert_eq!(format!("{template:?}"), "Template(***${file:/run/a b}***)");
    assert!(
        template.resolve(&environment, &BOUND).is_err(),
        "no files are read there"
    );
    assert_eq!(
        template.variables().count() + template.builtins().count(),
        0
    );
    for relative in ["${file:}", "${file:here}", "x${file:~you/x}"] {
        let error = Template::parse(relative, None).expect_err(relative);
        assert!(
            error.to_string().contains("absolute"),
            "{relative}: {error}"
        );
    }
}
