//! Where clients keep their files.

use std::path::{Path, PathBuf};

/// What kind of machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux, and what is like it.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

/// What a machine says when it is asked where things are.
pub trait Machine {
    /// What kind it is.
    fn system(&self) -> System;
    /// The home folder of the user.
    fn home(&self) -> PathBuf;
    /// A variable of the environment, if it is set and not empty.
    fn variable(&self, name: &str) -> Option<PathBuf>;
    /// The project at hand, if there is one.
    fn project(&self) -> Option<PathBuf>;
    /// What absolute paths begin with.
    fn root(&self) -> PathBuf {
        PathBuf::from("/")
    }
}

/// Whose servers a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The user's, everywhere.
    User,
    /// Everybody's who has the project.
    Project,
}

/// One file that a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose servers it has.
    pub reach: Reach,
    /// On which systems it is there; empty for all.
    pub systems: &'static [System],
    base: Base,
    /// The rest of the path. A part of it may have one `*`, which stands for any text.
    path: &'static str,
}

/// What a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Home,
    Project,
    /// A variable that names a folder, else a folder in the home folder.
    Variable(&'static str, &'static str),
    /// A variable that names a folder; without it there is none.
    Named(&'static str),
    /// A variable that names the file itself.
    File(&'static str),
    /// The top of all folders, unless a variable names the file itself.
    Root(Option<&'static str>),
    /// A variable that names a folder, else this one.
    Drive(&'static str, &'static str),
}

impl Place {
    /// A file in the home folder.
    pub(super) const fn home(path: &'static str) -> Self {
        Place::new(Reach::User, Base::Home, path)
    }

    /// A file in a folder that a variable names, else in this one of the home folder.
    pub(super) const fn moved(
        variable: &'static str,
        usual: &'static str,
        path: &'static str,
    ) -> Self {
        Place::new(Reach::User, Base::Variable(variable, usual), path)
    }

    /// A file that a variable names.
    pub(super) const fn named(variable: &'static str) -> Self {
        Place::new(Reach::User, Base::File(variable), "")
    }

    /// A file in a folder that only a variable names.
    pub(super) const fn in_named(variable: &'static str, path: &'static str) -> Self {
        Place::new(Reach::User, Base::Named(variable), path)
    }

    /// A file in the folder of settings, on Linux.
    pub(super) const fn config(path: &'static str) -> Self {
        Place::moved("XDG_CONFIG_HOME", ".config", path).on(&[System::Linux])
    }

    /// A file in the folder of settings, on Windows.
    pub(super) const fn app_data(path: &'static str) -> Self {
        Place::moved("APPDATA", "AppData/Roaming", path).on(&[System::Windows])
    }

    /// A file in the folder of settings, on macOS.
    pub(super) const fn support(path: &'static str) -> Self {
        Place::moved("", "Library/Application Support", path).on(&[System::Mac])
    }

    /// A file of the administrator, on Linux.
    pub(super) const fn etc(path: &'static str) -> Self {
        Place::new(Reach::User, Base::Root(None), path).on(&[System::Linux])
    }

    /// A file of the administrator, on macOS.
    pub(super) const fn library(path: &'static str) -> Self {
        Place::new(Reach::User, Base::Root(None), path).on(&[System::Mac])
    }

    /// A file of the administrator, on Windows.
    pub(super) const fn program_data(path: &'static str) -> Self {
        let base = Base::Drive("ProgramData", "C:/ProgramData");
        Place::new(Reach::User, base, path).on(&[System::Windows])
    }

    /// A file of the administrator among the programs, on Windows.
    pub(super) const fn program_files(path: &'static str) -> Self {
        let base = Base::Drive("ProgramFiles", "C:/Program Files");
        Place::new(Reach::User, base, path).on(&[System::Windows])
    }

    /// The same, unless a variable names the file.
    pub(super) const fn unless(self, variable: &'static str) -> Self {
        Place {
            base: match self.base {
                Base::Root(_) => Base::Root(Some(variable)),
                base @ (Base::Home
                | Base::Project
                | Base::Variable(..)
                | Base::Named(_)
                | Base::File(_)
                | Base::Drive(..)) => base,
            },
            ..self
        }
    }

    /// A file of a project.
    pub(super) const fn project(path: &'static str) -> Self {
        Place::new(Reach::Project, Base::Project, path)
    }

    const fn new(reach: Reach, base: Base, path: &'static str) -> Self {
        Place {
            reach,
            systems: &[],
            base,
            path,
        }
    }

    /// The same, on these systems alone.
    pub(super) const fn on(self, systems: &'static [System]) -> Self {
        Place { systems, ..self }
    }

    /// Whether files here end as this one does.
    pub(super) fn ends_as(&self, file: &Path) -> bool {
        Path::new(self.path).extension() == file.extension()
    }

    /// The path on this machine, if it can be there at all.
    pub fn on_machine(&self, machine: &impl Machine) -> Option<PathBuf> {
        if !self.systems.is_empty() && !self.systems.contains(&machine.system()) {
            return None;
        }
        let base = match self.base {
            Base::Home => machine.home(),
            Base::Project => machine.project()?,
            Base::Variable(name, usual) => machine
                .variable(name)
                .unwrap_or_else(|| machine.home().join(usual)),
            Base::Named(name) => machine.variable(name)?,
            Base::File(name) => return machine.variable(name),
            Base::Root(name) => match name.and_then(|name| machine.variable(name)) {
                Some(file) => return Some(file),
                None => machine.root(),
            },
            Base::Drive(name, usual) => machine
                .variable(name)
                .unwrap_or_else(|| PathBuf::from(usual)),
        };
        Some(base.join(self.path))
    }
}
