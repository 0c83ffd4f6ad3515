//! From the text of a configuration file to a [`Config`], or to the first error.
//!
//! **Invariant:** every key is either understood or an error; nothing that a
//! user wrote is passed over in silence. Of several errors the one nearest the
//! top of the file is reported, so mending a file goes from top to bottom.

mod calls;
mod daemon;
mod durations;
mod error;
mod http;
mod limits;
mod reader;
mod remote;
mod server;
mod words;

use std::path::Path;

use toml_edit::Document;

pub use error::LoadError;
pub(crate) use http::address_of_server;
pub use remote::{SCHEMES, unfit_header};

use crate::{Config, ServerName};
use reader::{Entry, Reader, entries};

const TOP_KEYS: &[&str] = &["servers", "limits", "daemon", "http"];

/// Reads a whole configuration file.
///
/// `file` is only a name, for messages; the caller has read `text` from it.
pub fn load(text: &str, file: &Path) -> Result<Config, LoadError> {
    let document = parse(text, file)?;
    let mut reader = Reader::new(text, file);
    let config = read(&mut reader, &document);
    http::check_servers(&mut reader, &document);
    reader.finish(config)
}

/// Reads a file to which servers may yet be added: [`load`], but for addresses of servers that are not there.
pub fn load_unfinished(text: &str, file: &Path) -> Result<Config, LoadError> {
    let document = parse(text, file)?;
    let mut reader = Reader::new(text, file);
    let config = read(&mut reader, &document);
    reader.finish(config)
}

fn read(reader: &mut Reader<'_>, document: &Document<&str>) -> Config {
    let mut config = Config::default();
    for entry in entries(document.as_table(), "") {
        match entry.name {
            "servers" => read_servers(reader, &entry, &mut config),
            "limits" => limits::read(reader, &entry, &mut config.limits),
            "daemon" => daemon::read(reader, &entry, &mut config.daemon),
            "http" => http::read(reader, &entry, &mut config.http),
            _ => reader.unknown_key(&entry, TOP_KEYS),
        }
    }
    config
}

/// Reads a file only as TOML, whatever its keys mean.
pub(crate) fn parse<'t>(text: &'t str, file: &Path) -> Result<Document<&'t str>, LoadError> {
    Document::parse(text).map_err(|error| Reader::new(text, file).syntax_error(&error))
}

fn read_servers(reader: &mut Reader<'_>, entry: &Entry<'_>, config: &mut Config) {
    let Some(table) = reader.table(entry) else {
        return;
    };
    for entry in entries(table, &entry.path) {
        match entry.name.parse::<ServerName>() {
            Ok(name) => {
                if let Some(server) = server::read(reader, &entry) {
                    config.servers.insert(name, server);
                }
            }
            Err(error) => reader.fault(entry.key_offset, &entry.path, error.to_string(), None),
        }
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
