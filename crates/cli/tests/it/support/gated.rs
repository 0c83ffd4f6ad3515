//! An installation whose daemon is a script, and what opens its gate.

use std::{fs, process::Command};

use super::{Home, programs};

impl Home {
    /// `mcpool` beside which this script lies as `mcpoold`. It finds the path of the real one in
    /// `$0.real`, and in `$0.gate` a file once [`Home::open_gate`] was called.
    pub(crate) fn beside_script(&self, script: &str, arguments: &[&str]) -> Command {
        let folder = self.root().join("bin");
        if fs::create_dir(&folder).is_ok() {
            programs::copy(env!("CARGO_BIN_EXE_mcpool"), folder.join("mcpool"));
            fs::write(folder.join("mcpoold.real"), env!("CARGO_BIN_EXE_mcpoold")).unwrap();
            programs::write(folder.join("mcpoold"), script);
        }
        self.command(folder.join("mcpool"), arguments)
    }

    pub(crate) fn open_gate(&self) {
        fs::write(self.root().join("bin/mcpoold.gate"), "").unwrap();
    }
}
