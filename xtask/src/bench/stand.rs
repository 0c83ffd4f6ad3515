//! What can be called over a socket: mcpool, or the bare endpoint that it is measured against.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

use super::{
    caller::Front,
    session::Session,
    setup::{Pool, Setup},
};

/// Somebody who listens for as long as this is there.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    pub(crate) address: SocketAddr,
    host: Host<'a>,
}

#[derive(Debug)]
enum Host<'a> {
    Bare(Child),
    Mcpool(Pool<'a>),
}

impl<'a> Stand<'a> {
    /// The floor. It answers each message itself, so it has no server behind it.
    pub(crate) fn bare(setup: &Setup, front: Front) -> anyhow::Result<Stand<'a>> {
        let mut command = Command::new(&setup.bare_endpoint);
        command.arg(match front {
            Front::Http => "http",
            Front::WebSocket => "ws",
        });
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let output = child.stdout.take();
        let mut stand = Stand {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            host: Host::Bare(child),
        };
        let mut line = String::new();
        BufReader::new(output.context("a piped standard output is there")?).read_line(&mut line)?;
        let address = line.trim_end().parse();
        stand.address = address.with_context(|| format!("{command:?} listens at {line:?}"))?;
        Ok(stand)
    }

    /// An mcpool that listens at a port that is free, with one server for all.
    pub(crate) fn mcpool(setup: &'a Setup) -> anyhow::Result<Stand<'a>> {
        let pool = setup.pool();
        let server = setup.echo_server.display();
        let text = format!(
            "[http]\nlisten = [\"127.0.0.1:0\"]\n\n[servers.echo]\ncommand = '{server}'\nscope = \"global\"\n"
        );
        fs::create_dir(pool.home()).context("creating a home folder")?;
        fs::write(pool.home().join("config.toml"), text).context("writing the configuration")?;
        // The first session starts daemon and server, and both stay when it has ended.
        drop(Session::open(pool.command_for_configured("echo"))?);
        let address = pool.http_address()?;
        Ok(Stand {
            address,
            host: Host::Mcpool(pool),
        })
    }

    /// A session over a shim.
    pub(crate) fn command(&self) -> anyhow::Result<Command> {
        Ok(self.pool()?.command_for_configured("echo"))
    }

    /// The folder of its daemon.
    pub(crate) fn home(&self) -> anyhow::Result<&Path> {
        Ok(self.pool()?.home())
    }

    /// The process of the daemon.
    pub(crate) fn daemon(&self) -> anyhow::Result<u32> {
        self.pool()?.daemon()
    }

    fn pool(&self) -> anyhow::Result<&Pool<'a>> {
        match &self.host {
            Host::Bare(_) => anyhow::bail!("there is no mcpool here"),
            Host::Mcpool(pool) => Ok(pool),
        }
    }
}

impl Drop for Stand<'_> {
    fn drop(&mut self) {
        if let Host::Bare(child) = &mut self.host {
            let _ = child.kill(); // It may have ended already.
            let _ = child.wait();
        }
    }
}
