//! The verbs, one file each.

pub(crate) mod add;
pub(crate) mod advise;
pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod doctor;
pub(crate) mod hook;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod profile;
pub(crate) mod recipe;
pub(crate) mod remove;
pub(crate) mod restart;
pub(crate) mod sample_server;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod token;
pub(crate) mod tools;
pub(crate) mod r#try;
pub(crate) mod undo;
pub(crate) mod upgrade;

use std::path::Path;

use shim::places::Places;

use crate::{
    args::{Cli, Command},
    exit::Exit,
    ui::Ui,
};

/// Executes one verb.
pub(crate) fn run(cli: Cli, ui: &mut Ui) -> anyhow::Result<Exit> {
    let home = cli.home.as_deref();
    match cli.command {
        Command::Connect(_) => connect::run(home),
        Command::Hook(_) => hook::run(home),
        Command::Add(args) => add::run(&args, &places(home)?, ui),
        Command::Remove(args) => remove::run(&args, &places(home)?, ui),
        Command::List(args) => list::run(&args, &places(home)?, ui),
        Command::Status(args) => status::run(&args, &places(home)?, ui),
        Command::Tools(args) => tools::run(&args, &places(home)?, ui),
        Command::Call(args) => call::run(&args, &places(home)?, ui),
        Command::Logs(args) => logs::run(&args, &places(home)?, ui),
        Command::Restart(args) => restart::run(&args, &places(home)?, ui),
        Command::Stop(args) => stop::run(&args, &places(home)?, ui),
        Command::Token(args) => token::run(&args, &places(home)?, ui),
        Command::Import(args) => import::run(&args, &places(home)?, ui),
        Command::Undo(args) => undo::run(&args, &places(home)?, ui),
        Command::Upgrade(args) => upgrade::run(&args, &places(home)?, ui),
        Command::Service(args) => service::run(&args, places(home)?, ui),
        Command::Serve(args) => serve::run(&args, places(home)?, ui),
        Command::Advise(args) => advise::run(&args, &places(home)?, ui),
        Command::Doctor(args) => doctor::run(&args, home, ui),
        Command::Try(args) => r#try::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
        Command::SampleServer(args) => sample_server::run(&args),
    }
}

fn places(home: Option<&Path>) -> anyhow::Result<Places> {
    Ok(Places::find(home)?)
}
