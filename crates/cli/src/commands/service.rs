//! `mcpool service`: the daemon as a service of the user.

use std::{
    fs, io,
    net::TcpListener,
    os::unix::net::UnixStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use daemon::{admin::Outcome, http_addresses, port_holder};
use serde::Serialize;
use shim::{lock, places::Places, preface::AdminAsk, rendezvous::NobodyStarts, sibling};

use super::stop::is_not_running;
use crate::{
    config_file, daemon_link,
    exit::Exit,
    service::{self, Folders, Installed, LoginPath, Manager, Plan, ServiceFile},
    ui::{Format, Page, Render, Ui},
};

/// How long a service manager may take until the daemon answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Have the service manager of your login run the daemon; nothing needs it
///
/// Without it the first session starts the daemon. With it systemd, or launchd, does, and systemd listens for it,
/// from your login on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Verb {
    /// Write its files, and have it run from now on
    Install,
    /// Stop everything, and remove its files
    Uninstall,
    /// Start what is installed
    Start,
    /// Stop it until the next login; a session that comes starts a daemon by itself
    Stop,
    /// Say whether it is installed, and who runs the daemon
    Status,
}

pub(crate) fn run(args: &Args, places: Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let format = if args.json {
        Format::Json
    } else {
        Format::Plain
    };
    let manager = &*service::manager(Folders::find()?);
    match args.verb {
        Verb::Install => ui.show(&install(manager, places)?, format)?,
        Verb::Uninstall => ui.show(&uninstall(manager, &places)?, format)?,
        Verb::Start => ui.show(&start(manager, &places)?, format)?,
        Verb::Stop => ui.show(&stop(manager, &places)?, format)?,
        Verb::Status => ui.show(&status(manager, places)?, format)?,
    }
    Ok(Exit::Done)
}

#[derive(Debug, Serialize)]
struct Installation {
    manager: &'static str,
    files: Vec<PathBuf>,
    /// Whether there were others of ours before.
    replaced: bool,
    /// Where the daemon looks for programs.
    path: String,
    /// Why that is not what the login shell says.
    path_trouble: Option<String>,
    daemon_pid: u32,
}

fn install(manager: &dyn Manager, places: Places) -> anyhow::Result<Installation> {
    if rustix::process::geteuid().is_root() {
        bail!(
            "mcpool runs for each user, and not as root: servers run as who uses them; \
             run this as that user"
        );
    }
    manager.check()?;
    let before = service::installed(manager)?;
    refuse_foreign(&before)?;
    service::refuse_other_home(manager, &before, &places)?;
    let login_path = LoginPath::find();
    let mut plan = plan(places, login_path.path().to_owned())?;
    // Sessions that come meanwhile wait for it.
    let nobody_starts = NobodyStarts::hold(&plan.places)?;
    if !before.ours.is_empty() {
        manager.disable()?;
    }
    stop_daemon(&plan.places)?;
    let files = claim(&mut plan)
        .and_then(|()| put(manager, &plan, &before))
        .inspect_err(|_| {
            if !before.ours.is_empty() {
                // As it was; why it could not be is told in any case.
                let _neither = manager.enable();
            }
        })?;
    drop(nobody_starts);
    let daemon_pid = await_daemon(manager, &plan.places)?;
    Ok(Installation {
        manager: manager.name(),
        replaced: !before.ours.is_empty(),
        files: files.into_iter().map(|file| file.path).collect(),
        path_trouble: match &login_path {
            LoginPath::OfShell(_) => None,
            LoginPath::Own { why, .. } => Some(why.clone()),
        },
        path: plan.path,
        daemon_pid,
    })
}

fn plan(places: Places, path: String) -> anyhow::Result<Plan> {
    let text = config_file::read(&places.config)?;
    let config = config::load(&text, &places.config)?;
    let program = sibling::path(sibling::DAEMON)?;
    Ok(Plan {
        program: fs::canonicalize(&program)
            .with_context(|| format!("cannot find {}", program.display()))?,
        http: http_addresses(&config.http, &places),
        places,
        path,
    })
}

fn refuse_foreign(installed: &Installed) -> anyhow::Result<()> {
    if let Some(path) = installed.foreign.first() {
        bail!(
            "{} is there already, and mcpool has not written it; move it away first",
            path.display()
        );
    }
    Ok(())
}

/// Whether there was one.
fn stop_daemon(places: &Places) -> anyhow::Result<bool> {
    match daemon_link::ask(places, AdminAsk::Stop) {
        Ok(_) => Ok(true),
        Err(error) if is_not_running(&error) => Ok(false),
        Err(error) => Err(error).context("stopping the daemon"),
    }
}

/// Makes sure that nobody else listens where the service is to; addresses that this machine has not are left out.
fn claim(plan: &mut Plan) -> anyhow::Result<()> {
    let socket = &plan.places.socket;
    if let Ok(stream) = UnixStream::connect(socket) {
        bail!(
            "{} listens at {}; end that first",
            daemon_link::listener(&stream),
            socket.display()
        );
    }
    let addresses = std::mem::take(&mut plan.http);
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(_) => plan.http.push(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
                "{address} is taken by {}; end that, or name another address in `http.listen`",
                port_holder::name(address)
            ),
            // The daemon does without it as well.
            Err(_) if address.is_ipv6() => {}
            Err(error) => return Err(error).with_context(|| format!("cannot listen at {address}")),
        }
    }
    Ok(())
}

/// Writes the files, and has the service begin. Nothing is left behind where that fails.
fn put(manager: &dyn Manager, plan: &Plan, before: &Installed) -> anyhow::Result<Vec<ServiceFile>> {
    let files = manager.files(plan);
    // Of an older one there may be more.
    remove(before.ours.iter())?;
    let begun = files
        .iter()
        .try_for_each(service::write)
        .and_then(|()| manager.enable());
    if let Err(error) = begun {
        let _never_begun = manager.disable();
        remove(files.iter())?;
        before.ours.iter().try_for_each(service::write)?;
        let _as_before = manager.forget();
        return Err(error);
    }
    Ok(files)
}

fn remove<'a>(files: impl Iterator<Item = &'a ServiceFile>) -> anyhow::Result<()> {
    for ServiceFile { path, .. } in files {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Waits until the daemon answers that the service manager runs.
fn await_daemon(manager: &dyn Manager, places: &Places) -> anyhow::Result<u32> {
    let begun = Instant::now();
    loop {
        match daemon_link::ask(places, AdminAsk::Status) {
            Ok(Outcome::Status(status)) => {
                let daemon = status.daemon.context("the daemon says nothing of itself")?;
                return Ok(daemon.pid);
            }
            Ok(_) => bail!("the daemon gave another answer than its status"),
            Err(error) if is_not_running(&error) && begun.elapsed() < ANSWERS_WITHIN => {
                thread::sleep(PAUSE);
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "the service is installed, but its daemon does not answer; its log is {}, and \
                         {} may know more",
                        places.daemon_log().display(),
                        manager.name()
                    )
                });
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct Removal {
    manager: &'static str,
    files: Vec<PathBuf>,
    /// Files of others in their places, which are left.
    foreign: Vec<PathBuf>,
    /// Whether a daemon ran.
    stopped: bool,
}

fn uninstall(manager: &dyn Manager, places: &Places) -> anyhow::Result<Removal> {
    let installed = service::installed(manager)?;
    service::refuse_other_home(manager, &installed, places)?;
    if installed.ours.is_empty() && daemon_pid(places)?.is_none() {
        return Ok(Removal {
            manager: manager.name(),
            files: Vec::new(),
            foreign: installed.foreign,
            stopped: false,
        });
    }
    // Sessions that come meanwhile wait, and start one by themselves then.
    let _nobody_starts = NobodyStarts::hold(places)?;
    // First of all in good order: it ends its servers.
    let stopped = stop_daemon(places)?;
    if !installed.ours.is_empty() {
        manager.disable()?;
        remove(installed.ours.iter())?;
        manager.forget()?;
    }
    // A session may have had the service manager start it once more.
    let again = stop_daemon(places)?;
    Ok(Removal {
        manager: manager.name(),
        files: paths(&installed),
        foreign: installed.foreign,
        stopped: stopped || again,
    })
}

#[derive(Debug, Serialize)]
struct Started {
    manager: &'static str,
    daemon_pid: u32,
}

fn start(manager: &dyn Manager, places: &Places) -> anyhow::Result<Started> {
    must_be_installed(manager, places)?;
    manager.check()?;
    if runs_by_itself(manager, places)?.is_some() {
        // It would keep the service from beginning.
        let _nobody_starts = NobodyStarts::hold(places)?;
        stop_daemon(places)?;
        manager.start()?;
    } else {
        manager.start()?;
    }
    Ok(Started {
        manager: manager.name(),
        daemon_pid: await_daemon(manager, places)?,
    })
}

#[derive(Debug, Serialize)]
struct Stopped {
    manager: &'static str,
}

fn stop(manager: &dyn Manager, places: &Places) -> anyhow::Result<Stopped> {
    must_be_installed(manager, places)?;
    manager.check()?;
    let _nobody_starts = NobodyStarts::hold(places)?;
    manager.stop()?;
    Ok(Stopped {
        manager: manager.name(),
    })
}

fn must_be_installed(manager: &dyn Manager, places: &Places) -> anyhow::Result<()> {
    let installed = service::installed(manager)?;
    if installed.ours.is_empty() {
        bail!("the service is not installed; `mcpool service install` does that");
    }
    service::refuse_other_home(manager, &installed, places)
}

/// The daemon that runs, if the service manager has not started it.
fn runs_by_itself(manager: &dyn Manager, places: &Places) -> anyhow::Result<Option<u32>> {
    let Some(pid) = daemon_pid(places)? else {
        return Ok(None);
    };
    Ok((manager.state()?.pid != Some(pid)).then_some(pid))
}

fn daemon_pid(places: &Places) -> anyhow::Result<Option<u32>> {
    let held = lock::holder(&places.lock)
        .with_context(|| format!("looking at {}", places.lock.display()))?;
    Ok(held.and_then(|held| held.by).map(|holder| holder.pid))
}

fn paths(installed: &Installed) -> Vec<PathBuf> {
    installed
        .ours
        .iter()
        .map(|file| file.path.clone())
        .collect()
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Shown {
    manager: &'static str,
    /// Why there is no service manager to speak to.
    unmanaged: Option<String>,
    installed: bool,
    /// Whether it begins at the next login.
    enabled: bool,
    /// Whether it runs, or listens, now.
    active: bool,
    files: Vec<PathBuf>,
    foreign: Vec<PathBuf>,
    /// Whether it is as this version would install it.
    current: bool,
    /// Whose it is, if it is that of another home.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_home: Option<String>,
    daemon: Option<Running>,
}

#[derive(Debug, Serialize)]
struct Running {
    pid: u32,
    started_by: StartedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum StartedBy {
    Service,
    /// A session, or a person.
    Itself,
}

fn status(manager: &dyn Manager, places: Places) -> anyhow::Result<Shown> {
    let installed = service::installed(manager)?;
    let unmanaged = manager.check().err().map(|it| it.why);
    let state = if unmanaged.is_none() {
        manager.state()?
    } else {
        service::State::default()
    };
    let daemon = daemon_pid(&places)?.map(|pid| Running {
        pid,
        started_by: if state.pid == Some(pid) {
            StartedBy::Service
        } else {
            StartedBy::Itself
        },
    });
    let other_home = service::refuse_other_home(manager, &installed, &places)
        .err()
        .map(|error| error.to_string());
    // One that cannot be read is not what was installed; `mcpool status` says what is wrong with it.
    let current = is_current(manager, &installed, places).unwrap_or(false);
    Ok(Shown {
        manager: manager.name(),
        unmanaged,
        installed: !installed.ours.is_empty(),
        enabled: state.is_enabled,
        active: state.is_active,
        files: paths(&installed),
        foreign: installed.foreign,
        current,
        other_home,
        daemon,
    })
}

/// Whether what is installed is what would be now, but for the `PATH`, which may be another at each login.
fn is_current(
    manager: &dyn Manager,
    installed: &Installed,
    places: Places,
) -> anyhow::Result<bool> {
    let mut plan = plan(places, String::new())?;
    // Those that this machine has not are left out by whoever installs.
    let listens: String = installed
        .ours
        .iter()
        .map(|file| file.text.as_str())
        .collect();
    plan.http
        .retain(|address| !address.is_ipv6() || listens.contains(&address.to_string()));
    let wanted = manager.files(&plan);
    let is_there = |file: &ServiceFile| {
        let there = installed.ours.iter().find(|it| it.path == file.path);
        there.is_some_and(|there| without_path(&there.text) == without_path(&file.text))
    };
    Ok(wanted.len() == installed.ours.len() && wanted.iter().all(is_there))
}

fn without_path(text: &str) -> Vec<&str> {
    let mut lines = text.lines();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains("<key>PATH</key>") {
            lines.next();
        } else if !line.contains("PATH=") {
            kept.push(line);
        }
    }
    kept
}

impl Render for Installation {
    fn render(&self, page: &mut Page) {
        page.line(format_args!(
            "{} runs the daemon (process {}), now and from each login on.",
            self.manager, self.daemon_pid
        ));
        if self.replaced {
            page.line("The service that was installed before is replaced.");
        }
        for file in &self.files {
            page.line(file.display());
        }
        page.line(format_args!("It looks for programs in {}", self.path));
        if let Some(why) = &self.path_trouble {
            page.line(format_args!("That is the PATH of this shell: {why}."));
        }
    }
}

impl Render for Removal {
    fn render(&self, page: &mut Page) {
        if self.files.is_empty() {
            page.line("The service is not installed.");
        } else {
            page.line("The service is removed, and everything that it ran has ended.");
        }
        if self.stopped {
            page.line("The next session starts the daemon.");
        }
        for path in &self.foreign {
            page.line(format_args!(
                "{} is left: mcpool has not written it.",
                path.display()
            ));
        }
    }
}

impl Render for Started {
    fn render(&self, page: &mut Page) {
        page.line(format_args!(
            "{} runs the daemon (process {}).",
            self.manager, self.daemon_pid
        ));
    }
}

impl Render for Stopped {
    fn render(&self, page: &mut Page) {
        page.line(format_args!(
            "{} has ended the daemon and all servers. The next session starts a daemon by itself; \
             `mcpool service start` has {} run it again.",
            self.manager, self.manager
        ));
    }
}

impl Render for Shown {
    fn render(&self, page: &mut Page) {
        if let Some(why) = &self.unmanaged {
            page.line(format_args!("The service cannot be used: {why}."));
        }
        page.line(match (self.installed, self.enabled, self.active) {
            (false, _, _) => "The service is not installed; the first session starts the daemon.",
            (true, true, true) => "The service is installed and active.",
            (true, true, false) => "The service is installed and does not run now.",
            (true, false, true) => {
                "The service is installed and active, and not from the next login on."
            }
            (true, false, false) => "The service is installed and switched off.",
        });
        for file in &self.files {
            page.line(file.display());
        }
        if let Some(words) = &self.other_home {
            page.line(format_args!("Mind that {words}."));
        } else if self.installed && !self.current {
            page.line(
                "It is not as this mcpool and its configuration want it; `mcpool service install` makes it so.",
            );
        }
        for path in &self.foreign {
            page.line(format_args!(
                "{} is in its way: mcpool has not written it.",
                path.display()
            ));
        }
        page.line(match &self.daemon {
            None => "The daemon does not run.".to_owned(),
            Some(Running { pid, started_by }) => match started_by {
                StartedBy::Service => format!("The daemon runs as the service (process {pid})."),
                StartedBy::Itself => {
                    format!("The daemon runs by itself (process {pid}), and not as a service.")
                }
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_makes_no_other_service() {
        let of = |path| {
            format!("a\nEnvironment=\"PATH={path}\"\n<key>PATH</key>\n<string>{path}</string>\nb\n")
        };
        assert_eq!(without_path(&of("/x")), without_path(&of("/y")));
        assert_eq!(without_path(&of("/x")), ["a", "b"]);
    }
}
