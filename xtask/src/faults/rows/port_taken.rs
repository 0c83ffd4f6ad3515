//! The port for HTTP is taken by another program.

use std::{
    io::ErrorKind,
    net::TcpListener,
    process,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[21],
    fault: "the port is another's",
    short: 3,
    play,
};

/// Longest from the start of a session's process to its greeting, the start of the daemon included.
const READY_WITHIN: Duration = Duration::from_secs(1);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let (mut named, mut served, mut taken_over, mut heard) = (0, 0, 0, 0);
    let mut times = Vec::new();
    for _ in 0..rounds {
        // The system gives a port that nobody has.
        let holder = TcpListener::bind("127.0.0.1:0")?;
        holder.set_nonblocking(true)?;
        let address = holder.local_addr()?.to_string();
        home.configure(&format!(
            "[http]\nlisten = [\"{address}\"]\n{}",
            home.fake_server("fake", &[], "")
        ))?;

        let begun = Instant::now();
        let mut session = home.session("fake")?;
        times.push(begun.elapsed());
        let (answer, _time) = session.call("echo", json!({}))?;
        served += u64::from(answer.get("result").is_some());

        let http = http_of(&home)?;
        let trouble = http["trouble"].as_str().unwrap_or_default();
        let is_named = [address.clone(), format!("process {}", process::id())]
            .iter()
            .all(|words| trouble.contains(&**words));
        let page = home.done(&["status"])?;
        if is_named && http["addresses"] == json!([]) && page.contains(trouble) {
            named += 1;
        } else {
            shown.tell(format!("`status` says {http} and {page}"));
        }
        // Nobody comes to it by mistake, and with what a client has to show.
        heard += callers(&holder)?;

        // The next daemon has the port once it is free.
        session.close()?;
        home.done(&["stop"])?;
        drop(holder);
        let session = home.session("fake")?;
        let http = http_of(&home)?;
        if http["addresses"] == json!([address]) && http["trouble"].is_null() {
            taken_over += 1;
        } else {
            shown.tell(format!("with the port free, `status` says {http}"));
        }
        session.close()?;
        home.done(&["stop"])?;
    }
    let all = u64::from(rounds);
    shown.all("holder named in `status`", named, all);
    shown.all("sessions over stdio served", served, all);
    shown.within(
        "ready after, longest",
        percentile(&times, 100),
        READY_WITHIN,
    );
    shown.at_most("connections to the holder", heard, 0);
    shown.all("listened there once it was free", taken_over, all);
    home.end()?.show(shown);
    Ok(())
}

fn http_of(home: &Home<'_>) -> anyhow::Result<Value> {
    Ok(home.status()?["daemon"]["http"].clone())
}

/// How many have connected to a listener that does not wait.
fn callers(holder: &TcpListener) -> anyhow::Result<u64> {
    let mut count = 0;
    loop {
        match holder.accept() {
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(count),
            Err(error) => return Err(error.into()),
        }
    }
}
