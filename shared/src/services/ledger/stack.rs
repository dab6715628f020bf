//! What concerns the whole stack: its problems, in one record, and whether it is paused, in another.

use super::update::Update;
use super::{Ledger, item};
use crate::drop::stack::{StackCause, StackProblem, StackProblems};
use anyhow::{Context, Result};
use jiff::Timestamp;

const PK: &str = "STACK";
const SK: &str = "PROBLEMS";
const PAUSED: &str = "PAUSED";

impl Ledger {
    pub async fn stack_problems(&self) -> Result<StackProblems> {
        let Some(mut record) = self.item(PK, SK).await? else {
            return Ok(StackProblems::default());
        };
        record.retain(|name, _| name != "pk" && name != "sk");
        serde_dynamo::from_item::<item::Item, _>(record)
            .context("the record STACK PROBLEMS cannot be read")
    }

    /// Since when all is paused; `None` if it is not. `infra/pause` puts the item.
    pub async fn paused_at(&self) -> Result<Option<String>> {
        let Some(item) = self.item(PK, PAUSED).await? else { return Ok(None) };
        let since = item.get("paused_at").and_then(|at| at.as_s().ok());
        Ok(Some(since.cloned().unwrap_or_default()))
    }

    /// Records that a problem was met, now or again.
    pub async fn set_stack_problem(&self, cause: StackCause, met: &StackProblem) -> Result<()> {
        let update = Update::at(PK.to_owned(), SK).set(attribute(cause), met)?;
        self.write(update).await.map(|_| ())
    }

    /// Removes a problem if it was not met since `began`, when what shows the opposite began.
    pub async fn clear_stack_problem(&self, cause: StackCause, began: Timestamp) -> Result<()> {
        let name = attribute(cause);
        let update = Update::at(PK.to_owned(), SK)
            .remove(name)
            .only_if(&format!("attribute_exists(#{name}) AND #{name}.#seen_at < :began"));
        self.write(update.value(":began", &began)?).await.map(|_| ())
    }

    /// Records that every drop's `status.json` has these words of the stack's problems.
    pub async fn set_stack_reported(&self, words: &str) -> Result<()> {
        let update = Update::at(PK.to_owned(), SK).set("reported", &words)?;
        self.write(update).await.map(|_| ())
    }
}

fn attribute(cause: StackCause) -> &'static str {
    match cause {
        StackCause::Key => "key",
        StackCause::CreateRight => "create_right",
        StackCause::ReadRight => "read_right",
        StackCause::CancelRight => "cancel_right",
        StackCause::UploadHost => "upload_host",
        StackCause::ResultsHost => "results_host",
        StackCause::NotStarted => "not_started",
    }
}
