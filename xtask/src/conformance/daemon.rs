//! The daemon that the suites talk to, and other clients, in a home of its own.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, ensure};

use super::version::Fixture;
use crate::matrix::pool::Pool;

/// A daemon that listens over HTTP, with both servers configured.
pub(crate) struct Daemon {
    pool: Pool,
    address: String,
}

impl Daemon {
    /// `settings` are lines of TOML for each server.
    pub(crate) fn start(
        mcpool: &Path,
        server: &Path,
        settings: &str,
        folder: &Path,
    ) -> anyhow::Result<Daemon> {
        let pool = Pool::new(mcpool, folder)?;
        // A port that is free, and every session with one process, if its client can do the same.
        let mut text = "[http]\nlisten = [\"127.0.0.1:0\"]\n".to_owned();
        for fixture in [Fixture::Legacy, Fixture::Modern] {
            let name = fixture.name();
            let command = server.display();
            // Writing to memory cannot fail.
            let _infallible = write!(
                text,
                "\n[servers.{name}]\ncommand = '{command}'\nargs = [\"{name}\"]\nscope = \"global\"\n{settings}\n"
            );
        }
        fs::write(pool.home().join("config.toml"), text).context("writing the configuration")?;
        // Whoever lists something starts the daemon, and waits until it listens.
        pool.done(["tools", Fixture::Legacy.name()])?;
        let status = pool.status()?;
        let address = status.value()["daemon"]["http"]["addresses"][0].as_str();
        let address = address.with_context(|| format!("nothing listens over HTTP: {status}"))?;
        Ok(Daemon {
            address: address.to_owned(),
            pool,
        })
    }

    /// Where a server is.
    pub(crate) fn url(&self, fixture: Fixture) -> String {
        self.url_of(fixture.name())
    }

    /// Where a server of that name is, or would be.
    pub(crate) fn url_of(&self, name: &str) -> String {
        format!("http://{}/mcp/{name}", self.address)
    }

    /// `MCPOOL_HOME`.
    pub(crate) fn home(&self) -> &Path {
        self.pool.home()
    }

    /// Stops it; its books must be clean, and no server may have had two processes for the same class.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        let status = self.pool.status()?;
        let mut seen = BTreeSet::new();
        for upstream in status.value()["upstreams"].as_array().into_iter().flatten() {
            let key = format!("{} {}", upstream["server"], upstream["class"]);
            ensure!(
                seen.insert(key),
                "two processes where one would do: {status}"
            );
        }
        self.pool.stop()
    }
}
