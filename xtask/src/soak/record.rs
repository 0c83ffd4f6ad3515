//! What was sent, what became of it, and whether that is what the servers' ledgers say.
//!
//! The clients see misrouted and altered messages at once. Here is found what only both sides together
//! can tell: what was executed twice, or for nobody, or never though it was answered.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;

use super::{
    faults::{Class, Faults},
    words::Mark,
};

/// What kind of message a number was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call of a tool: executed once at most.
    Call,
    /// A question without an effect: it may be sent again when its server has died.
    Read,
    /// A notification to the server.
    Note,
    /// What the pooler may answer by itself.
    Errand,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing, so far; or it is a notification.
    Open,
    /// The process with this number answered it.
    Answered { pid: u32 },
    /// The pooler said no, and whether it may have been executed.
    Refused { maybe_executed: Option<bool> },
    /// Its owner cancelled it.
    Cancelled,
    /// Its owner cancelled it, and the answer was on its way.
    Crossed,
    /// Its owner was killed; it may have been answered before anybody could know.
    Orphaned,
    /// Its owner was killed while the server held it: nothing but a cancellation ends it.
    Abandoned,
}

/// One numbered message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    /// The process that had answered last when it was sent.
    pub(crate) after: u32,
}

/// All that one session sent, by number from 1.
#[derive(Debug, Default)]
pub(crate) struct Record(pub(crate) Vec<Sent>);

impl Record {
    /// Gives out a number.
    pub(crate) fn add(&mut self, kind: Kind, after: u32) -> u64 {
        self.0.push(Sent {
            kind,
            outcome: Outcome::Open,
            after,
        });
        self.0.len() as u64
    }

    pub(crate) fn set(&mut self, number: u64, outcome: Outcome) {
        if let Some(sent) = self.at(number) {
            sent.outcome = outcome;
        }
    }

    fn at(&mut self, number: u64) -> Option<&mut Sent> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.0.get_mut(index)
    }
}

/// All records, by client and generation.
pub(crate) type Records = BTreeMap<(u16, u16), Record>;

/// What the servers say of one message.
#[derive(Clone, Copy, Debug, Default)]
struct Deeds {
    executions: u32,
    /// The processes of the first two executions, in no order; 0 is none.
    by: [u32; 2],
    cancellations: u32,
}

impl Deeds {
    fn execute(&mut self, pid: u32) {
        let [first, second] = &mut self.by;
        match self.executions {
            0 => *first = pid,
            1 => *second = pid,
            _more => {}
        }
        self.executions += 1;
    }

    /// Whether the process that executed it first did so again, and not another in its place.
    fn was_repeated_in_place(&self) -> bool {
        let [first, second] = self.by;
        self.executions > 1 && first == second
    }
}

/// How often each word stands in the ledgers.
pub(crate) type Words = BTreeMap<String, u64>;

/// What a server notes of the end that the next daemon puts to a line that the last one had begun.
const TORN_LINE: &str = "wrong a line that is no message";

/// What is known of those who answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fates<'a> {
    /// The processes that never crashed.
    pub(crate) alive: &'a [u32],
    /// How many daemons were killed. The next one ends a line at each server, and asks again what
    /// changes nothing, also the process that has heard it already.
    pub(crate) daemons_killed: u64,
}

/// Compares all records with all ledgers.
pub(crate) fn compare(
    records: &Records,
    ledgers: &Path,
    fates: Fates<'_>,
    faults: &Faults,
) -> anyhow::Result<Words> {
    let mut words = Words::new();
    let mut deeds: BTreeMap<(u16, u16), Vec<Deeds>> = records
        .iter()
        .map(|(session, record)| (*session, vec![Deeds::default(); record.0.len()]))
        .collect();
    for entry in fs::read_dir(ledgers).context("listing the ledgers")? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_string_lossy().parse().context("a ledger's name")?;
        let text = fs::read_to_string(entry.path()).context("reading a ledger")?;
        let mut excused = fates.daemons_killed;
        for line in text.lines() {
            let word = line.split(' ').next().unwrap_or_default();
            *words.entry(word.to_owned()).or_default() += 1;
            if line == TORN_LINE && excused > 0 {
                excused -= 1;
            } else if !enter(&mut deeds, pid, line) {
                faults.note(Class::Misrouted, format!("server {pid}: {line}"));
            }
        }
    }
    for ((client, generation), record) in records {
        let Some(deeds) = deeds.get(&(*client, *generation)) else {
            continue;
        };
        for (number, (sent, done)) in (1..).zip(record.0.iter().zip(deeds)) {
            let mark = Mark {
                client: *client,
                generation: *generation,
                number,
            };
            judge(mark, *sent, *done, fates, faults);
        }
        notes_arrived(record, deeds, (*client, *generation), faults);
    }
    Ok(words)
}

/// Takes in one line of a ledger; `false` if it tells of something that must not be.
fn enter(deeds: &mut BTreeMap<(u16, u16), Vec<Deeds>>, pid: u32, line: &str) -> bool {
    let mut parts = line.split(' ');
    let word = parts.next().unwrap_or_default();
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (Some(client), Some(generation), Some(number)) = (number(), number(), number()) else {
        return false;
    };
    let session = u16::try_from(client)
        .ok()
        .zip(u16::try_from(generation).ok());
    let known = session
        .and_then(|session| deeds.get_mut(&session))
        .zip(usize::try_from(number).ok())
        .and_then(|(deeds, number)| deeds.get_mut(number.checked_sub(1)?));
    let Some(known) = known else {
        return false;
    };
    match word {
        "call" | "read" | "note" => known.execute(pid),
        "cancelled" => known.cancellations += 1,
        _detail => {}
    }
    true
}

fn judge(mark: Mark, sent: Sent, done: Deeds, fates: Fates<'_>, faults: &Faults) {
    let Deeds {
        executions,
        by: processes,
        cancellations,
    } = done;
    let most = match sent.kind {
        Kind::Call | Kind::Note => 1,
        Kind::Read => 2,
        // It may be left out, or made again for a new process.
        Kind::Errand => return,
    };
    if executions > most {
        faults.note(
            Class::Duplicated,
            format!("{mark} was executed {executions} times"),
        );
    } else if done.was_repeated_in_place() && fates.daemons_killed == 0 {
        // Only another process, after the first has died, may be asked again.
        let [pid, _again] = processes;
        faults.note(
            Class::Duplicated,
            format!("{mark} was executed twice by {pid}"),
        );
    }
    match sent.outcome {
        Outcome::Answered { pid: by } if executions == 0 || !processes.contains(&by) => {
            faults.note(
                Class::Misrouted,
                format!(
                    "{mark} was answered by {by}, executed by {}",
                    told(processes)
                ),
            );
        }
        Outcome::Refused {
            maybe_executed: Some(false),
        } if executions > 0 => {
            faults.note(
                Class::Duplicated,
                format!("{mark} was refused as not executed, and was"),
            );
        }
        Outcome::Cancelled | Outcome::Abandoned
            if cancellations == 0 && processes.iter().any(|pid| fates.alive.contains(pid)) =>
        {
            faults.note(Class::Lost, format!("the cancellation of {mark}"));
        }
        Outcome::Open if sent.kind != Kind::Note => {
            faults.note(Class::Lost, format!("{mark} had no outcome"));
        }
        Outcome::Answered { .. } | Outcome::Refused { .. } if cancellations > 0 => {
            faults.note(
                Class::Misrouted,
                format!("{mark} was cancelled by somebody else"),
            );
        }
        Outcome::Answered { .. }
        | Outcome::Refused { .. }
        | Outcome::Cancelled
        | Outcome::Crossed
        | Outcome::Orphaned
        | Outcome::Abandoned
        | Outcome::Open => {}
    }
}

/// The processes that executed something, for a person.
fn told(processes: [u32; 2]) -> String {
    match processes {
        [0, _none] => "nobody".to_owned(),
        [one, 0] => one.to_string(),
        [one, other] => format!("{one} and {other}"),
    }
}

/// Notes that were sent after an answer of a process, and before a call that the same process answered.
fn notes_arrived(record: &Record, deeds: &[Deeds], session: (u16, u16), faults: &Faults) {
    let mut next_call = 0;
    for (index, sent) in record.0.iter().enumerate().rev() {
        match (sent.kind, sent.outcome) {
            (Kind::Call, Outcome::Answered { pid }) => next_call = pid,
            (Kind::Note, _) if sent.after == next_call && next_call != 0 => {
                if deeds.get(index).is_none_or(|deeds| deeds.executions == 0) {
                    let number = index + 1;
                    faults.note(Class::Lost, format!("note {number} of {session:?}"));
                }
            }
            (Kind::Call | Kind::Read | Kind::Note | Kind::Errand, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: (u16, u16) = (1, 0);

    fn sent(kind: Kind, outcome: Outcome) -> Sent {
        Sent {
            kind,
            outcome,
            after: 7,
        }
    }

    /// What is found when Alice sent these, and server 7, which lives, wrote this.
    fn found(sent: &[Sent], ledger: &str) -> Vec<String> {
        found_of_two(sent, "", ledger)
    }

    /// The same, with what server 6 wrote before it died.
    fn found_of_two(sent: &[Sent], before: &str, ledger: &str) -> Vec<String> {
        found_after(0, sent, before, ledger)
    }

    /// The same, when so many daemons were killed.
    fn found_after(daemons_killed: u64, sent: &[Sent], before: &str, ledger: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("6"), before).unwrap();
        fs::write(folder.path().join("7"), ledger).unwrap();
        let records = Records::from([(ALICE, Record(sent.to_vec()))]);
        let faults = Faults::default();
        let fates = Fates {
            alive: &[7],
            daemons_killed,
        };
        compare(&records, folder.path(), fates, &faults).unwrap();
        faults.told()
    }

    const CALLED: Sent = Sent {
        kind: Kind::Call,
        outcome: Outcome::Answered { pid: 7 },
        after: 7,
    };

    #[test]
    fn what_was_executed_once_by_whom_it_was_answered_is_in_order() {
        assert_eq!(found(&[CALLED], "call 1 0 1\n"), [""; 0]);
    }

    #[test]
    fn a_call_that_was_executed_twice_is_found() {
        let twice = found(&[CALLED], "call 1 0 1\ncall 1 0 1\n");
        assert_eq!(twice, ["duplicated: [1,0,1] was executed 2 times"]);
        let twice = found_of_two(&[CALLED], "call 1 0 1\n", "call 1 0 1\n");
        assert_eq!(twice, ["duplicated: [1,0,1] was executed 2 times"]);
    }

    #[test]
    fn a_question_may_be_executed_by_two_processes_and_by_none_of_them_twice() {
        for pid in [6, 7] {
            let read = sent(Kind::Read, Outcome::Answered { pid });
            let ledger = "read 1 0 1\n";
            assert_eq!(found_of_two(&[read], ledger, ledger), [""; 0]);
        }
        let read = sent(Kind::Read, CALLED.outcome);
        assert_eq!(
            found(&[read], "read 1 0 1\nread 1 0 1\n"),
            ["duplicated: [1,0,1] was executed twice by 7"]
        );
        let elsewhere = sent(Kind::Read, Outcome::Answered { pid: 5 });
        let told = found_of_two(&[elsewhere], "read 1 0 1\n", "read 1 0 1\n");
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn the_death_of_a_daemon_excuses_a_torn_line_and_a_question_that_is_asked_again() {
        let read = sent(Kind::Read, CALLED.outcome);
        let ledger = format!("read 1 0 1\n{TORN_LINE}\nread 1 0 1\n");
        assert_eq!(found_after(1, &[read], "", &ledger), [""; 0]);
        assert_eq!(found_after(0, &[read], "", &ledger).len(), 2);
        let two_lines = format!("{TORN_LINE}\n{ledger}");
        assert_eq!(found_after(1, &[read], "", &two_lines).len(), 1);
        let called = found_after(1, &[CALLED], "", "call 1 0 1\ncall 1 0 1\n");
        assert_eq!(called, ["duplicated: [1,0,1] was executed 2 times"]);
    }

    #[test]
    fn what_was_executed_for_nobody_and_what_was_answered_by_nobody_are_found() {
        assert_eq!(
            found(&[CALLED], "call 1 0 2\n"),
            [
                "misrouted: server 7: call 1 0 2",
                "misrouted: [1,0,1] was answered by 7, executed by nobody"
            ]
        );
    }

    #[test]
    fn an_effect_that_was_denied_is_found() {
        let refused = sent(
            Kind::Call,
            Outcome::Refused {
                maybe_executed: Some(false),
            },
        );
        assert_eq!(found(&[refused], ""), [""; 0]);
        assert_eq!(
            found(&[refused], "call 1 0 1\n"),
            ["duplicated: [1,0,1] was refused as not executed, and was"]
        );
    }

    #[test]
    fn a_note_between_two_answers_of_one_process_must_have_arrived() {
        let note = sent(Kind::Note, Outcome::Open);
        let ledger = "call 1 0 1\ncall 1 0 3\n";
        let record = [CALLED, note, CALLED];
        assert_eq!(found(&record, ledger), ["lost: note 2 of (1, 0)"]);
        assert_eq!(found(&record, &format!("{ledger}note 1 0 2\n")), [""; 0]);
    }

    #[test]
    fn a_cancellation_reaches_a_server_that_lives_and_meets_what_was_cancelled_only() {
        let cancelled = sent(Kind::Call, Outcome::Cancelled);
        let ledger = "call 1 0 1\n";
        assert_eq!(
            found(&[cancelled], ledger),
            ["lost: the cancellation of [1,0,1]"]
        );
        let abandoned = sent(Kind::Call, Outcome::Abandoned);
        assert_eq!(
            found(&[abandoned], ledger),
            ["lost: the cancellation of [1,0,1]"]
        );
        assert_eq!(found(&[abandoned], ""), [""; 0]);
        let orphaned = sent(Kind::Call, Outcome::Orphaned);
        assert_eq!(found(&[orphaned], ledger), [""; 0]);
        let told = format!("{ledger}cancelled 1 0 1\n");
        assert_eq!(found(&[abandoned], &told), [""; 0]);
        assert_eq!(found(&[cancelled], &told), [""; 0]);
        assert_eq!(
            found(&[CALLED], &told),
            ["misrouted: [1,0,1] was cancelled by somebody else"]
        );
    }
}
