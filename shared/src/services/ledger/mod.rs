//! The ledger: one DynamoDB table, a record for each drop and each part, and the conditional writes that make a drop happen
//! exactly once.
//!
//! ```text
//! PLANNED ──create──▶ CREATED ──upload──▶ UPLOADED ──▶ COMPLETED ──▶ COLLECTED
//!    ▲                   │                 │  ▲ └──▶ FAILED ─────────────┘
//!    │                   │                 │  └─ lost, and reported again ┘
//!    └──── ABANDONING ◀──┴─────────────────┘  nothing was sent and the upload URL ran out, or the job had its rows for a day
//!                                             and never started: claim, cancel, plan again
//! ```
//!
//! The rule that makes it exactly once: a job's id and upload URL are recorded **before** anything is uploaded, under a
//! condition that only one attempt can meet, and whoever resumes uploads the same bytes to the recorded URL. That an upload
//! begins is recorded before its first byte: a part without that mark was never sent. There are no leases and no counters.
//! Each write names its condition; a write whose condition fails was done, or overtaken, by somebody else, and is answered with
//! `false`: look again. One that was done by this very write is answered with `true`.

mod item;
mod part;
mod poll;
mod read;
mod update;
mod writers;

use crate::drop::{DropRecord, DropState};
use crate::part::PartRecord;
use crate::source::DropId;
use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::{StreamExt, TryStreamExt, stream};
use item::{Item, drop_key, keyed, open, part_key, text};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use update::Update;
use writers::Writers;

pub use part::{Begun, Recorded};
pub use poll::{Cursor, PollState, Witness};
pub use read::Open;

/// The sparse index of what is still open: hash `open` (`DROP`, `PART` or `SWEEP`), range `open_since`.
pub const OPEN_INDEX: &str = "open-index";

const META: &str = "META";
const SWEEP: &str = "SWEEP";
/// Writes under way at once where there are many to make: a plan may have ten thousand parts, and a tick may move as many.
pub const WRITES_AT_ONCE: usize = 16;

/// The table.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    writers: Writers,
}

/// A drop whose jobs are due a look for orphans; see [`Ledger::owe_sweep`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
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
    /// A ledger in this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Ledger { client, table, writers: Writers::new() }
    }

    /// From now on, writes are this request's.
    pub fn set_request(&self, id: &str) {
        self.writers.set_request(id);
    }

    /// Takes up a drop: puts its record if there is none yet, and gives the one that stands.
    ///
    /// The results' folder is claimed first, so that two versions of a key dropped in the same second do not share one.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or the record is of a newer form.
    pub async fn accept(&self, mut meta: DropRecord) -> Result<DropRecord> {
        if let Some(meta) = self.meta(&meta.id).await? {
            return Ok(meta);
        }
        let claim = Item::from([
            ("pk".to_owned(), text(&format!("FOLDER#{}", meta.folder))),
            ("sk".to_owned(), text("CLAIM")),
            ("drop".to_owned(), text(meta.id.as_str())),
        ]);
        let held = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(claim))
            .condition_expression("attribute_not_exists(pk) OR #drop = :drop")
            .expression_attribute_names("#drop", "drop")
            .expression_attribute_values(":drop", text(meta.id.as_str()))
            .send()
            .await;
        if !happened(held, "claim the results' folder")? {
            meta.folder = crate::drop::object_key::results_folder(&meta.source.key, meta.dropped_at, Some(&meta.id));
        }
        let mut item = keyed(&meta, &meta.id, META)?;
        item.extend(open("DROP", meta.touched_at));
        self.put_new(item).await?;
        self.meta(&meta.id).await?.context("the drop's record is not there after it was put")
    }

    /// Records the plan's parts; those that stand already are left as they are (`attribute_not_exists`).
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn put_parts(&self, parts: Vec<PartRecord>, now: Timestamp) -> Result<()> {
        stream::iter(parts)
            .map(|part| async move {
                let mut item = keyed(&part, &part.drop, &part_key(part.plan.number))?;
                item.extend(open("PART", now));
                self.put_new(item).await
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await
    }

    /// Moves a drop on: writes its state, plan, trouble, times and size as they stand in `meta`, if its state is still `was`.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn move_drop(&self, meta: &DropRecord, was: DropState) -> Result<bool> {
        let mut update = Update::of(&meta.id, META).set("state", &meta.state)?.set("times", &meta.times)?;
        update = update.set("touched_at", &meta.touched_at)?;
        if let Some(plan) = &meta.plan {
            update = update.set("plan", plan)?;
        }
        if let Some(bytes) = &meta.results_bytes {
            update = update.set("results_bytes", bytes)?;
        }
        update = update.put("trouble", meta.trouble.as_ref())?;
        let writer = match meta.state {
            DropState::Checking => "accepted_by",
            DropState::Uploading => "planned_by",
            DropState::Evaluating => "evaluating_by",
            DropState::Completed | DropState::CompletedWithErrors | DropState::Rejected | DropState::Failed => "ended_by",
        };
        self.update(update.by(writer).only_if("#state = :was").value(":was", &was)?).await
    }

    /// Takes a drop that has reached its end, and whose end is told, out of the open index.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn close(&self, drop: &DropId, now: Timestamp) -> Result<bool> {
        let update = Update::of(drop, META).set("closed_at", &now)?.remove("open").remove("open_since");
        self.update(update.by("closed_by").only_if("attribute_exists(#open)")).await
    }

    /// Notes that a drop is being worked on, or has been put back on the queue, if it stands as in `meta`.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn touch(&self, meta: &DropRecord, now: Timestamp) -> Result<bool> {
        let update = Update::of(&meta.id, META).set("touched_at", &now)?;
        self.update(update.only_if("#state = :state").value(":state", &meta.state)?).await
    }

    /// Notes what a drop waits for, or that it waits no more, as in `meta`, if it stands as there.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_trouble(&self, meta: &DropRecord) -> Result<bool> {
        let update = Update::of(&meta.id, META).put("trouble", meta.trouble.as_ref())?;
        self.update(update.only_if("#state = :state").value(":state", &meta.state)?).await
    }

    /// Notes since when the API refuses to create jobs for a drop, and since when it blames the request for it, as in `meta`.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_refusals(&self, meta: &DropRecord) -> Result<bool> {
        let update = Update::of(&meta.id, META).put("refused_since", meta.refused_since.as_ref())?;
        self.update(update.put("invalid_since", meta.invalid_since.as_ref())?.only_if("attribute_exists(pk)")).await
    }

    /// Notes, before any job of a drop is created, that at `due` someone has to look for jobs of it that were created by an
    /// attempt that then died: those appear in no record.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn owe_sweep(&self, drop: &DropId, due: Timestamp) -> Result<()> {
        // What earlier looks saw stays: only the next one is put off.
        let update = Update::of(drop, SWEEP).set("drop", drop)?.set("open", &SWEEP)?.set("open_since", &due)?;
        self.update(update.set_once("first_due", &due)?.set_once("found", &0)?).await.map(|_| ())
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
        self.update(update.and_still("open_since", Some(&was_due))?).await
    }

    /// Strikes a sweep that was made, unless it has been put off since.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn swept(&self, sweep: &Sweep) -> Result<bool> {
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
        happened(deleted, "strike the sweep")
    }

    async fn put_new(&self, item: Item) -> Result<()> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        happened(put.condition_expression("attribute_not_exists(pk)").send().await, "put a record").map(drop)
    }

    /// Makes a conditional write; whether it took place.
    async fn update(&self, update: Update) -> Result<bool> {
        Ok(self.write(update, ReturnValue::None).await?.0)
    }

    /// Makes a conditional write; whether it took place, and the record as it stands then.
    async fn update_and_read(&self, update: Update) -> Result<(bool, Item)> {
        self.write(update, ReturnValue::AllNew).await
    }

    /// The one place where a refused write is told from one that was done and whose answer was lost.
    async fn write(&self, mut update: Update, returned: ReturnValue) -> Result<(bool, Item)> {
        let writer = update.writer.map(|attribute| (attribute, self.writers.next()));
        if let Some((attribute, name)) = &writer {
            update = update.set(attribute, name)?;
        }
        let written = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&update.pk))
            .key("sk", text(&update.sk))
            .update_expression(update.expression())
            .set_condition_expression(Some(update.condition.clone()).filter(|condition| !condition.is_empty()))
            .set_expression_attribute_names(Some(update.names()))
            .set_expression_attribute_values(Some(update.values).filter(|v| !v.is_empty()))
            .return_values(returned)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let refused = match written {
            Ok(written) => return Ok((true, written.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => refused.item.clone(),
                _ => return Err(anyhow::Error::new(error).context("update a record in the ledger")),
            },
        };
        // A record that is not there at all has no item either.
        let stands = match refused {
            Some(item) => item,
            None => self.item(&update.pk, &update.sk).await?.unwrap_or_default(),
        };
        let ours = writer.is_some_and(|(attribute, name)| stands.get(attribute).is_some_and(|by| *by == text(&name)));
        Ok((ours, stands))
    }
}

/// Whether a conditional write took place; a failed condition is an answer, not an error.
fn happened<T, E, R>(result: Result<T, SdkError<E, R>>, what: &str) -> Result<bool>
where
    E: std::error::Error + aws_sdk_dynamodb::error::ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(true),
        Err(e) if e.as_service_error().and_then(|e| e.code()) == Some("ConditionalCheckFailedException") => Ok(false),
        Err(e) => Err(anyhow::Error::new(e).context(format!("{what} in the ledger"))),
    }
}
