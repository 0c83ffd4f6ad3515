//! One table `[servers.NAME]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use toml_edit::TableLike;

use super::{
    calls,
    durations::{wait, wait_or_never},
    limits::LONG_WAIT,
    reader::{Cell, Entry, Reader, entries},
    remote, words,
};
use crate::{
    Asks, Capability, EnvPattern, EnvPatternError, Era, IdleTimeout, OnDaemonFailure, OnRestart,
    Remote, Scope, Server, Template,
};

pub(super) const KEYS: &[&str] = &[
    "command",
    "url",
    "headers",
    "ca_cert",
    "session_key_param",
    "session_key_header",
    "args",
    "env",
    "env_pass",
    "env_file",
    "path",
    "cwd",
    "scope",
    "idle_timeout",
    "request_timeout",
    "request_idle_timeout",
    "on_restart",
    "on_daemon_failure",
    "lazy",
    "keep_warm",
    "client_capabilities",
    "asks",
    "era",
    "sse_poll_after",
    "serialize",
    "once",
];

/// Beyond a year, "never" is what is meant.
const IDLE_TIMEOUT_MAX: Duration = Duration::from_hours(365 * 24);

pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Server> {
    let table = reader.table(entry)?;
    let is_remote = table.contains_key("url");
    let mut command = None;
    let mut elsewhere = Remote::at(Template::literal("".into()));
    let mut rest = Server::new(Template::literal("".into()), Vec::new());
    for field in entries(table, &entry.path) {
        remote::check_place(reader, &field, is_remote);
        match field.name {
            "command" => command = program(reader, &field),
            "url" | "headers" | "ca_cert" | "session_key_param" | "session_key_header" => {
                remote::read(reader, &field, &mut elsewhere);
            }
            "args" => rest.args = arguments(reader, &field),
            "env" => rest.env = variables(reader, &field),
            "env_pass" => rest.env_pass = patterns(reader, &field),
            "env_file" => rest.env_file = file(reader, &field),
            "path" => rest.path = path(reader, &field),
            "cwd" => rest.cwd = program(reader, &field),
            "scope" => rest.scope = word::<Scope>(reader, &field, Scope::WORDS).unwrap_or_default(),
            "idle_timeout" => rest.idle_timeout = idle_timeout(reader, &field).unwrap_or_default(),
            "request_timeout" => rest.request_timeout = wait(reader, &field, &LONG_WAIT),
            "request_idle_timeout" => {
                rest.request_idle_timeout = wait_or_never(reader, &field, &LONG_WAIT);
            }
            "on_restart" => {
                let word = word::<OnRestart>(reader, &field, OnRestart::WORDS);
                rest.on_restart = word.unwrap_or_default();
            }
            "on_daemon_failure" => {
                let word = word::<OnDaemonFailure>(reader, &field, OnDaemonFailure::WORDS);
                rest.on_daemon_failure = word.unwrap_or_default();
            }
            "lazy" => rest.lazy = flag(reader, &field).unwrap_or(rest.lazy),
            "keep_warm" => rest.keep_warm = flag(reader, &field).unwrap_or_default(),
            "client_capabilities" => rest.client_capabilities = capabilities(reader, &field),
            "asks" => rest.asks = word::<Asks>(reader, &field, Asks::WORDS).unwrap_or_default(),
            "era" => rest.era = word::<Era>(reader, &field, Era::WORDS).unwrap_or_default(),
            "serialize" => rest.serialize = calls::serialize(reader, &field),
            "once" => rest.once = calls::once(reader, &field),
            "sse_poll_after" => rest.sse_poll_after = wait(reader, &field, &LONG_WAIT),
            _ => unknown_key(reader, &field),
        }
    }
    if rest.keep_warm {
        check_warmth(reader, table, entry, rest.idle_timeout);
        rest.idle_timeout = IdleTimeout::Never;
    }
    if is_remote {
        rest.remote = Some(elsewhere);
        return Some(rest);
    }
    // A misspelt `command` is reported as such and not as missing.
    let is_misspelt = table
        .iter()
        .any(|(key, _)| matches!(words::nearest(key, KEYS), Some("command" | "url")));
    if !table.contains_key("command") && !is_misspelt {
        let message = "`command` is missing".to_owned();
        let hint =
            "the program to start, for example `command = \"npx\"`; or `url`, if it runs already";
        reader.fault(
            entry.key_offset,
            &entry.path,
            message,
            Some(hint.to_owned()),
        );
    }
    Some(Server {
        command: command?,
        ..rest
    })
}

/// What is kept warm is never idle for too long, so no time says how long that is.
fn check_warmth(
    reader: &mut Reader<'_>,
    table: &dyn TableLike,
    entry: &Entry<'_>,
    idle_timeout: IdleTimeout,
) {
    if idle_timeout == IdleTimeout::Never {
        return;
    }
    let fields = entries(table, &entry.path);
    if let Some(field) = fields.iter().find(|field| field.name == "idle_timeout") {
        let message = "contradicts `keep_warm = true`".to_owned();
        let hint = Some("leave one of the two out".to_owned());
        reader.fault(field.key_offset, &field.path, message, hint);
    }
}

fn flag(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<bool> {
    let cell = reader.cell(field, "true or false")?;
    let value = cell.value.as_bool();
    if value.is_none() {
        let type_name = cell.value.type_name();
        reader.wrong_type(&cell.path, cell.offset, "true or false", type_name, None);
    }
    value
}

fn unknown_key(reader: &mut Reader<'_>, field: &Entry<'_>) {
    match field.name {
        "type" | "transport" => {
            let hint = "`url` or `command` says it all";
            let message = "unknown key".to_owned();
            reader.fault(
                field.key_offset,
                &field.path,
                message,
                Some(hint.to_owned()),
            );
        }
        _ => reader.unknown_key(field, KEYS),
    }
}

/// A template that must not be empty: a program or a folder.
pub(super) fn program(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Template> {
    let cell = reader.cell(field, "a string")?;
    let template = reader.template(&cell)?;
    if cell.value.as_str() == Some("") {
        reader.fault(
            cell.offset,
            &cell.path,
            "must not be empty".to_owned(),
            None,
        );
        return None;
    }
    Some(template)
}

fn arguments(reader: &mut Reader<'_>, field: &Entry<'_>) -> Vec<Template> {
    let cells = reader.array(field, "strings").unwrap_or_default();
    cells
        .iter()
        .filter_map(|cell| reader.template(cell))
        .collect()
}

fn variables(reader: &mut Reader<'_>, field: &Entry<'_>) -> BTreeMap<String, Template> {
    let mut variables = BTreeMap::new();
    let Some(table) = reader.table(field) else {
        return variables;
    };
    for variable in entries(table, &field.path) {
        if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
            let message = format!("{:?} cannot be the name of a variable", variable.name);
            reader.fault(variable.key_offset, &variable.path, message, None);
            continue;
        }
        let Some(cell) = reader.cell(&variable, "a string") else {
            continue;
        };
        if let Some(template) = reader.template(&cell) {
            variables.insert(variable.name.to_owned(), template);
        }
    }
    variables
}

/// A file that is the same wherever one is.
fn file(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<PathBuf> {
    let cell = reader.cell(field, "a path")?;
    let text = reader.string(&cell)?;
    if !text.starts_with('/') && !text.starts_with("~/") {
        let message = format!("{text:?} is neither an absolute path nor one that begins with `~/`");
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    Some(PathBuf::from(text))
}

/// Folders to look for programs in, as in the variable `PATH`.
pub(super) fn path(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<String> {
    let cell = reader.cell(field, "a list of folders such as \"/usr/bin:/bin\"")?;
    let text = reader.string(&cell)?;
    let relative = text.split(':').find(|folder| !folder.starts_with('/'));
    if let Some(folder) = relative {
        let message = format!("{folder:?} is not the absolute path of a folder");
        let hint = Some("write them like \"/usr/local/bin:/usr/bin:/bin\"".to_owned());
        reader.fault(cell.offset, &cell.path, message, hint);
        return None;
    }
    Some(text.to_owned())
}

fn patterns(reader: &mut Reader<'_>, field: &Entry<'_>) -> Vec<EnvPattern> {
    let cells = reader
        .array(field, "names of variables")
        .unwrap_or_default();
    cells
        .iter()
        .filter_map(|cell| pattern(reader, cell))
        .collect()
}

fn pattern(reader: &mut Reader<'_>, cell: &Cell<'_>) -> Option<EnvPattern> {
    match reader.string(cell)?.parse::<EnvPattern>() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let hint = match &error {
                EnvPatternError::Value { name } => Some(format!("set `{name}` under `env`")),
                EnvPatternError::Empty
                | EnvPatternError::Everything { .. }
                | EnvPatternError::Character { .. }
                | EnvPatternError::PatternWithValue { .. }
                | EnvPatternError::NotUtf8 => None,
            };
            reader.fault(cell.offset, &cell.path, error.to_string(), hint);
            None
        }
    }
}

pub(super) fn word<T: FromStr<Err = crate::UnknownWord>>(
    reader: &mut Reader<'_>,
    field: &Entry<'_>,
    known: &[&str],
) -> Option<T> {
    let cell = reader.cell(field, "a string")?;
    element(reader, &cell, known)
}

fn element<T: FromStr<Err = crate::UnknownWord>>(
    reader: &mut Reader<'_>,
    cell: &Cell<'_>,
    known: &[&str],
) -> Option<T> {
    let text = reader.string(cell)?;
    match text.parse() {
        Ok(word) => Some(word),
        Err(error) => {
            let hint = words::nearest(text, known).map(|word| format!("did you mean `{word}`?"));
            reader.fault(cell.offset, &cell.path, error.to_string(), hint);
            None
        }
    }
}

fn idle_timeout(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<IdleTimeout> {
    let examples = "a duration such as \"10m\" or \"0s\", or \"never\"";
    let cell = reader.cell(field, examples)?;
    let Some(text) = cell.value.as_str() else {
        reader.wrong_type(
            &cell.path,
            cell.offset,
            examples,
            cell.value.type_name(),
            None,
        );
        return None;
    };
    if text == "never" {
        return Some(IdleTimeout::Never);
    }
    let Some(duration) = words::duration(text) else {
        reader.fault(
            cell.offset,
            &cell.path,
            format!("{text:?} is not {examples}"),
            None,
        );
        return None;
    };
    if duration > IDLE_TIMEOUT_MAX {
        let hint = Some("write \"never\"".to_owned());
        reader.fault(
            cell.offset,
            &cell.path,
            "longer than a year".to_owned(),
            hint,
        );
        return None;
    }
    Some(IdleTimeout::After(duration))
}

fn capabilities(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<BTreeSet<Capability>> {
    let cells = reader.array(field, "names of capabilities")?;
    let mut capabilities = BTreeSet::new();
    for cell in &cells {
        capabilities.extend(element::<Capability>(reader, cell, Capability::WORDS));
    }
    // One class has one spelling, however much of it the user wrote out.
    if capabilities.contains(&Capability::SamplingTools) {
        capabilities.insert(Capability::Sampling);
    }
    Some(capabilities)
}
