//! What a session is told that has to run its configured server itself.
//!
//! **Invariant:** it is what a daemon would have started for this session, and nothing is written,
//! locked or started to find it out.

use std::{env, path::Path};

use config::OnDaemonFailure as Configured;
use mux::SessionId;
use shim::{direct::OnDaemonFailure, places::Places, preface::SessionAsk, recipe::Recipe};

use super::{Asker, Launcher, Means};
use crate::{
    configuration::Configuration,
    front::{Freedom, Over},
    serve::home_folder,
};

/// How a session with this ask, in this folder, runs its server itself; or why it cannot, for a person.
/// What it was told to do without a daemon comes before what the configuration says.
pub fn recipe(
    places: &Places,
    ask: &SessionAsk,
    cwd: &Path,
    said: Option<OnDaemonFailure>,
) -> Result<Recipe, String> {
    let configuration = Configuration::read(places.config.clone());
    let mut launcher = Launcher::new(configuration, home_folder(), env::vars_os().collect());
    launcher.recipe(ask, cwd, said)
}

impl Launcher {
    pub(super) fn recipe(
        &mut self,
        ask: &SessionAsk,
        cwd: &Path,
        said: Option<OnDaemonFailure>,
    ) -> Result<Recipe, String> {
        let is_error = match said {
            Some(choice) => choice == OnDaemonFailure::Error,
            None => self.is_never_run_outside(&ask.server),
        };
        if is_error {
            let why = "the configuration says so, by `on_daemon_failure = \"error\"`";
            return Err(why.to_owned());
        }
        let launch = self.planner().open(&Asker {
            // It is the only one that asks us.
            session: SessionId(1),
            ask,
            cwd,
            // The session's own, which its server inherits.
            umask: 0,
            // Whoever asks starts it itself, with no more rights than it has.
            freedom: Freedom::AsFree,
            over: Over::Preface,
            session_key: None,
        });
        let spec = match launch.means? {
            Means::Process(spec) => spec,
            Means::Remote(remote) => {
                let (server, place) = (&ask.server, remote.shown());
                return Err(format!(
                    "`{server}` runs at {place}, which only a daemon can reach"
                ));
            }
        };
        Ok(Recipe {
            lock: launch.lock,
            program: spec.program.clone(),
            arguments: spec.arguments.clone(),
            environment: spec.environment.clone().into_iter().collect(),
            directory: spec.directory.clone(),
        })
    }

    /// Whether the configuration has nobody but a daemon run it.
    fn is_never_run_outside(&self, server: &str) -> bool {
        let server = self.configuration.current().servers.get(server);
        server.is_some_and(|server| server.on_daemon_failure == Configured::Error)
    }
}
