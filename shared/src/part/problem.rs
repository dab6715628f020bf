//! The problem of a part that cannot continue, for users to read.

use super::{HeldResults, NotStarted, PartRecord, PartState};
use crate::problem::{Code, Problem};

impl PartRecord {
    /// Why the part cannot continue, by its record.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        match self.state {
            PartState::Collected => None,
            PartState::Completed | PartState::Failed => self
                .held
                .as_ref()
                .map(|held| held_results(self, held))
                .or_else(|| self.problem.clone()),
            _ => self
                .not_started
                .map(|problem| not_started(self, problem))
                .or_else(|| self.problem.clone()),
        }
    }
}

fn held_results(part: &PartRecord, held: &HeldResults) -> Problem {
    let (number, first_line) = (part.plan.number, part.plan.first_line);
    let place = held.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let message = format!(
        "the results of part {number} (its rows begin on line {first_line} of the file) cannot be used: {}; they are \
         kept in {}{place}",
        held.message, held.key
    );
    let next_step = format!(
        "{} With {} the drop continues with what can be read. Once a day, Moondrop looks for better results in the API.",
        held.code.next_step(),
        held.setting
    );
    Problem::new(held.code, message).with_next_step(next_step)
}

fn not_started(part: &PartRecord, problem: NotStarted) -> Problem {
    let (number, job) = (part.plan.number, part.job_id.as_deref().unwrap_or_default());
    let rows = match part.uploaded_at {
        Some(_) => "has had its rows for over an hour",
        None => "was to get its rows over an hour ago, in an upload that may not have arrived,",
    };
    let message = if problem.none_started {
        format!(
            "the API starts no job of this stack: the job of part {number} ({job}) {rows} and has not started, nor has any other since"
        )
    } else {
        format!("the job of part {number} ({job}) {rows} and has not started")
    };
    let next_step = if part.replans == 0 {
        "Action required: ask the API's support about the job. Moondrop waits; after a day it cancels the job, once, and gives the \
         part another if the API confirms that it is cancelled."
    } else {
        "Action required: ask the API's vendor about the job, or cancel it: then its rows end as failed. Moondrop waits."
    };
    Problem::new(Code::NotStarted, message).with_next_step(next_step)
}
