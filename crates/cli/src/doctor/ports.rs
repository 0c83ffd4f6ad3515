//! The addresses for clients over HTTP, and who has them.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

use daemon::port_holder;
use shim::lock;

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::{commands::status::elsewhere, service};

const NEXT: &str =
    "end that program, or say another address with `listen` in [http] and run: mcpool upgrade";

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    if let Some(status) = &patient.status {
        let http = status.daemon.as_ref().map(|daemon| &daemon.http);
        let next = http.and_then(|http| http.next.as_ref());
        let elsewhere = |next: &Vec<String>| Finding::note(Check::Ports, elsewhere(next));
        return match http.and_then(|http| http.trouble.as_ref()) {
            Some(trouble) => troubled(patient, trouble),
            None => next.map(elsewhere).into_iter().collect(),
        };
    }
    if !matches!(lock::holder(&patient.places.lock), Ok(None)) {
        // A daemon that does not answer may be there.
        return Vec::new();
    }
    taken(patient)
}

/// The daemon listens nowhere, and says why that was so when it began.
fn troubled(patient: &Patient<'_>, trouble: &str) -> Vec<Finding> {
    let taken = taken(patient);
    if !taken.is_empty() {
        return taken;
    }
    let what = format!("mcpool does not listen over HTTP: {trouble}");
    let next =
        "nobody has these addresses by now; if nothing else is in the way, run: mcpool upgrade";
    vec![Finding::problem(Check::Ports, what).next(next)]
}

/// The addresses of the configuration that somebody else has now.
fn taken(patient: &Patient<'_>) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return Vec::new();
    };
    let addresses = daemon::http_addresses(&config.http, patient.places);
    let taken = addresses.into_iter().filter(|address| {
        let bound = TcpListener::bind(address);
        bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    });
    let mut taken: Vec<SocketAddr> = taken.collect();
    if !taken.is_empty() {
        let for_the_daemon = service::listens(patient.places).unwrap_or_default();
        taken.retain(|address| !for_the_daemon.contains(address));
    }
    let tell = |address| {
        let holder = port_holder::name(address);
        let what =
            format!("{address}, where clients would come in over HTTP, is taken by {holder}");
        Finding::problem(Check::Ports, what).next(NEXT)
    };
    taken.into_iter().map(tell).collect()
}
