//! An installation whose daemon is a script, and what opens its gate.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use super::Home;

impl Home {
    /// `mcpool` beside which this script lies as `mcpoold`. It finds the path of the real one in
    /// `$0.real`, and in `$0.gate` a file once [`Home::open_gate`] was called.
    pub(crate) fn beside_script(&self, script: &str, arguments: &[&str]) -> Command {
        let folder = self.root().join("bin");
        if fs::create_dir(&folder).is_ok() {
            fs::copy(env!("CARGO_BIN_EXE_mcpool"), folder.join("mcpool")).unwrap();
            fs::write(folder.join("mcpoold.real"), env!("CARGO_BIN_EXE_mcpoold")).unwrap();
            let program = folder.join("mcpoold");
            fs::write(&program, script).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        }
        self.command(folder.join("mcpool"), arguments)
    }

    pub(crate) fn open_gate(&self) {
        fs::write(self.root().join("bin/mcpoold.gate"), "").unwrap();
    }
}
