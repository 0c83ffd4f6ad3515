use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;
use crate::front::{Caller, Place};

fn row(session: u64) -> Row {
    Row {
        session,
        server: "fake".into(),
        place: Place::default(),
        caller: Caller::SameUser,
        workspace: None,
        lines: Vec::new(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn what_is_written_is_found_until_it_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("sessions");
    let (rows, thread) = Rows::start(folder.clone()).unwrap();
    let (key, other) = (Key::random().unwrap(), Key::random().unwrap());
    assert!(rows.look(key).unwrap().comes().await.unwrap().is_none());
    assert!(!folder.exists(), "it is made when it is needed");
    rows.begin(key, row(1)).comes().await;
    let [file] = &files(&folder)[..] else {
        panic!("{:?}", files(&folder));
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(file)), (0o700, 0o600));
    rows.put(key, row(2));
    let found = rows.look(key).unwrap().comes().await.unwrap().unwrap();
    assert_eq!(found.row, row(2));
    assert!(rows.look(other).unwrap().comes().await.unwrap().is_none());
    rows.remove(key).comes().await;
    assert!(files(&folder).is_empty());
    assert!(rows.look(key).unwrap().comes().await.unwrap().is_none());
    rows.put(key, row(3));
    rows.finish(thread);
    assert_eq!(files(&folder).len(), 1, "what waits is done before the end");
}

#[test]
fn a_row_that_is_damaged_is_set_aside_and_never_believed() {
    let home = tempfile::tempdir().unwrap();
    let mut folder = Folder::new(home.path().join("sessions"));
    let key = Key::random().unwrap();
    folder.put(key, &row(1), Lasting::No);
    let [file] = &files(&home.path().join("sessions"))[..] else {
        panic!("there should be one");
    };
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("\"session\":1", "\"session\":2")).unwrap();
    assert!(folder.look(key).is_none());
    assert!(!file.exists() && file.with_extension("bad").exists());
    folder.put(key, &row(1), Lasting::No);
    assert_eq!(folder.look(key).unwrap().row, row(1));
}

#[test]
fn a_date_says_when_a_session_was_heard() {
    let home = tempfile::tempdir().unwrap();
    let mut folder = Folder::new(home.path().join("sessions"));
    let key = Key::random().unwrap();
    folder.put(key, &row(1), Lasting::No);
    let long_ago = wall_clock() - Duration::from_hours(5);
    folder.date(key, long_ago);
    let heard = folder.look(key).unwrap().heard;
    assert!(heard.duration_since(long_ago).unwrap() < Duration::from_secs(1));
}

#[test]
fn there_are_never_more_rows_than_may_be_and_the_most_silent_go() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sessions");
    let mut folder = Folder::of_at_most(path.clone(), 8);
    let keys: Vec<Key> = (0..20).map(|_| Key::random().unwrap()).collect();
    let first = wall_clock() - Duration::from_hours(1);
    for (number, key) in keys.iter().enumerate() {
        folder.put(*key, &row(number as u64), Lasting::No);
        folder.date(*key, first + Duration::from_secs(number as u64));
        assert!(files(&path).len() <= 8);
    }
    assert!(folder.look(keys[0]).is_none());
    assert_eq!(folder.look(keys[19]).unwrap().row, row(19));
    // One that comes later counts them anew.
    let mut later = Folder::of_at_most(path.clone(), 8);
    for number in 20..30 {
        later.put(Key::random().unwrap(), &row(number), Lasting::No);
        assert!(files(&path).len() <= 8);
    }
}

#[tokio::test]
async fn however_much_is_to_be_done_nothing_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sessions");
    let mut folder = Folder::new(path.clone());
    let keys: Vec<Key> = (0..LOOKS_MAX + 100)
        .map(|_| Key::random().unwrap())
        .collect();
    for (number, key) in keys.iter().enumerate() {
        folder.put(*key, &row(number as u64), Lasting::No);
    }
    // As long as the disk does not answer.
    let rows = Rows::default();
    let (stays, ends) = keys.split_first().unwrap();
    let removed: Vec<Written> = ends
        .iter()
        .map(|key| {
            rows.put(*key, row(1));
            rows.date(*key);
            rows.remove(*key)
        })
        .collect();
    for number in 0..10_000 {
        rows.put(*stays, row(number));
        let key = Key::random().unwrap();
        let written = rows.begin(key, row(2));
        rows.put(key, row(3));
        rows.remove(key).comes().await;
        written.comes().await;
    }
    assert_eq!(rows.desk.orders().rows.len(), keys.len());
    let thread = rows.keep_in(path.clone()).unwrap();
    for removed in removed {
        removed.comes().await;
    }
    rows.settled().await;
    assert_eq!(files(&path).len(), 1);
    assert_eq!(folder.look(*stays).unwrap().row, row(9_999));
    rows.finish(thread);
}

#[tokio::test]
async fn only_so_many_may_ask_for_what_there_is() {
    let home = tempfile::tempdir().unwrap();
    let rows = Rows::default();
    let looks: Vec<Found> = std::iter::from_fn(|| rows.look(Key::random().unwrap())).collect();
    assert_eq!(looks.len(), LOOKS_MAX);
    let thread = rows.keep_in(home.path().join("sessions")).unwrap();
    for look in looks {
        assert!(look.comes().await.unwrap().is_none());
    }
    assert!(rows.look(Key::random().unwrap()).is_some());
    rows.finish(thread);
}
