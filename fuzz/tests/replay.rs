//! Every input that was worth keeping, through the check that it belongs to, without an engine.

use std::{fs, panic, path::Path};

/// Checks all inputs of a target, and names each that fails.
#[track_caller]
fn replay(name: &str) {
    let (_, check) = fuzz::TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failed = Vec::new();
    let mut corpus_len = 0;
    for folder in ["corpus", "regressions"] {
        let Ok(entries) = fs::read_dir(package.join(folder).join(name)) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a folder that can be read").path();
            let input = fs::read(&path).expect("an input that can be read");
            corpus_len += usize::from(folder == "corpus");
            if panic::catch_unwind(|| check(&input)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(corpus_len > 10, "{corpus_len} inputs are no corpus");
    assert!(failed.is_empty(), "a promise is broken by {failed:#?}");
}

#[test]
fn of_a_client_s_file_only_our_entries_change() {
    replay("clients");
}

#[test]
fn a_stream_is_cut_into_the_same_lines_however_it_comes() {
    replay("codec");
}

#[test]
fn a_configuration_is_edited_without_a_trace_or_refused_with_a_place() {
    replay("config");
}

#[test]
fn a_message_is_what_two_other_parsers_say_and_an_edit_changes_nothing_else() {
    replay("envelope");
}

#[test]
fn what_was_understood_of_the_link_survives_another_trip() {
    replay("preface");
}

#[test]
fn in_no_world_does_anything_cross_or_get_lost() {
    replay("sim");
}

#[test]
fn every_target_is_replayed() {
    let names: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["clients", "codec", "config", "envelope", "preface", "sim"]
    );
}
