//! What poll remembers from one tick to the next. None of it decides anything by itself: without it, a tick asks from the start,
//! and believes no absence.

use super::update::Update;
use super::{Ledger, item};
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const PK: &str = "POLL";
const SK: &str = "STATE";

/// What poll remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PollState {
    /// The job of ours that the API reported most recently: an answer that leaves it out, too, says nothing of any job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Where the next tick begins to ask.
    pub cursor: Cursor,
    /// When a job of the stack was last seen to have started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}

/// A job that the API reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The job.
    pub job: String,
    /// When it was reported.
    pub reported_at: Timestamp,
}

/// Where the next tick begins to ask: the first part, in the order of their keys, that was not asked for; `None` if all were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// Among the parts whose jobs are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<String>,
    /// Among those whose jobs are absent, which are asked for one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

impl Ledger {
    /// What the last tick remembered.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or the record cannot be read.
    pub async fn poll_state(&self) -> Result<PollState> {
        let Some(mut record) = self.item(PK, SK).await? else { return Ok(PollState::default()) };
        record.retain(|name, _| name != "pk" && name != "sk");
        serde_dynamo::from_item::<item::Item, _>(record).context("the record POLL STATE cannot be read")
    }

    /// Remembers it. The last of two ticks at once is the one that is remembered: it does not matter which.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn save_poll_state(&self, state: &PollState) -> Result<()> {
        let update = Update::at(PK.to_owned(), SK).put("witness", state.witness.as_ref())?.set("cursor", &state.cursor)?;
        self.write(update.put("started_at", state.started_at.as_ref())?).await.map(|_| ())
    }
}
