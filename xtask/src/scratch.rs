//! Folders for a run, which go with it.

use anyhow::Context as _;
use tempfile::TempDir;

use crate::ui;

/// A folder with such a beginning of its name, left behind if it is to be kept, which is said.
pub(crate) fn folder(prefix: &str, is_kept: bool) -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .disable_cleanup(is_kept)
        .tempdir()
        .context("creating a folder")?;
    if is_kept {
        ui::progress(format!("    kept: {}", folder.path().display()));
    }
    Ok(folder)
}
