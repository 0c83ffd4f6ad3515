//! The folders of this installation, and the files in them that others must not change or read.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use shim::places::FolderError;

use super::{
    Patient,
    finding::{Check, Finding, Mend},
};
use crate::ui;

/// Permissions of others to write.
const WRITE: u32 = 0o022;
/// All permissions of others.
const OTHERS: u32 = 0o077;
/// Of a folder in which nobody can replace what another has put there.
const STICKY: u32 = 0o1000;
/// Who can change everything anyway.
const ROOT: u32 = 0;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let places = patient.places;
    let mut findings: Vec<Finding> = places.faults().iter().map(of_folder).collect();
    if let Err(error) = places.check_socket() {
        findings.push(Finding::problem(Check::Folders, error.to_string()));
    }
    let user = rustix::process::geteuid().as_raw();
    let mut changeable = folders_of(&places.config);
    // That one is to be ours alone, which has been looked at.
    let home = places.home.as_deref().map(fs::canonicalize);
    changeable.retain(|folder| !matches!(&home, Some(Ok(home)) if home == folder));
    changeable.insert(places.config.clone());
    let at_risk = changeable.iter();
    findings.extend(at_risk.filter_map(|path| changeable_by_others(path, user)));
    findings.extend(env_files(patient, user));
    let token = daemon::http_token::path(places);
    findings.extend(too_open(&token, OTHERS).map(|mode| {
        let what = format!(
            "the token of HTTP, {}, can be read by others (mode {mode:04o}), so nobody can come in with it",
            token.display()
        );
        mended_by_chmod(Finding::problem(Check::Folders, what), &token, OTHERS, "go=")
    }));
    findings
}

fn of_folder(fault: &FolderError) -> Finding {
    let finding = Finding::problem(Check::Folders, fault.to_string());
    match fault {
        FolderError::TooOpen { path, .. } => finding.mend(Mend::TakePermissions {
            path: path.clone(),
            bits: WRITE,
        }),
        FolderError::CannotMake { .. }
        | FolderError::NotAFolder { .. }
        | FolderError::CannotOpen { .. }
        | FolderError::NotOurs { .. } => finding,
    }
}

/// The folders in which the configuration could be replaced: its own, and the one that a link leads to.
fn folders_of(config: &Path) -> BTreeSet<PathBuf> {
    let own = config.parent().and_then(|it| fs::canonicalize(it).ok());
    let real = fs::canonicalize(config).ok();
    let behind_links = real.and_then(|it| it.parent().map(Path::to_path_buf));
    own.into_iter().chain(behind_links).collect()
}

/// Who can change the configuration, or put another in its place, can have any program run as its owner.
fn changeable_by_others(path: &Path, user: u32) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let access = Access {
        owner: metadata.uid(),
        mode: metadata.mode() & 0o7777,
        is_folder: metadata.is_dir(),
    };
    risk(path, &access, user)
}

/// What says who can change a file or a folder.
struct Access {
    owner: u32,
    mode: u32,
    is_folder: bool,
}

/// The same where this is so.
fn risk(path: &Path, access: &Access, user: u32) -> Option<Finding> {
    let Access {
        owner,
        mode,
        is_folder,
    } = *access;
    let name = if is_folder {
        "the configuration's folder"
    } else {
        "the configuration"
    };
    let shown = path.display();
    if owner != user && owner != ROOT {
        let what = format!(
            "{name} {shown} belongs to user {owner} (mode {mode:04o}), who could have any program run as you"
        );
        let next = "move it away, unless you know why it is theirs";
        return Some(Finding::problem(Check::Folders, what).next(next));
    }
    let is_open = mode & WRITE != 0 && !(is_folder && mode & STICKY != 0);
    is_open.then(|| {
        let what = format!(
            "{name} {shown} can be written by others (mode {mode:04o}), who could have any program run as you"
        );
        mended_by_chmod(Finding::problem(Check::Folders, what), path, WRITE, "go-w")
    })
}

/// Files of variables that a session's start refuses to read.
fn env_files(patient: &Patient<'_>, user: u32) -> Vec<Finding> {
    let servers = patient.config.iter().flat_map(|config| &config.servers);
    let home = shim::home::of_user(user).unwrap_or_default();
    servers
        .filter_map(|(name, server)| {
            let path = server.env_file.as_ref()?;
            let path = home.join(path.strip_prefix("~").unwrap_or(path));
            let fault = daemon::check_env_file(server, &home).err()?;
            let what = format!("`{name}` is started for nobody: {fault}");
            let next = format!("mend that, or take `env_file` from [servers.{name}]");
            let finding = Finding::problem(Check::Folders, what).next(next);
            let bits = OTHERS;
            Some(match too_open(&path, bits) {
                Some(_) => finding.mend(Mend::TakePermissions { path, bits }),
                None => finding,
            })
        })
        .collect()
}

fn mended_by_chmod(finding: Finding, path: &Path, bits: u32, change: &str) -> Finding {
    let next = format!("run: chmod {change} {}", ui::in_quotes(&path.display()));
    finding.next(next).mend(Mend::TakePermissions {
        path: path.to_path_buf(),
        bits,
    })
}

/// The mode of a file that gives others one of these permissions.
fn too_open(path: &Path, bits: u32) -> Option<u32> {
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.mode() & 0o7777;
    (metadata.is_file() && mode & bits != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn who_can_replace_the_configuration_is_told_where_it_lies_and_where_a_link_leads() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| fs::canonicalize(root.path()).unwrap().join(name);
        for folder in ["own", "elsewhere"] {
            fs::create_dir(at(folder)).unwrap();
            set_mode(&at(folder), 0o755);
        }
        let config = at("own/config.toml");
        assert_eq!(folders_of(&config), [at("own")].into(), "there is none yet");
        fs::write(at("elsewhere/pool.toml"), "").unwrap();
        symlink(at("elsewhere/pool.toml"), &config).unwrap();
        let folders = folders_of(&config);
        assert_eq!(folders, [at("own"), at("elsewhere")].into());
        let user = rustix::process::geteuid().as_raw();
        let told = |path: &Path| changeable_by_others(path, user);
        assert!(folders.iter().all(|folder| told(folder).is_none()));
        for (mode, is_told) in [
            (0o775, true),
            (0o757, true),
            (0o1777, false),
            (0o755, false),
        ] {
            set_mode(&at("elsewhere"), mode);
            let finding = told(&at("elsewhere"));
            assert_eq!(finding.is_some(), is_told, "{mode:o}");
            let mend = Mend::TakePermissions {
                path: at("elsewhere"),
                bits: WRITE,
            };
            assert!(finding.is_none_or(|it| it.mend == Some(mend)));
        }
        set_mode(&at("elsewhere/pool.toml"), 0o602);
        assert!(told(&config).is_some());
    }

    #[test]
    fn a_configuration_of_another_user_is_told_and_one_of_root_is_not() {
        let (user, another) = (1000, 1001);
        let told = |owner| {
            let access = Access {
                owner,
                mode: 0o644,
                is_folder: false,
            };
            risk(Path::new("/config.toml"), &access, user)
        };
        assert!(told(user).is_none());
        assert!(told(ROOT).is_none());
        let what = told(another).unwrap().what;
        assert!(what.contains("belongs to user 1001"), "{what}");
        // The owner is that of the file.
        let file = tempfile::NamedTempFile::new().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(changeable_by_others(file.path(), own).is_none());
        let seen_by_another = changeable_by_others(file.path(), own + 1);
        assert_eq!(seen_by_another.is_none(), own == ROOT);
    }
}
