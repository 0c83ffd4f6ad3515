//! What our documents promise, and what no file may say.

use std::{fs, path::Path};

use super::{File, assert_none, files};
use crate::{errors_page, shell};

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.has_extension("md")) {
        let folder = shell::root().join(&file.path).parent().unwrap().to_owned();
        for link in links(file) {
            let target = link.split('#').next().unwrap_or_default();
            let is_local =
                !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_local && !folder.join(target).exists() {
                complaints.push(format!("{}: {link} leads nowhere", file.path));
            }
        }
    }
    assert_none(&complaints);
}

/// The targets of `[text](target)`, outside code.
fn links(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in file.text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Every second piece between backticks is code.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        found.extend(
            targets.map(|(target, _)| target.split(' ').next().unwrap_or_default().to_owned()),
        );
    }
    found
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let files = files();
    let mut complaints = Vec::new();
    let mut named = 0;
    for document in files.iter().filter(|file| file.has_extension("md")) {
        for name in document.text.split('`').skip(1).step_by(2) {
            // No word of ours but a test is a sentence.
            let is_sentence = name.matches('_').count() >= 4
                && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            if !is_sentence {
                continue;
            }
            named += 1;
            let begin = format!("fn {name}(");
            let mut sources = files.iter().filter(|file| file.has_extension("rs"));
            if !sources.any(|source| source.text.contains(&begin)) {
                complaints.push(format!("{}: no test is called {name}", document.path));
            }
        }
    }
    assert!(named >= 20, "only {named} tests are named");
    assert_none(&complaints);
}

#[test]
fn the_page_of_errors_is_what_the_code_says() {
    let page = fs::read_to_string(shell::root().join(errors_page::PATH)).unwrap_or_default();
    assert!(
        page == errors_page::generate().unwrap(),
        "{} is out of date: run `cargo xtask bless`",
        errors_page::PATH
    );
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // In pieces, or this list would find itself.
    let hosts = [
        concat!("registry.npm", "js.org"),
        concat!("files.python", "hosted.org"),
        concat!("pypi.", "org/simple"),
        concat!("index.cra", "tes.io"),
        concat!("static.cra", "tes.io"),
    ];
    let folders = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/tmp/", "target"),
    ];
    let mut complaints = Vec::new();
    for file in files()
        .iter()
        .filter(|file| Path::new(&file.path) != Path::new("Cargo.lock"))
    {
        for (index, line) in file.text.lines().enumerate() {
            let host = hosts.iter().find(|host| line.contains(**host));
            let folder = folders.iter().find(|folder| has_absolute(line, folder));
            if let Some(word) = host.or(folder) {
                complaints.push(format!("{}:{}: `{word}`", file.path, index + 1));
            }
        }
    }
    assert_none(&complaints);
}

/// Whether the path occurs where a path begins, not in the middle of one.
fn has_absolute(line: &str, path: &str) -> bool {
    let begins = |at: usize| {
        !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || "._-}/".contains(letter))
    };
    line.match_indices(path).any(|(at, _)| begins(at))
}
