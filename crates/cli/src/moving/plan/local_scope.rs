//! What a person has before the file of a project: put there, kept as the file is, and taken away.

use std::path::Path;

use config::clients::{Approval, Change, Entry, Step, Way};

use super::{
    super::{
        shadow::{self, Candidate, Shadows, Standing},
        stale::{Now, Put},
    },
    Adopted, File, How, Left, Made, adopted,
};

const NOT_APPROVED: &str =
    "nobody has approved it in Claude Code; when it is approved there, it can be imported";
pub(super) const SWITCHED_OFF: &str = "it is switched off in Claude Code";
const OWN: &str = "version control has the project's file no more, so that is looked at itself";
const NO_MORE: &str = "the project's file has it no more";
const ANOTHER: &str =
    "the project's file has it in another way, in which it needs nothing before it";

impl File<'_> {
    /// Puts the servers of the project's file before it, in this file.
    pub(super) fn put_before(
        &self,
        shadows: &Shadows,
        entries: &[Entry],
        left: &mut Vec<Left>,
        changes: &mut Vec<(Made, Vec<Change>)>,
    ) {
        let there = shadows.there(&self.tree);
        let mut is_made = false;
        for candidate in shadows.candidates() {
            let name = &candidate.entry.name;
            let at = shadows.at(name);
            let is_there = entries.iter().any(|entry| entry.at == at);
            if !self.wish.wants(name) || is_there {
                continue;
            }
            let becomes = match self.before_the_file(shadows, &candidate) {
                Ok(becomes) => becomes,
                Err(reason) => {
                    left.push(Left {
                        name: name.clone(),
                        project: Some(shadows.project.clone()),
                        reason,
                    });
                    continue;
                }
            };
            // What holds it is made once.
            let holder = if is_made { at.len() - 1 } else { there };
            let value = shadow::nested(&at[holder + 1..], candidate.through(&becomes));
            let Step::Key(key) = &at[holder] else {
                continue;
            };
            let change = Change::Put {
                at: at[..holder].to_vec(),
                key: key.clone(),
                value,
            };
            let made = (holder < at.len() - 1).then(|| at[..=holder].to_vec());
            is_made = true;
            let adopted = put(&candidate, shadows, at, becomes, made);
            changes.push((Made::Adopted(adopted), vec![change]));
        }
    }

    /// Has what import has put before the project's file say what that says by now, or takes it away.
    pub(super) fn follow<'p>(
        &self,
        shadows: &Shadows,
        put_there: impl Iterator<Item = &'p Put>,
        entries: &[Entry],
        left: &mut Vec<Left>,
        changes: &mut Vec<(Made, Vec<Change>)>,
    ) {
        let project = Path::new(&shadows.project);
        for here in put_there.filter(|put| put.is_of(project)) {
            if !self.wish.wants(&here.server) {
                continue;
            }
            let Some((entry, now)) = here.looked_at(entries, &self.tree, shadows) else {
                continue;
            };
            let because = |reason: String| Left {
                name: here.server.clone(),
                project: entry.project.clone(),
                reason,
            };
            if let Standing::Unknown(why) = &shadows.standing {
                // Of one that the file has, it is said where that is looked at.
                if now == Now::Gone {
                    left.push(because(why.clone()));
                }
                continue;
            }
            let Some((Step::Key(key), holder)) = entry.at.split_last() else {
                continue;
            };
            let remove = Change::Remove {
                at: holder.to_vec(),
                key: key.clone(),
            };
            match self.again(shadows, &here.server, now) {
                Ok((candidate, becomes)) => {
                    let put_again = Change::Put {
                        at: holder.to_vec(),
                        key: key.clone(),
                        value: candidate.through(&becomes),
                    };
                    let adopted = put(&candidate, shadows, entry.at.clone(), becomes, None);
                    changes.push((Made::Adopted(adopted), vec![remove, put_again]));
                }
                Err(reason) => {
                    changes.push((Made::Withdrawn(because(reason)), vec![remove]));
                }
            }
        }
    }

    /// What is to be put there once more; else why nothing is.
    fn again<'s>(
        &self,
        shadows: &'s Shadows,
        name: &str,
        now: Now,
    ) -> Result<(Candidate<'s>, Vec<String>), String> {
        match now {
            Now::Gone => return Err(NO_MORE.to_owned()),
            Now::Own => return Err(OWN.to_owned()),
            Now::Changed | Now::Unwanted => {}
        }
        let theirs = shadows.entry(name);
        let candidate = theirs.and_then(|entry| shadows.candidate(entry));
        let candidate = candidate.ok_or(ANOTHER)?;
        let becomes = self.before_the_file(shadows, &candidate)?;
        Ok((candidate, becomes))
    }

    /// Its command line there; else why it is not put there.
    fn before_the_file(
        &self,
        shadows: &Shadows,
        candidate: &Candidate<'_>,
    ) -> Result<Vec<String>, String> {
        let (name, local) = (&candidate.entry.name, candidate.local);
        let becomes = self.means.callers.of_user.command_line(name, local);
        let way = Way::Command(&becomes);
        if let Some(reason) = self.kept_reason(self.policy, candidate.entry, local, way) {
            return Err(reason);
        }
        match shadows.approval(name, &self.tree) {
            Approval::Approved => Ok(becomes),
            Approval::Refused => Err(SWITCHED_OFF.to_owned()),
            Approval::Unanswered => Err(NOT_APPROVED.to_owned()),
        }
    }
}

fn put(
    candidate: &Candidate<'_>,
    shadows: &Shadows,
    at: Vec<Step>,
    becomes: Vec<String>,
    made: Option<Vec<Step>>,
) -> Adopted {
    Adopted {
        project: Some(shadows.project.clone()),
        at,
        becomes,
        how: How::Shadow { made },
        ..adopted(candidate.entry, candidate.local)
    }
}
