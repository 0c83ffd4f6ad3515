//! The rules of the house that no compiler knows, each a test.

mod documents;
mod layers;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::shell;

/// A file of the project, by its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn has_extension(&self, wanted: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == wanted)
    }
}

/// Every text file of the checkout that is not built, installed or Git's own.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    collect(&shell::root(), &mut found);
    assert!(found.len() > 20, "the walk found next to nothing");
    found
}

fn collect(folder: &Path, found: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink()
            || ["target", ".git", "node_modules", "__pycache__"].contains(&name.as_str())
        {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path
                .strip_prefix(shell::root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            found.push(File { path, text });
        }
    }
}

/// Fails with all complaints at once.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n  {}\n", complaints.join("\n  "));
}
