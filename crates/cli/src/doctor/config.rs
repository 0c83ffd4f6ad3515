//! The configuration file: whether it can be used as it is now.

use config::Config;
use shim::places::Places;

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::config_file;

/// What it says, or what is wrong with it.
pub(super) fn load(places: &Places) -> Result<Config, String> {
    let text = config_file::read(&places.config).map_err(|error| format!("{error:#}"))?;
    config::load(&text, &places.config).map_err(|error| error.to_string())
}

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let Err(error) = &patient.config else {
        return Vec::new();
    };
    let next = format!(
        "mend it in {}; until then the daemon goes on with what it said before",
        patient.places.config.display()
    );
    vec![Finding::problem(Check::Config, error).next(next)]
}
