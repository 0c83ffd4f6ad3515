use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::Arc,
};

use bytes::Bytes;
use mux::{Capability, Listing, Page, Route};

use super::*;
use crate::{
    kept_words::{Life, program},
    launch::LaunchSpec,
};

const DAY: Duration = Duration::from_hours(24);

/// A folder for what is kept, and a program that takes a script.
struct Scene {
    temporary: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        for file in ["program", "script"] {
            fs::write(temporary.path().join(file), file).unwrap();
        }
        Scene { temporary }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// As a daemon finds it that has just begun.
    fn folder(&self) -> Folder {
        Folder::new(self.path("kept-words"))
    }

    fn subject(&self, route: &str) -> Subject {
        Subject {
            route: Route(route.as_bytes().into()),
            class: None,
            life: Life::OfItsFiles,
            spec: Arc::new(LaunchSpec {
                program: self.path("program"),
                arguments: ["program", "--fast", "--config=script", "missing", ""]
                    .map(OsString::from)
                    .to_vec(),
                environment: BTreeMap::new(),
                directory: self.temporary.path().to_owned(),
                umask: 0o22,
                secrets: BTreeSet::new(),
            }),
        }
    }

    fn files(&self) -> Vec<String> {
        let Ok(read) = fs::read_dir(self.path("kept-words")) else {
            return Vec::new();
        };
        let names = read.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != KEY_NAME).collect();
        names.sort();
        names
    }

    fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        self.path("kept-words").join(&files[0])
    }

    /// Keeps words of a server that has just been started.
    fn keep(&self, subject: &Subject, words: &KeptWords) {
        let started = SystemTime::now();
        self.folder()
            .keep(subject, (words.class, words.era), Some(words), started);
    }

    /// What is found of what was kept, without what it was found to be of.
    fn recall(&self, subject: &Subject) -> Vec<KeptWords> {
        self.recall_at(subject, SystemTime::now())
    }

    fn recall_at(&self, subject: &Subject, now: SystemTime) -> Vec<KeptWords> {
        let mut found = self.folder().recall(subject, now);
        for words in &mut found {
            assert_eq!(words.program, program(&subject.spec));
            words.program = None;
        }
        found
    }
}

fn words(class: Class, tools: &str) -> KeptWords {
    let page = Page {
        cursor: None,
        result: Bytes::copy_from_slice(tools.as_bytes()),
        holds: None,
    };
    KeptWords {
        refused: None,
        era: Era::Legacy,
        program: None,
        class,
        handshake: Bytes::from_static(br#"{"protocolVersion":"2025-11-25"}"#),
        lists: BTreeMap::from([(Listing::Tools, vec![page])]),
    }
}

fn plain(tools: &str) -> KeptWords {
    words(Class::default(), tools)
}

#[test]
fn what_was_kept_is_found_by_the_next_daemon_and_nothing_in_it_names_the_share_key() {
    let scene = Scene::new();
    let subject = scene.subject("TOKEN=secret-of-alice");
    assert_eq!(scene.recall(&subject), []);
    assert!(!scene.path("kept-words").exists(), "looking makes nothing");
    scene.keep(&subject, &plain("{}"));
    scene.keep(&subject, &words(Class::of([Capability::Roots]), "[]"));
    scene.keep(&subject, &plain("{1}"));
    let found = scene.recall(&subject);
    assert_eq!(found.len(), 2);
    assert!(found.contains(&plain("{1}")));
    assert_eq!(scene.recall(&scene.subject("TOKEN=secret-of-bob")), []);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(scene.path("kept-words")), 0o700);
    for name in scene.files().into_iter().chain([KEY_NAME.to_owned()]) {
        let path = scene.path("kept-words").join(&name);
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("secret") && !name.contains("secret"));
        assert_eq!(mode(path), 0o600, "{name}");
    }
}

#[test]
fn what_comes_and_goes_after_the_first_look_is_seen_by_the_next() {
    let scene = Scene::new();
    let (first, second) = (scene.subject("a"), scene.subject("b"));
    scene.keep(&first, &plain("{}"));
    let mut folder = scene.folder();
    let now = SystemTime::now();
    assert_eq!(folder.recall(&first, now).len(), 1);
    assert_eq!(folder.recall(&second, now), []);
    let way = (Class::default(), Era::Legacy);
    folder.keep(&second, way, Some(&plain("[]")), now);
    assert_eq!(folder.recall(&second, now).len(), 1);
    folder.keep(&second, way, None, now);
    assert_eq!(folder.recall(&second, now), []);
    for file in scene.files() {
        fs::remove_file(scene.path("kept-words").join(file)).unwrap();
    }
    assert_eq!(folder.recall(&first, now), [], "a person has removed it");
}

#[test]
fn of_a_class_that_is_fixed_only_that_is_looked_for() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    let class = Class::of([Capability::Sampling]);
    scene.keep(&subject, &words(class, "{}"));
    let fixed = |class| Subject {
        class: Some(class),
        ..subject.clone()
    };
    assert_eq!(scene.recall(&fixed(class)).len(), 1);
    assert_eq!(scene.recall(&fixed(Class::default())), []);
}

#[test]
fn what_was_said_in_either_era_is_kept_beside_the_other_and_for_as_long_as_it_holds() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    let mut modern = plain("{1}");
    let holds = Duration::from_mins(10);
    modern.era = Era::Modern;
    modern.refused = Some(Finding {
        refused: Era::Legacy,
        life: 2 * holds,
    });
    let pages = modern.lists.values_mut().flatten();
    pages.for_each(|page| page.holds = Some(holds));
    scene.keep(&subject, &plain("{}"));
    scene.keep(&subject, &modern);
    assert_eq!(scene.recall(&scene.subject("b")), []);
    let now = SystemTime::now();
    let recall = |at| {
        let found = scene.recall_at(&subject, at);
        let [legacy, modern] = found.try_into().unwrap();
        assert_eq!(legacy, plain("{}"));
        modern
    };
    let left = recall(now + holds / 2);
    let found = left.refused.unwrap();
    assert_eq!((left.era, found.refused), (Era::Modern, Era::Legacy));
    assert!(found.life < holds + holds / 2 && found.life > holds);
    let left = left.lists[&Listing::Tools][0].holds.unwrap();
    let half = holds / 2;
    assert!(
        left < half && left + Duration::from_mins(1) > half,
        "{left:?}"
    );
    assert_eq!(recall(now + holds).lists, BTreeMap::new());
    assert_eq!(
        recall(now - DAY).lists,
        BTreeMap::new(),
        "a clock that has jumped"
    );
    assert!(recall(now + holds).refused.is_some());
    assert_eq!(recall(now + 2 * holds).refused, None);
    let fixed = Subject {
        class: Some(Class::of([Capability::Roots])),
        ..subject.clone()
    };
    assert_eq!(
        scene.recall(&fixed).len(),
        1,
        "the modern era has no classes"
    );
}

#[test]
fn another_program_or_file_argument_has_said_nothing_yet() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    for file in ["program", "script"] {
        scene.keep(&subject, &plain("{}"));
        assert_eq!(scene.recall(&subject).len(), 1);
        let before = program(&subject.spec);
        // As an upgrade does: another file in the place of the old one, of the same size.
        fs::write(scene.path("new"), "*".repeat(file.len())).unwrap();
        fs::rename(scene.path("new"), scene.path(file)).unwrap();
        assert_eq!(scene.recall(&subject), [], "{file}");
        assert_ne!(program(&subject.spec), before, "{file}");
    }
    fs::remove_file(scene.path("program")).unwrap();
    assert_eq!(program(&subject.spec), None);
    assert_eq!(scene.recall(&subject), []);
}

#[test]
fn what_was_said_by_a_program_that_was_replaced_since_is_not_kept() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    scene.keep(&subject, &plain("{}"));
    let started = SystemTime::now() - Duration::from_mins(1);
    let mut folder = scene.folder();
    folder.keep(&subject, Way::default(), Some(&plain("{1}")), started);
    assert_eq!(scene.files(), [] as [&str; 0]);
}

#[test]
fn what_may_not_be_kept_any_longer_is_removed() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    scene.keep(&subject, &plain("{}"));
    let mut folder = scene.folder();
    folder.keep(&subject, Way::default(), None, SystemTime::now());
    assert_eq!(scene.files(), [] as [&str; 0]);
    folder.keep(&subject, Way::default(), None, SystemTime::now());
}

#[test]
fn words_of_what_only_starts_another_program_are_good_for_a_day() {
    let scene = Scene::new();
    let lasting = scene.subject("a");
    let launched = Subject {
        life: Life::OfADay,
        ..lasting.clone()
    };
    scene.keep(&lasting, &plain("{}"));
    let now = SystemTime::now();
    let mut folder = scene.folder();
    let mut is_good = |subject, at| !folder.recall(subject, at).is_empty();
    assert!(is_good(&launched, now + DAY / 2));
    assert!(!is_good(&launched, now + DAY));
    assert!(!is_good(&launched, now - DAY), "a clock that has jumped");
    assert!(is_good(&lasting, now + 1000 * DAY));
}

#[test]
fn a_damaged_file_and_one_of_a_later_version_are_set_aside_and_replaced() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    let spoilt = |whole: &[u8]| -> Vec<Vec<u8>> {
        vec![
            Vec::new(),
            whole[..whole.len() / 2].to_vec(),
            b"mcpool kept words 2\n{}".to_vec(),
            vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 10],
        ]
    };
    scene.keep(&subject, &plain("{}"));
    let whole = fs::read(scene.only_file()).unwrap();
    for bytes in spoilt(&whole) {
        scene.keep(&subject, &plain("{}"));
        let path = scene.path("kept-words").join(&scene.files()[0]);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(scene.recall(&subject), []);
        assert!(!path.exists());
        let aside = path.with_extension("bad");
        assert_eq!(fs::read(aside).unwrap(), bytes);
        scene.keep(&subject, &plain("{}"));
        assert_eq!(scene.recall(&subject).len(), 1);
    }
}

#[test]
fn a_file_in_the_place_of_another_is_not_believed() {
    let scene = Scene::new();
    let (alice, bob) = (scene.subject("alice"), scene.subject("bob"));
    scene.keep(&alice, &plain("{}"));
    let of_alice = scene.only_file();
    scene.keep(&bob, &plain("{1}"));
    let of_bob = scene.files();
    let of_bob = of_bob
        .iter()
        .map(|name| scene.path("kept-words").join(name));
    let of_bob = of_bob.into_iter().find(|path| *path != of_alice).unwrap();
    fs::copy(&of_alice, &of_bob).unwrap();
    assert_eq!(scene.recall(&bob), []);
    assert_eq!(scene.recall(&alice).len(), 1);
}

#[test]
fn a_key_that_is_none_is_set_aside_and_everything_is_learnt_anew() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    scene.keep(&subject, &plain("{}"));
    fs::write(scene.path("kept-words/key"), "short").unwrap();
    assert_eq!(scene.recall(&subject), []);
    scene.keep(&subject, &plain("{1}"));
    assert_eq!(scene.recall(&subject), [plain("{1}")]);
    assert!(scene.path("kept-words/key.bad").exists());
}

#[test]
fn a_folder_that_cannot_be_used_keeps_nothing_and_stops_nobody() {
    let scene = Scene::new();
    let subject = scene.subject("a");
    fs::write(scene.path("kept-words"), "a file").unwrap();
    scene.keep(&subject, &plain("{}"));
    assert_eq!(scene.recall(&subject), []);
    // What a daemon left that was killed while it wrote is no hindrance to the next one.
    fs::remove_file(scene.path("kept-words")).unwrap();
    scene.keep(&subject, &plain("{}"));
    let mut left = scene.only_file().into_os_string();
    left.push(".new");
    fs::write(&left, "half of").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o400)).unwrap();
    scene.keep(&subject, &plain("{1}"));
    assert_eq!(scene.recall(&subject), [plain("{1}")]);
    assert_eq!(scene.files().len(), 1);
}

#[test]
fn there_are_never_more_files_than_may_be_and_those_in_use_stay_longest() {
    let scene = Scene::new();
    let now = SystemTime::now();
    let age = |path: PathBuf, age: Duration| {
        let file = File::open(path).unwrap();
        file.set_modified(now - age).unwrap();
    };
    let oldest = scene.subject("oldest");
    scene.keep(&oldest, &plain("{}"));
    age(scene.only_file(), 3 * DAY);
    for at in 0..FILES_MAX - 1 {
        let name = format!("{at:03}.bad");
        fs::write(scene.path("kept-words").join(&name), "").unwrap();
        age(scene.path("kept-words").join(name), 2 * DAY);
    }
    assert_eq!(scene.recall(&oldest).len(), 1, "it is in use");
    scene.keep(&scene.subject("newest"), &plain("{}"));
    assert_eq!(scene.files().len(), FILES_MAX);
    assert_eq!(scene.recall(&oldest).len(), 1);
    for at in 0..12 {
        let big = plain(&"x".repeat(usize::try_from(BYTES_MAX / 10).unwrap()));
        let mut folder = scene.folder();
        let subject = scene.subject(&format!("big {at}"));
        folder.keep(&subject, Way::default(), Some(&big), SystemTime::now());
    }
    let bytes = scene.files().into_iter().map(|name| {
        let file = fs::metadata(scene.path("kept-words").join(name));
        file.unwrap().len()
    });
    assert!(bytes.sum::<u64>() <= BYTES_MAX);
}

#[test]
fn what_was_found_at_an_address_counts_for_a_day_there_and_nowhere_else() {
    let scene = Scene::new();
    let url = "https://host/mcp?key=secret";
    let now = crate::kept_words::wall_clock();
    assert_eq!(scene.folder().finding(url, now), None);
    scene.folder().keep_finding(url, None);
    assert!(scene.files().is_empty(), "there is nothing to be forgotten");
    scene.folder().keep_finding(url, Some(Era::Modern));
    let found = scene.folder().finding(url, now + DAY / 2).unwrap();
    assert_eq!(found.refused, Era::Modern);
    let half = DAY / 2;
    assert!(found.life <= half + Duration::from_mins(1) && found.life > half / 2);
    for (url, now) in [
        ("https://host/mcp?key=other", now),
        (url, now + DAY + Duration::from_mins(1)),
        // The clock has jumped.
        (url, now - DAY),
    ] {
        assert_eq!(scene.folder().finding(url, now), None);
    }
    for name in scene.files() {
        let text = fs::read(scene.path("kept-words").join(name)).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("secret"));
    }
    scene.folder().keep_finding(url, None);
    assert_eq!(scene.folder().finding(url, now), None);
}
