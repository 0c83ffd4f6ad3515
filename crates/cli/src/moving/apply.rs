//! Making a plan true.

use super::{
    journal::{Journal, Row, SavedStep, SavedUrl, digest},
    machine::Found,
    plan::{self, FilePlan, How, Means, Untouched, Wish},
    safe_file::Replaced,
};

/// How often a file is tried whose client rewrites it at the same time.
const TRIES: usize = 5;

/// Changes one file as planned; plans it again where somebody has changed it since.
///
/// `None` if there is nothing to change any more.
pub(crate) fn apply(
    found: &Found,
    wish: &Wish<'_>,
    means: &Means,
    journal: &mut Journal,
) -> anyhow::Result<Result<Option<FilePlan>, Untouched>> {
    let mut done: Option<FilePlan> = None;
    for _ in 0..TRIES {
        let plan = match plan::of_file(found, wish, means) {
            Ok(Some(plan)) if plan.is_change() => plan,
            // What we have written is there, and is as it was meant.
            Ok(_) => return Ok(Ok(done)),
            Err(untouched) => return Ok(Err(untouched)),
        };
        let row = row(found, &plan);
        let is_announced = journal.announce(row, &plan.original.bytes)?;
        match plan.original.replace(plan.after.as_bytes()) {
            Ok(Replaced::Done) => done = Some(plan),
            Ok(Replaced::Changed) if is_announced => journal.take_back()?,
            // One that was killed may have made the change of that row.
            Ok(Replaced::Changed) => {}
            Err(error) => {
                return Ok(Err(Untouched {
                    client: plan.client,
                    path: found.path.clone(),
                    reason: format!("it cannot be written: {error}"),
                }));
            }
        }
    }
    Ok(Err(Untouched {
        client: found.client,
        path: found.path.clone(),
        reason: format!(
            "{} rewrites it all the time; end it, or run this again",
            found.client.name
        ),
    }))
}

/// What the journal says of a plan.
fn row(found: &Found, plan: &FilePlan) -> Row {
    let saved = |steps: &[config::clients::Step]| -> Vec<SavedStep> {
        steps.iter().map(SavedStep::from).collect()
    };
    let mut row = Row {
        client: plan.client.id.to_owned(),
        path: plan.original.path.clone(),
        link: (found.path != plan.original.path).then(|| found.path.clone()),
        before: digest(&plan.original.bytes),
        after: digest(plan.after.as_bytes()),
        ..Row::default()
    };
    for adopted in &plan.adopted {
        let at = saved(&adopted.at);
        match &adopted.how {
            How::Started => row.entries.push(at),
            How::Shadow { made } => {
                row.added.push(at);
                row.made.extend(made.as_deref().map(saved));
            }
            How::Http { url, .. } => row.urls.push(SavedUrl {
                at,
                url: url.clone(),
            }),
        }
    }
    row
}
