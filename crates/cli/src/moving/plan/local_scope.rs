//! What a person has before the file of a project: put there, kept as the file is, and taken away.

use config::clients::{self, Change, Entry, Step, Way};

use super::{
    super::{
        shadow::{self, Candidate, Shadows},
        stale::{Now, ProjectFile, Put},
    },
    Adopted, File, How, Left, Made, adopted,
};

const NOT_APPROVED: &str =
    "nobody has approved it in Claude Code; when it is approved there, it can be imported";
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
        put_there: impl Iterator<Item = &'p Put>,
        entries: &[Entry],
        changes: &mut Vec<(Made, Vec<Change>)>,
    ) {
        let machine = &self.means.policies.machine;
        let Some(project) = clients::Machine::project(machine) else {
            return;
        };
        let Some(project_file) = ProjectFile::read(&project) else {
            return;
        };
        for here in put_there.filter(|put| put.is_of(&project)) {
            let looked_at = here.looked_at(entries, &self.tree, &project_file);
            let Some((entry, now)) = looked_at.filter(|_| self.wish.wants(&here.server)) else {
                continue;
            };
            let Some((Step::Key(key), holder)) = entry.at.split_last() else {
                continue;
            };
            let remove = Change::Remove {
                at: holder.to_vec(),
                key: key.clone(),
            };
            match self.again(&here.server, now) {
                Ok((shadows, candidate, becomes)) => {
                    let put_again = Change::Put {
                        at: holder.to_vec(),
                        key: key.clone(),
                        value: candidate.through(&becomes),
                    };
                    let adopted = put(&candidate, shadows, entry.at.clone(), becomes, None);
                    changes.push((Made::Adopted(adopted), vec![remove, put_again]));
                }
                Err(reason) => {
                    let withdrawn = Left {
                        name: here.server.clone(),
                        project: entry.project.clone(),
                        reason,
                    };
                    changes.push((Made::Withdrawn(withdrawn), vec![remove]));
                }
            }
        }
    }

    /// What is to be put there once more; else why nothing is.
    fn again(
        &self,
        name: &str,
        now: Now,
    ) -> Result<(&Shadows, Candidate<'_>, Vec<String>), String> {
        let nothing = || match now {
            Now::Changed => ANOTHER.to_owned(),
            Now::Gone => NO_MORE.to_owned(),
        };
        let shadows = self.means.shadows.as_ref().ok_or_else(nothing)?;
        let mut candidates = shadows.candidates();
        let candidate = candidates.find(|candidate| candidate.entry.name == name);
        let candidate = candidate.ok_or_else(nothing)?;
        let becomes = self.before_the_file(shadows, &candidate)?;
        Ok((shadows, candidate, becomes))
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
        match self.kept_reason(self.policy, candidate.entry, local, way) {
            Some(reason) => Err(reason),
            None if shadows.is_approved(name, &self.tree) => Ok(becomes),
            None => Err(NOT_APPROVED.to_owned()),
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
