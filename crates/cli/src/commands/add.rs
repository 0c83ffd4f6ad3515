//! `mcpool add`: write a server into the configuration.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{self, Path, PathBuf},
};

use anyhow::{Context, bail};
use config::{EnvArgument, EnvPattern, Scope, ServerEntry, ServerName};
use serde::Serialize;
use shim::places::Places;

use crate::{
    args::Output,
    config_file,
    exit::{Exit, WrongUsage},
    ui::{Page, Render, Ui},
};

/// Add a server to the configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the server: letters, digits, `.`, `_`, `-`
    name: ServerName,
    /// How widely one process is shared: auto, global, workspace or session
    #[arg(long)]
    scope: Option<Scope>,
    /// Variable to pass from the client (NAME, or a pattern as AWS_*), or to set (NAME=VALUE)
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Folder in which the server starts
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Address of a server that runs already: http, https, ws or wss, or a unix socket
    #[arg(long, conflicts_with_all = ["command", "env", "cwd"])]
    url: Option<String>,
    /// Header that such a server is sent, as "NAME: VALUE"; ${NAME} in it is the client's variable
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "url")]
    headers: Vec<String>,
    /// File of certificates that alone vouch for such a server
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_cert: Option<String>,
    /// The server's command line
    #[arg(last = true, required_unless_present = "url", value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// What was done, and what to do next.
#[derive(Debug, Serialize)]
struct Added {
    name: String,
    config: PathBuf,
    /// What a client's entry has to say.
    entry: ClientEntry,
}

#[derive(Debug, Serialize)]
struct ClientEntry {
    command: &'static str,
    args: Vec<String>,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let entry = match &args.url {
        Some(url) => remote_entry(args, url, ui)?,
        None => entry(args, ui)?,
    };
    let mut unusable = None;
    config_file::edit(&places.config, |text| {
        let edited = config::add_server(text, &places.config, &args.name, &entry)?;
        unusable = config::load(&edited, &places.config).err();
        Ok::<_, config::EditError>(edited)
    })?;
    if let Some(error) = unusable {
        ui.remark(format_args!(
            "warning: it is added, but the file cannot be used yet: {error}"
        ));
    }
    let program = Path::new(&entry.command);
    if entry.url.is_none()
        && !entry.command.contains("${")
        && !is_found(program, env::var_os("PATH").as_deref())
    {
        ui.remark(format_args!(
            "warning: `{}` is not found from here; the server starts only for clients whose PATH has it",
            program.display()
        ));
    }
    ui.show(&Added::new(&args.name, places), args.output.format())?;
    Ok(Exit::Done)
}

fn entry(args: &Args, ui: &mut Ui) -> anyhow::Result<ServerEntry> {
    let Some((command, arguments)) = args.command.split_first() else {
        bail!("the server's command line is missing");
    };
    let (mut env, mut env_pass) = (BTreeMap::new(), Vec::new());
    for argument in &args.env {
        match EnvArgument::parse(argument).map_err(|error| WrongUsage(format!("--env: {error}")))? {
            EnvArgument::Pass(pattern) => pass(pattern, &mut env_pass),
            EnvArgument::Set { name, value } => {
                let value = value.into_string().map_err(|_| {
                    WrongUsage(format!("--env: the value of {name} is not UTF-8 text"))
                })?;
                if config::looks_like_credential(&name) && !value.contains("${") {
                    ui.remark(format_args!(
                        "note: {name} looks like a credential and now stands in the configuration file; \
                         `--env {name}`, without a value, passes it from the client instead"
                    ));
                }
                env.insert(name, value);
            }
        }
    }
    Ok(ServerEntry {
        command: from_anywhere(command)?,
        args: arguments.to_vec(),
        env,
        env_pass,
        cwd: args.cwd.as_deref().map(from_anywhere_folder).transpose()?,
        scope: args.scope,
        ..ServerEntry::default()
    })
}

/// What is written down of a server that runs already.
fn remote_entry(args: &Args, url: &str, ui: &mut Ui) -> anyhow::Result<ServerEntry> {
    let mut headers = BTreeMap::new();
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| WrongUsage("--header: expected NAME: VALUE".to_owned()))?;
        let (name, value) = (name.trim(), value.trim());
        let is_secret = name.eq_ignore_ascii_case("authorization")
            || config::looks_like_credential(&name.replace('-', "_"));
        if is_secret && !value.contains("${") {
            ui.remark(format_args!(
                "note: the header {name} looks like a credential and now stands in the configuration file; \
                 `--header '{name}: ${{VARIABLE}}'` takes it from the client instead"
            ));
        }
        headers.insert(name.to_owned(), value.to_owned());
    }
    Ok(ServerEntry {
        url: Some(url.to_owned()),
        headers,
        ca_cert: args
            .ca_cert
            .as_deref()
            .map(from_anywhere_folder)
            .transpose()?,
        scope: args.scope,
        ..ServerEntry::default()
    })
}

fn pass(pattern: EnvPattern, env_pass: &mut Vec<EnvPattern>) {
    if !env_pass.contains(&pattern) {
        env_pass.push(pattern);
    }
}

/// A path that means the same wherever a client starts; a bare name stays one.
fn from_anywhere(command: &str) -> anyhow::Result<String> {
    if command.contains('/') {
        from_anywhere_folder(command)
    } else {
        Ok(command.to_owned())
    }
}

fn from_anywhere_folder(path: &str) -> anyhow::Result<String> {
    if path.starts_with("${") {
        return Ok(path.to_owned());
    }
    path::absolute(path)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .with_context(|| format!("`{path}` cannot be made an absolute path"))
}

/// Whether this program can be executed, found by `search_path` if it is a bare name.
fn is_found(program: &Path, search_path: Option<&OsStr>) -> bool {
    let is_executable = |path: &Path| {
        path.metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return is_executable(program);
    }
    search_path.is_some_and(|folders| {
        env::split_paths(folders).any(|folder| is_executable(&folder.join(program)))
    })
}

impl Added {
    fn new(name: &ServerName, places: &Places) -> Self {
        let mut args = vec!["connect".to_owned()];
        if let Some(home) = &places.home {
            args.extend(["--home".to_owned(), home.display().to_string()]);
        }
        args.push(name.to_string());
        Added {
            name: name.to_string(),
            config: places.config.clone(),
            entry: ClientEntry {
                command: "mcpool",
                args,
            },
        }
    }
}

impl Render for Added {
    fn render(&self, page: &mut Page) {
        let entry = serde_json::to_string(&self.entry).unwrap_or_default();
        page.line(format_args!(
            "Added `{}` to {}.",
            self.name,
            self.config.display()
        ));
        page.line("A client's entry for it is, in most clients:");
        page.blank();
        page.line(format_args!("  \"{}\": {entry}", self.name));
        page.blank();
        page.line(format_args!(
            "`mcpool tools {}` starts it and shows what it can do.",
            self.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_the_search_path_only_if_it_can_be_executed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("server");
        let search_path = Some(folder.path().as_os_str());
        assert!(!is_found(Path::new("server"), search_path));
        std::fs::write(&program, "").unwrap();
        assert!(!is_found(Path::new("server"), search_path));
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_found(Path::new("server"), search_path));
        assert!(is_found(&program, None));
        assert!(!is_found(Path::new("server"), None));
    }

    #[test]
    fn a_relative_path_becomes_absolute_and_a_name_stays_a_name() {
        let here = env::current_dir().unwrap();
        assert_eq!(from_anywhere("npx").unwrap(), "npx");
        assert_eq!(from_anywhere("/bin/sh").unwrap(), "/bin/sh");
        assert_eq!(from_anywhere("${HOME}/x").unwrap(), "${HOME}/x");
        let expected = here.join("bin/x").to_str().unwrap().to_owned();
        assert_eq!(from_anywhere("./bin/x").unwrap(), expected);
    }
}
