//! What a soak has shown.

use std::{
    fmt::Write as _,
    sync::{PoisonError, atomic::Ordering},
};

use super::{
    Args, Ended,
    faults::Class,
    record::{self, Fates, Words},
    shared::{Counts, Shared},
};

/// Memory that the daemon may keep after a soak beyond what it had at the beginning, in KiB: buffers that
/// once were large, and what its allocator holds on to.
const MEMORY_MORE_KB: u64 = 16 << 10;

/// The figures and the verdict.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    clients: u16,
    messages: u64,
    counts: Counts,
    words: Words,
    crashes: u32,
    ended: Ended,
    /// What the daemon's books say, if it kept any.
    books: Option<String>,
    verdict: Vec<(Class, usize)>,
    told: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        args: &Args,
        shared: &Shared,
        ended: Ended,
        books: Option<String>,
    ) -> anyhow::Result<Report> {
        let records = shared
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let counts = shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let fates = Fates {
            alive: &ended.last.servers,
            daemons_killed: 0,
        };
        let words = record::compare(&records, &shared.ledgers(), fates, &shared.faults)?;
        judge(&ended, shared);
        let crashes = shared
            .servers
            .iter()
            .map(|server| server.crashes.load(Ordering::Acquire));
        Ok(Report {
            seed: args.seed,
            clients: args.clients,
            messages: shared.messages.load(Ordering::Relaxed),
            counts: counts.clone(),
            words,
            crashes: crashes.sum(),
            ended,
            books,
            verdict: Class::ALL
                .map(|class| (class, shared.faults.count(class)))
                .into(),
            told: shared.faults.told(),
        })
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.iter().all(|(_, count)| *count == 0)
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to memory cannot fail.
        let _infallible = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\nseen by clients:")?;
        for (kind, count) in &self.counts {
            writeln!(text, "{count:>12}  {kind}")?;
        }
        writeln!(text, "in the servers' ledgers:")?;
        for (word, count) in &self.words {
            writeln!(text, "{count:>12}  {word}")?;
        }
        let (first, last) = (&self.ended.first, &self.ended.last);
        writeln!(
            text,
            "messages of servers that went to nobody, by the daemon's count:"
        )?;
        for (reason, count) in &last.dropped {
            writeln!(text, "{count:>12}  {reason}")?;
        }
        for told in &self.told {
            writeln!(text, "FAULT {told}")?;
        }
        writeln!(
            text,
            "daemon at rest, at first and at last: memory {:.1} and {:.1} MiB (peak {:.1}), {} and {} files, {} and {} threads, {} requests left",
            mebibytes(first.memory_kb),
            mebibytes(last.memory_kb),
            mebibytes(last.peak_kb),
            first.files,
            last.files,
            first.threads,
            last.threads,
            last.in_flight,
        )?;
        let books = self.books.as_deref().unwrap_or("none were kept");
        writeln!(text, "books of the daemon: {books}")?;
        let verdict: Vec<String> = self
            .verdict
            .iter()
            .map(|(class, count)| format!("{count} {}", class.name()))
            .collect();
        let seconds = self.ended.took.as_secs_f64();
        let rate = count(self.messages) / seconds;
        write!(
            text,
            "soak with seed {}, {} clients, {} crashes: {} messages in {seconds:.1} s ({rate:.0}/s): {}",
            self.seed,
            self.clients,
            self.crashes,
            self.messages,
            verdict.join(", "),
        )
    }
}

/// Whether the daemon is as it was at the beginning.
fn judge(ended: &Ended, shared: &Shared) {
    let (first, last) = (&ended.first, &ended.last);
    let expect = |is_so: bool, what: String| {
        if !is_so {
            shared.faults.note(Class::Unexpected, what);
        }
    };
    expect(
        last.files <= first.files,
        format!(
            "the daemon has {} files open, not {}",
            last.files, first.files
        ),
    );
    expect(
        last.threads <= first.threads,
        format!(
            "the daemon has {} threads, not {}",
            last.threads, first.threads
        ),
    );
    expect(
        last.memory_kb <= first.memory_kb + MEMORY_MORE_KB,
        format!(
            "the daemon has {} KiB, not {}",
            last.memory_kb, first.memory_kb
        ),
    );
    expect(
        last.in_flight == 0,
        format!(
            "{} requests are open though all clients rest",
            last.in_flight
        ),
    );
    for kind in ["contradiction", "session-cut"] {
        let count = last.counts[kind].as_u64().unwrap_or(0);
        expect(count == 0, format!("{count} × {kind} in the daemon"));
    }
}

fn mebibytes(kibibytes: u64) -> f64 {
    count(kibibytes) / 1024.0
}

fn count(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
