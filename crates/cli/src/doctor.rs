//! Everything that commonly goes wrong, looked for, and what to do about it.
//!
//! A check is a file: it looks, and says what it found. None starts or stops anything; what is changed at
//! all is changed by [`finding::Mend`], on the user's word, and can be changed back.

mod addresses;
mod clients;
mod config;
mod daemon;
mod duplicates;
mod finding;
mod folders;
mod paths;
mod ports;
mod programs;
mod render;
mod servers;
mod trust;

use ::config::Config;
use ::daemon::admin::Status;
use shim::places::Places;

use crate::survey::{Known, Survey};

pub(crate) use finding::Report;

/// Whose places are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installation {
    /// The one that clients mean who name none.
    Usual,
    /// One that `--home` has named: clients who name none mean another.
    Named,
}

/// What the checks look at.
struct Patient<'a> {
    places: &'a Places,
    installation: Installation,
    /// What is wrong with the configuration, or what it says.
    config: Result<Config, String>,
    /// What the daemon says of itself and its servers; `None` if it does not run, or does not answer.
    status: Option<Status>,
    /// The agents of this user; `None` where the system shows none.
    survey: Option<Survey>,
}

/// Looks at everything.
pub(crate) fn examine(places: &Places, installation: Installation) -> Report {
    let config = config::load(places);
    let (status, mut findings) = daemon::ask(places);
    let known = config.as_ref().map(Known::of).unwrap_or_default();
    let census = crate::survey::take().ok();
    let known = known.and_of_clients(census.as_ref());
    let survey = census.map(|census| Survey::of(&census, &known));
    let patient = Patient {
        places,
        installation,
        config,
        status,
        survey,
    };
    for check in [
        folders::check,
        config::check,
        clients::check,
        trust::check,
        daemon::check,
        programs::check,
        ports::check,
        addresses::check,
        paths::check,
        servers::check,
        duplicates::check,
    ] {
        findings.extend(check(&patient));
    }
    Report::of(findings)
}
