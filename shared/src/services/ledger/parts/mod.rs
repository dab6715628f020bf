//! A part's transitions, by the function that makes them. Each has a condition, and returns the
//! current record.

mod cancel;
mod collect;
mod poll;
mod submit;

use super::Recorded;
use super::item::part_key;
use super::update::Update;
use crate::part::{PartFailure, PartRecord, PartState};
use anyhow::Result;
use jiff::Timestamp;

pub use collect::FailedAttempt;
pub use submit::{BegunUpload, CreatedJob, Upload};

/// A conditional write of a part's record.
type Written = Result<Recorded<PartRecord>>;

/// The attributes about a part's job, beside its id, URL and time. A new job starts without them.
const JOB_ATTRIBUTES: [&str; 16] = [
    "job_state",
    "upload_began_at",
    "uploaded_at",
    "repeat_due_at",
    "repeat_began_at",
    "abandoned_at",
    "not_started",
    "absent_seconds",
    "absent_at",
    "overdue_at",
    "ended_at",
    "announced_at",
    "retry_at",
    "problem",
    "provenance",
    "attempts",
];
/// The attributes about the absence of a part's job.
const ABSENCE_ATTRIBUTES: [&str; 3] = ["absent_seconds", "absent_at", "overdue_at"];

fn update_part(part: &PartRecord) -> Update {
    Update::of(&part.drop, &part_key(part.plan.number))
}

fn remove_all(update: Update, attributes: &[&'static str]) -> Update {
    attributes.iter().fold(update, |update, name| update.remove(name))
}

/// Adds the condition that the part still has the state and the job that were read.
fn if_unchanged(update: Update, part: &PartRecord) -> Result<Update> {
    update.and_still("state", Some(&part.state))?.and_still("job_id", part.job_id.as_ref())
}

/// → FAILED. All such writes record their writer in one attribute: a part fails once, unless it was
/// found again.
fn fail(part: &PartRecord, failure: &PartFailure, now: Timestamp) -> Result<Update> {
    let update = update_part(part)
        .set("state", &PartState::Failed)?
        .set("failure", failure)?
        .set("ended_at", &now)?;
    Ok(update.remove("upload_url").remove("problem").by("failed_by"))
}
