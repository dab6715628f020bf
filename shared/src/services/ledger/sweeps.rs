//! Sweeps: searches for jobs that no record has.

use super::item::{drop_key, text};
use super::update::Update;
use super::write::condition_held;
use super::{Ledger, SWEEP};
use crate::source::DropId;
use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A scheduled search for orphaned jobs of a drop; see [`Ledger::schedule_sweep`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    pub drop: DropId,
    /// When it is next due: from then on, a job of the drop to which nothing was sent is an orphan.
    pub open_since: Timestamp,
    /// When it was first due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_due: Option<Timestamp>,
    /// How many times it found an orphan.
    #[serde(default)]
    pub found: u32,
    /// Orphans without a creation time, and when each was first seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Timestamp>,
}

impl Ledger {
    /// Schedules a sweep for `due`, before any job of the drop is created: if an attempt dies after
    /// it created a job, no record has that job.
    pub async fn schedule_sweep(&self, drop_id: &DropId, due: Timestamp) -> Result<()> {
        // What earlier sweeps saw is kept; only the next one is postponed.
        let update = Update::of(drop_id, SWEEP)
            .set("drop", drop_id)?
            .set("open", &SWEEP)?
            .set("open_since", &due)?;
        self.write(update.set_once("first_due", &due)?.set_once("found", &0)?).await.map(|_| ())
    }

    /// Postpones a sweep that found orphans, and records what it saw.
    pub async fn put_off_sweep(&self, sweep: &Sweep, was_due: Timestamp) -> Result<bool> {
        let update = Update::of(&sweep.drop, SWEEP)
            .set("open_since", &sweep.open_since)?
            .set("found", &sweep.found)?
            .set("seen", &sweep.seen)?
            .put("first_due", sweep.first_due.as_ref())?;
        Ok(self.write(update.and_still("open_since", Some(&was_due))?).await?.0)
    }

    /// Deletes a sweep that found nothing, unless it was postponed since it was read.
    pub async fn complete_sweep(&self, sweep: &Sweep) -> Result<bool> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", text(&drop_key(&sweep.drop)))
            .key("sk", text(SWEEP))
            .condition_expression("open_since = :due")
            .expression_attribute_values(
                ":due",
                serde_dynamo::to_attribute_value(sweep.open_since)?,
            )
            .send()
            .await;
        condition_held(deleted, "delete the sweep")
    }
}
