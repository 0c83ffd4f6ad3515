//! A service of the user that runs the daemon, for the service managers that there are.
//!
//! Without one everything works as well: the first session starts the daemon. A service adds that it is there
//! before, and that nobody else can have its port.
//!
//! **Invariant:** files that we have not written are neither changed nor removed.

mod launchd;
mod login_path;
mod systemd;

use std::{
    env, fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, bail};
use shim::{home, places::Places};

pub(crate) use login_path::LoginPath;

/// In each file that we write, and in no other.
const MARK: &str = "Written by `mcpool service install`";

/// What a service is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The daemon's program.
    pub(crate) program: PathBuf,
    pub(crate) places: Places,
    /// Where it looks for programs.
    pub(crate) path: String,
    /// Where it listens over HTTP.
    pub(crate) http: Vec<SocketAddr>,
}

/// A file of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// What a service manager says of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// It starts the daemon by itself, or listens for it, from the next login on.
    pub(crate) is_enabled: bool,
    /// It does so now.
    pub(crate) is_active: bool,
    /// The process that it has started.
    pub(crate) pid: Option<u32>,
}

/// There is no service manager that we can speak to.
#[derive(Debug)]
pub(crate) struct Unmanaged {
    pub(crate) why: String,
}

impl fmt::Display for Unmanaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: nothing more is needed, the first session starts the daemon",
            self.why
        )
    }
}

impl std::error::Error for Unmanaged {}

/// One kind of service manager. What a function needs that is not installed is no error of it.
pub(crate) trait Manager {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Whether it runs for this user.
    fn check(&self) -> Result<(), Unmanaged>;

    /// All files that a service may have, installed or not.
    fn paths(&self) -> Vec<PathBuf>;

    /// The files of this service.
    fn files(&self, plan: &Plan) -> Vec<ServiceFile>;

    /// The command line of the daemon, if it stands in this file of ours.
    fn command_line(&self, text: &str) -> Option<Vec<String>>;

    /// The addresses at which it listens for the daemon by this file of ours.
    fn addresses(&self, text: &str) -> Vec<SocketAddr>;

    /// Has it take up files that are written, and start the service, now and at each login.
    fn enable(&self) -> anyhow::Result<()>;

    /// Has it end the service with all that belongs to it, and start it never again. Also where it does not run.
    fn disable(&self) -> anyhow::Result<()>;

    /// Has it forget files that are removed.
    fn forget(&self) -> anyhow::Result<()>;

    /// Starts what is installed.
    fn start(&self) -> anyhow::Result<()>;

    /// Ends it, until the next login.
    fn stop(&self) -> anyhow::Result<()>;

    /// What there is now.
    fn state(&self) -> anyhow::Result<State>;
}

/// The one of this system, for a user with these folders.
pub(crate) fn manager(folders: Folders) -> Box<dyn Manager> {
    if cfg!(target_os = "macos") {
        Box::new(launchd::Launchd::new(folders))
    } else {
        Box::new(systemd::Systemd::new(&folders))
    }
}

/// The user's folders, as service managers know them.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// The home folder.
    pub(crate) home: PathBuf,
    /// `XDG_CONFIG_HOME`, or where that is.
    pub(crate) config: PathBuf,
    /// The user's number.
    pub(crate) user: u32,
}

impl Folders {
    /// As the service manager finds them: a person runs this, whose environment is theirs.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        let absolute = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|it| it.is_absolute())
        };
        let home = absolute("HOME").or_else(|| home::of_user(user));
        let home = home.context("you have no home folder")?;
        Ok(Folders {
            config: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            home,
            user,
        })
    }
}

/// Where a service manager listens over HTTP for the daemon of these places, whether that runs or not; `None` if it
/// does not listen for it.
pub(crate) fn listens(places: &Places) -> Option<Vec<SocketAddr>> {
    let manager = Folders::find().map(manager).ok()?;
    let installed = installed(&*manager).ok()?;
    let is_of_places = !installed.ours.is_empty()
        && refuse_other_home(&*manager, &installed, places).is_ok()
        && manager.state().is_ok_and(|state| state.is_active);
    is_of_places.then(|| {
        let files = installed.ours.iter();
        let addresses = files.flat_map(|file| manager.addresses(&file.text));
        addresses.collect()
    })
}

/// What is installed, or may be.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Files that we have written.
    pub(crate) ours: Vec<ServiceFile>,
    /// Files of others in their places.
    pub(crate) foreign: Vec<PathBuf>,
}

/// Looks what is at these paths.
pub(crate) fn installed(manager: &dyn Manager) -> anyhow::Result<Installed> {
    let mut found = Installed {
        ours: Vec::new(),
        foreign: Vec::new(),
    };
    for path in manager.paths() {
        match fs::read_to_string(&path) {
            Ok(text) if text.contains(MARK) => found.ours.push(ServiceFile { path, text }),
            Ok(_) => found.foreign.push(path),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => found.foreign.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    Ok(found)
}

/// Refuses what is installed for another home than that of these places: there is one service for each user, whose
/// daemon, with all sessions of it, would end.
pub(crate) fn refuse_other_home(
    manager: &dyn Manager,
    installed: &Installed,
    places: &Places,
) -> anyhow::Result<()> {
    let mut lines = installed
        .ours
        .iter()
        .filter_map(|file| manager.command_line(&file.text));
    let Some(line) = lines.next() else {
        return Ok(());
    };
    let mut words = line.iter().skip_while(|word| *word != "--home").skip(1);
    let home = words.next().map(PathBuf::from);
    let real = |home: Option<&PathBuf>| home.map(|it| fs::canonicalize(it).unwrap_or(it.clone()));
    if real(home.as_ref()) == real(places.home.as_ref()) {
        return Ok(());
    }
    match home {
        Some(home) => bail!(
            "the service that is installed is that of another home, {home}; \
             `mcpool --home {home} service uninstall` removes it",
            home = home.display()
        ),
        None => bail!(
            "the service that is installed is that of your usual home, and not of a `--home` or \
             `MCPOOL_HOME`; `mcpool service uninstall` without these removes it"
        ),
    }
}

/// Writes a file, whole or not at all.
pub(crate) fn write(file: &ServiceFile) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", file.path.display());
    let folder = file.path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(failed)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    io::Write::write_all(&mut temporary, file.text.as_bytes()).with_context(failed)?;
    temporary.as_file().sync_all().with_context(failed)?;
    temporary.persist(&file.path).with_context(failed)?;
    Ok(())
}

/// Asks a service manager's own program.
fn ask(program: &str, arguments: &[&str]) -> io::Result<Output> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
}

/// The same of what has to succeed.
fn order(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let line = || format!("`{program} {}`", arguments.join(" "));
    let output = ask(program, arguments).with_context(line)?;
    if !output.status.success() {
        bail!("{} failed: {}", line(), words_of(&output));
    }
    Ok(())
}

/// What it complains of.
fn words_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let words = lines.join(" ");
    if words.is_empty() {
        output.status.to_string()
    } else {
        words
    }
}
