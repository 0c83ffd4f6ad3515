//! The fields of a preface's body.

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf, time::Duration};

use super::{Address, AdminAsk, Ask, Join, Preface, PrefaceError, SessionAsk, number, path_bytes};
use crate::{
    fields::{self, os_string, variable},
    workspace::{Evidence, Workspace},
};

/// The words of `ask` for a session. That at an address has its own: a daemon from before there was such a thing
/// refuses the word, and would pass over the address and take the name for that of a server.
const SESSION: &[u8] = b"session";
const AT_ADDRESS: &[u8] = b"session-at-url";
/// So has that in a folder, which such a daemon would pass over, too.
const IN_FOLDER: &[u8] = b"session-in-folder";

/// Appends all fields.
pub(super) fn write(preface: &Preface, body: &mut Vec<u8>) -> Result<(), PrefaceError> {
    field(body, "version", preface.version.as_bytes())?;
    field(body, "cwd", path_bytes(&preface.cwd))?;
    field(body, "umask", format!("{:03o}", preface.umask).as_bytes())?;
    field(body, "pid", preface.pid.to_string().as_bytes())?;
    match &preface.ask {
        Ask::Session(session) => {
            let word = match (&session.address, &session.directory) {
                (Some(_), _) => AT_ADDRESS,
                (None, Some(_)) => IN_FOLDER,
                (None, None) => SESSION,
            };
            field(body, "ask", word)?;
            write_session(session, body)
        }
        Ask::Admin(admin) => {
            field(body, "ask", b"admin")?;
            write_admin(admin, body)
        }
    }
}

fn write_session(session: &SessionAsk, body: &mut Vec<u8>) -> Result<(), PrefaceError> {
    field(body, "server", session.server.as_bytes())?;
    for argument in &session.command {
        field(body, "arg", argument.as_bytes())?;
    }
    if let Some(address) = &session.address {
        field(body, "url", address.url.as_bytes())?;
        for (name, value) in &address.headers {
            field_of(body, "header", &[name.as_bytes(), b"=", value.as_bytes()])?;
        }
        if let Some(file) = &address.ca_cert {
            field(body, "ca_cert", path_bytes(file))?;
        }
    }
    if let Some(directory) = &session.directory {
        field(body, "directory", path_bytes(directory))?;
    }
    if let Some(scope) = session.scope {
        field(body, "scope", scope.word().as_bytes())?;
    }
    if let Some(workspace) = &session.workspace {
        field(body, "workspace", path_bytes(&workspace.path))?;
        field(body, "evidence", workspace.evidence.word().as_bytes())?;
    }
    for pass in &session.pass {
        field(body, "pass", pass.as_bytes())?;
    }
    match session.join {
        Join::ShareKey => {}
        Join::Any => field(body, "join", b"any")?,
    }
    if let Some(resume) = session.resume {
        field(body, "resume", resume.to_string().as_bytes())?;
    }
    for (name, value) in &session.env {
        field_of(body, "env", &[name.as_bytes(), b"=", value.as_bytes()])?;
    }
    Ok(())
}

fn write_admin(admin: &AdminAsk, body: &mut Vec<u8>) -> Result<(), PrefaceError> {
    match admin {
        AdminAsk::Status => field(body, "verb", b"status"),
        AdminAsk::Stop => field(body, "verb", b"stop"),
        AdminAsk::Upgrade => field(body, "verb", b"upgrade"),
        AdminAsk::Restart { server, wait } => {
            field(body, "verb", b"restart")?;
            field(body, "wait", wait.as_secs().to_string().as_bytes())?;
            field(body, "server", server.as_bytes())
        }
    }
}

fn field(body: &mut Vec<u8>, key: &'static str, value: &[u8]) -> Result<(), PrefaceError> {
    field_of(body, key, &[value])
}

fn field_of(body: &mut Vec<u8>, key: &'static str, parts: &[&[u8]]) -> Result<(), PrefaceError> {
    fields::write(body, key, parts).map_err(|_| PrefaceError::BadValue { key })
}

/// Everything that fields may say, before it is known which ask they belong to.
#[derive(Default)]
struct Fields<'body> {
    version: Option<&'body [u8]>,
    cwd: Option<&'body [u8]>,
    umask: Option<&'body [u8]>,
    pid: Option<&'body [u8]>,
    ask: Option<&'body [u8]>,
    server: Option<&'body [u8]>,
    directory: Option<&'body [u8]>,
    scope: Option<&'body [u8]>,
    workspace: Option<&'body [u8]>,
    evidence: Option<&'body [u8]>,
    join: Option<&'body [u8]>,
    resume: Option<&'body [u8]>,
    verb: Option<&'body [u8]>,
    wait: Option<&'body [u8]>,
    url: Option<&'body [u8]>,
    headers: Vec<&'body [u8]>,
    ca_cert: Option<&'body [u8]>,
    command: Vec<OsString>,
    pass: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// Reads all fields.
pub(super) fn read(body: &[u8]) -> Result<Preface, PrefaceError> {
    let fields = collect(body)?;
    Ok(Preface {
        version: text(fields.version, "version")?,
        cwd: absolute(require(fields.cwd, "cwd")?, "cwd")?,
        umask: octal(require(fields.umask, "umask")?)?,
        pid: number(require(fields.pid, "pid")?).ok_or(PrefaceError::BadValue { key: "pid" })?,
        ask: match require(fields.ask, "ask")? {
            SESSION | AT_ADDRESS | IN_FOLDER => Ask::Session(session(fields)?),
            b"admin" => Ask::Admin(admin(&fields)?),
            _ => return Err(PrefaceError::BadValue { key: "ask" }),
        },
    })
}

fn collect(body: &[u8]) -> Result<Fields<'_>, PrefaceError> {
    let mut all = Fields::default();
    let Some(body) = body.strip_suffix(&[0]) else {
        return if body.is_empty() {
            Ok(all)
        } else {
            Err(PrefaceError::BrokenField)
        };
    };
    for field in fields::read(body) {
        let (key, value) = field.ok_or(PrefaceError::BrokenField)?;
        match key {
            b"version" => all.version = Some(value),
            b"cwd" => all.cwd = Some(value),
            b"umask" => all.umask = Some(value),
            b"pid" => all.pid = Some(value),
            b"ask" => all.ask = Some(value),
            b"server" => all.server = Some(value),
            b"directory" => all.directory = Some(value),
            b"scope" => all.scope = Some(value),
            b"workspace" => all.workspace = Some(value),
            b"evidence" => all.evidence = Some(value),
            b"join" => all.join = Some(value),
            b"resume" => all.resume = Some(value),
            b"verb" => all.verb = Some(value),
            b"wait" => all.wait = Some(value),
            b"url" => all.url = Some(value),
            b"header" => all.headers.push(value),
            b"ca_cert" => all.ca_cert = Some(value),
            b"arg" => all.command.push(os_string(value)),
            b"pass" => all.pass.push(os_string(value)),
            b"env" => all
                .env
                .push(variable(value).ok_or(PrefaceError::BadValue { key: "env" })?),
            // Of a newer sender.
            _ => {}
        }
    }
    Ok(all)
}

fn session(fields: Fields<'_>) -> Result<SessionAsk, PrefaceError> {
    let scope = match fields.scope {
        None => None,
        Some(word) => Some(
            str::from_utf8(word)
                .ok()
                .and_then(|word| word.parse().ok())
                .ok_or(PrefaceError::BadValue { key: "scope" })?,
        ),
    };
    let workspace = match fields.workspace {
        None => None,
        Some(path) => Some(Workspace {
            path: absolute(path, "workspace")?,
            evidence: Evidence::from_word(require(fields.evidence, "evidence")?)
                .ok_or(PrefaceError::BadValue { key: "evidence" })?,
        }),
    };
    let join = match fields.join {
        None => Join::ShareKey,
        Some(b"any") => Join::Any,
        Some(_) => return Err(PrefaceError::BadValue { key: "join" }),
    };
    let resume = match fields.resume {
        None => None,
        Some(session) => Some(number(session).ok_or(PrefaceError::BadValue { key: "resume" })?),
    };
    let directory = match fields.directory {
        None => None,
        Some(path) => Some(absolute(path, "directory")?),
    };
    Ok(SessionAsk {
        server: text(fields.server, "server")?,
        address: address(&fields)?,
        directory,
        command: fields.command,
        scope,
        workspace,
        pass: fields.pass,
        join,
        resume,
        env: fields.env,
    })
}

fn address(fields: &Fields<'_>) -> Result<Option<Box<Address>>, PrefaceError> {
    if fields.url.is_none() && fields.ask != Some(AT_ADDRESS) {
        return Ok(None);
    }
    let header = |field: &&[u8]| {
        let (name, value) = fields::halves(field)?;
        let text = |bytes| str::from_utf8(bytes).ok().map(str::to_owned);
        Some((text(name)?, text(value)?))
    };
    let headers = fields.headers.iter().map(header).collect::<Option<_>>();
    Ok(Some(Box::new(Address {
        url: text(fields.url, "url")?,
        headers: headers.ok_or(PrefaceError::BadValue { key: "header" })?,
        ca_cert: match fields.ca_cert {
            Some(file) => Some(absolute(file, "ca_cert")?),
            None => None,
        },
    })))
}

fn admin(fields: &Fields<'_>) -> Result<AdminAsk, PrefaceError> {
    match require(fields.verb, "verb")? {
        b"status" => Ok(AdminAsk::Status),
        b"stop" => Ok(AdminAsk::Stop),
        b"upgrade" => Ok(AdminAsk::Upgrade),
        b"restart" => Ok(AdminAsk::Restart {
            server: text(fields.server, "server")?,
            wait: match fields.wait {
                None => Duration::ZERO,
                Some(seconds) => number(seconds)
                    .map(Duration::from_secs)
                    .ok_or(PrefaceError::BadValue { key: "wait" })?,
            },
        }),
        _ => Err(PrefaceError::BadValue { key: "verb" }),
    }
}

fn require<'body>(
    value: Option<&'body [u8]>,
    key: &'static str,
) -> Result<&'body [u8], PrefaceError> {
    value.ok_or(PrefaceError::Missing { key })
}

fn text(value: Option<&[u8]>, key: &'static str) -> Result<String, PrefaceError> {
    str::from_utf8(require(value, key)?)
        .map(str::to_owned)
        .map_err(|_| PrefaceError::BadValue { key })
}

fn absolute(value: &[u8], key: &'static str) -> Result<PathBuf, PrefaceError> {
    let path = PathBuf::from(os_string(value));
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(PrefaceError::BadValue { key })
    }
}

fn octal(value: &[u8]) -> Result<u32, PrefaceError> {
    str::from_utf8(value)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 8).ok())
        .filter(|umask| *umask <= 0o777)
        .ok_or(PrefaceError::BadValue { key: "umask" })
}
