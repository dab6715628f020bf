//! What keeps a part from continuing, as users read it.

use super::{HeldResults, NotStarted, PartRecord, PartState};
use crate::problem::{Code, Problem};

impl PartRecord {
    /// What keeps the part from continuing, as far as its record says.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        match self.state {
            PartState::Collected => None,
            PartState::Completed | PartState::Failed => {
                self.held.as_ref().map(|held| held_results(self, held)).or_else(|| self.problem.clone())
            }
            _ => self.not_started.map(|known| not_started(self, known)),
        }
    }
}

fn held_results(part: &PartRecord, held: &HeldResults) -> Problem {
    let (number, first_line) = (part.plan.number, part.plan.first_line);
    let place = held.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let message = format!(
        "the results of part {number} (its rows begin on line {first_line} of the file) cannot be used as they came: {}; they are \
         kept in {}{place}",
        held.message, held.key
    );
    let next_step = format!(
        "{} With {} the drop goes on with what can be read. Better results of the API are fetched by themselves, once a day.",
        held.code.next_step(),
        held.setting
    );
    Problem::new(held.code, message).with_next_step(next_step)
}

fn not_started(part: &PartRecord, known: NotStarted) -> Problem {
    let (number, job) = (part.plan.number, part.job_id.as_deref().unwrap_or_default());
    let rows = match part.uploaded_at {
        Some(_) => "has had its rows for over an hour",
        None => "was to get its rows over an hour ago, in an upload that may not have arrived,",
    };
    let message = if known.none_started {
        format!(
            "the API starts no job of this stack: that of part {number} ({job}) {rows} and has not started, nor has any other since"
        )
    } else {
        format!("the job of part {number} ({job}) {rows} and has not started")
    };
    let next_step = if part.replans == 0 {
        "Action required: ask the API's support about the job. Moondrop waits; after a day it cancels the job, once, and gives the \
         part another if the API confirms that it is cancelled."
    } else {
        "Action required: ask the API's support about the job, or cancel it: its rows end as failed then. Moondrop waits."
    };
    Problem::new(Code::NotStarted, message).with_next_step(next_step)
}
