//! What poll remembers from one tick to the next. None of it decides anything on its own: without
//! it, a tick asks from the start and counts no absence.

use super::update::Update;
use super::{Ledger, item};
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const PK: &str = "POLL";
const SK: &str = "STATE";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PollState {
    /// The job of ours that the API reported most recently. An answer that leaves it out does not
    /// count for any job.
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
    pub job: String,
    pub reported_at: Timestamp,
}

/// Where the next tick begins to ask: the first part, in the order of the keys, whose job was not
/// asked for; `None` if all were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// Among the parts whose jobs are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<String>,
    /// Among the parts whose jobs are absent, which are asked for one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

impl Ledger {
    pub async fn poll_state(&self) -> Result<PollState> {
        let Some(mut record) = self.item(PK, SK).await? else { return Ok(PollState::default()) };
        record.retain(|name, _| name != "pk" && name != "sk");
        serde_dynamo::from_item::<item::Item, _>(record)
            .context("the record POLL STATE cannot be read")
    }

    /// Of two ticks at the same time, the last one's state is kept; it does not matter which.
    pub async fn save_poll_state(&self, state: &PollState) -> Result<()> {
        let update = Update::at(PK.to_owned(), SK)
            .put("witness", state.witness.as_ref())?
            .set("cursor", &state.cursor)?;
        self.write(update.put("started_at", state.started_at.as_ref())?).await.map(|_| ())
    }
}
