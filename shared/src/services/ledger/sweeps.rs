//! Sweeps: looks for jobs that no record knows.

use super::item::{drop_key, text};
use super::update::Update;
use super::write::condition_held;
use super::{Ledger, SWEEP};
use crate::form::SCHEMA;
use crate::source::DropId;
use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A drop whose jobs are due a look for orphans; see [`Ledger::schedule_sweep`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The drop.
    pub drop: DropId,
    /// From when on an unfed job of it is an orphan: when the next look is due.
    pub open_since: Timestamp,
    /// When it was first due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_due: Option<Timestamp>,
    /// How many looks found an orphan.
    #[serde(default)]
    pub found: u32,
    /// Orphans that say not when they were created, and when each was first seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Timestamp>,
}

impl Ledger {
    /// Notes, before any job of a drop is created, that at `due` someone has to look for jobs of it that were created by an
    /// attempt that then died: those appear in no record.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn schedule_sweep(&self, drop_id: &DropId, due: Timestamp) -> Result<()> {
        // What earlier looks saw stays: only the next one is put off.
        let update = Update::of(drop_id, SWEEP)
            .set("schema", &SCHEMA)?
            .set("drop", drop_id)?
            .set("open", &SWEEP)?
            .set("open_since", &due)?;
        self.write(update.set_once("first_due", &due)?.set_once("found", &0)?).await.map(|_| ())
    }

    /// Puts off a sweep that found orphans, and keeps what it saw.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn put_off_sweep(&self, sweep: &Sweep, was_due: Timestamp) -> Result<bool> {
        let update = Update::of(&sweep.drop, SWEEP)
            .set("open_since", &sweep.open_since)?
            .set("found", &sweep.found)?
            .set("seen", &sweep.seen)?
            .put("first_due", sweep.first_due.as_ref())?;
        Ok(self.write(update.and_still("open_since", Some(&was_due))?).await?.0)
    }

    /// Deletes a sweep that was made, unless it has been put off since.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn complete_sweep(&self, sweep: &Sweep) -> Result<bool> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", text(&drop_key(&sweep.drop)))
            .key("sk", text(SWEEP))
            .condition_expression("open_since = :due")
            .expression_attribute_values(":due", serde_dynamo::to_attribute_value(sweep.open_since)?)
            .send()
            .await;
        condition_held(deleted, "delete the sweep")
    }
}
