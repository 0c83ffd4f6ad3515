//! What a shim asks that has to run its configured server itself: how that is done.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::bail;
use shim::{
    arguments::{self, Parsed},
    connect::{ask_of, said_choice},
    places::Places,
};

use crate::{exit::Exit, ui::Ui};

/// Says it of the session for which `mcpool connect` was given these words, and which is our parent: its
/// folder and environment are ours. It is said as it is, with every secret of the server in it, so this is
/// no verb for people.
pub(crate) fn run(words: Vec<OsString>, ui: &mut Ui) -> anyhow::Result<Exit> {
    let connect = match arguments::parse(words.into_iter())? {
        Parsed::Connect(connect) => connect,
        Parsed::Help => bail!("it is no session that asks"),
    };
    let places = Places::find(connect.home.as_deref())?;
    let choice = said_choice(connect.on_daemon_failure)?;
    let mut ask = ask_of(connect)?;
    ask.env = env::vars_os().collect();
    // A folder that was removed under us has no name any more.
    let cwd = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let recipe = daemon::recipe(&places, &ask, &cwd, choice).map_err(anyhow::Error::msg)?;
    ui.write(&recipe.encode()?)?;
    Ok(Exit::Done)
}
