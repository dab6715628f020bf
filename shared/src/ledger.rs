//! The ledger: one DynamoDB table, a record for each drop and each part, and the conditional writes that make a drop happen
//! exactly once.
//!
//! ```text
//! PLANNED ──create──▶ CREATED ──upload──▶ UPLOADED ──▶ COMPLETED ──▶ COLLECTED
//!    ▲                   │                    └──▶ FAILED ─────────────┘
//!    └──── ABANDONING ◀──┘  the upload address ran out and the job never started: claim, cancel, plan again
//! ```
//!
//! The rule that makes it exactly once: a job's id and upload address are recorded **before** anything is uploaded, under a
//! condition that only one attempt can meet, and whoever resumes uploads the same bytes to the recorded address. There are
//! no leases and no counters. Each write below names its condition; a write whose condition fails was done, or overtaken, by
//! somebody else, and is answered with `false`: look again.

mod item;
mod read;
mod update;

use crate::drop::DropId;
use crate::job::JobState;
use crate::record::{Collected, DropState, Meta, Part, PartFailure, PartState};
use crate::secret::SignedUrl;
use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use futures_util::{StreamExt, TryStreamExt, stream};
use item::{Item, drop_key, keyed, open, part_key, text};
use jiff::Timestamp;
use serde::Serialize;
use update::Update;

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
}

/// A drop whose jobs are due a look for orphans; see [`Ledger::owe_sweep`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Sweep {
    /// The drop.
    pub drop: DropId,
    /// From when on an unfed job of it is an orphan.
    pub open_since: Timestamp,
}

impl Ledger {
    /// A ledger in this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Ledger { client, table }
    }

    /// Takes up a drop: puts its record if there is none yet, and gives the one that stands.
    ///
    /// The results' folder is claimed first, so that two versions of a key dropped in the same second do not share one.
    ///
    /// # Errors
    /// If DynamoDB does not answer, or the record is of a newer form.
    pub async fn accept(&self, mut meta: Meta) -> Result<Meta> {
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
            meta.folder = crate::keys::results_folder(&meta.source.key, meta.dropped_at, Some(&meta.id));
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
    pub async fn put_parts(&self, parts: Vec<Part>, now: Timestamp) -> Result<()> {
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
    pub async fn move_drop(&self, meta: &Meta, was: DropState) -> Result<bool> {
        let mut update = Update::of(&meta.id, META).set("state", &meta.state)?.set("times", &meta.times)?;
        update = update.set("touched_at", &meta.touched_at)?;
        if let Some(plan) = &meta.plan {
            update = update.set("plan", plan)?;
        }
        if let Some(bytes) = &meta.results_bytes {
            update = update.set("results_bytes", bytes)?;
        }
        update = match &meta.trouble {
            Some(trouble) => update.set("trouble", trouble)?,
            None => update.remove("trouble"),
        };
        self.update(update.only_if("#state = :was").value(":was", &was)?).await
    }

    /// Takes a drop that has reached its end, and whose end is told, out of the open index.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn close(&self, drop: &DropId, now: Timestamp) -> Result<bool> {
        let update = Update::of(drop, META).set("closed_at", &now)?.remove("open").remove("open_since");
        self.update(update.only_if("attribute_exists(#open)")).await
    }

    /// Notes that a drop is being worked on, or has been put back on the queue, if it stands as in `meta`.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn touch(&self, meta: &Meta, now: Timestamp) -> Result<bool> {
        let update = Update::of(&meta.id, META).set("touched_at", &now)?;
        self.update(update.only_if("#state = :state").value(":state", &meta.state)?).await
    }

    /// Notes what a drop waits for, or that it waits no more, as in `meta`, if it stands as there.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_trouble(&self, meta: &Meta) -> Result<bool> {
        let update = Update::of(&meta.id, META);
        let update = match &meta.trouble {
            Some(trouble) => update.set("trouble", trouble)?,
            None => update.remove("trouble"),
        };
        self.update(update.only_if("#state = :state").value(":state", &meta.state)?).await
    }

    /// PLANNED → CREATED: records the job and its upload address. Of several attempts one wins; the losers cancel their own
    /// jobs, into which nothing was uploaded.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_job(&self, part: &Part, job: &str, url: &SignedUrl, created_at: Timestamp) -> Result<bool> {
        let update = Self::update_part(part)
            .set("state", &PartState::Created)?
            .set("job_id", &job)?
            .set("upload_url", url)?
            .set("created_at", &created_at)?
            .set("job_rank", &0)?
            .remove("job_state")
            .remove("missing_since");
        let update = update.only_if("#state = :planned AND attribute_not_exists(#job_id)");
        self.update(update.value(":planned", &PartState::Planned)?).await
    }

    /// CREATED → UPLOADED: the job has its rows; its address is forgotten.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_upload(&self, part: &Part, now: Timestamp) -> Result<bool> {
        let update = Self::update_part(part)
            .set("state", &PartState::Uploaded)?
            .set("uploaded_at", &now)?
            .remove("upload_url")
            .only_if("#state = :created AND #job_id = :job");
        self.update(update.value(":created", &PartState::Created)?.value(":job", &part.job_id)?).await
    }

    /// CREATED → ABANDONING: claims a part whose job was never fed and can no longer be, so that it can be cancelled. If the API
    /// did not know it, that has to show itself again of the claimed job.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn abandon(&self, part: &Part) -> Result<bool> {
        let update = Self::update_part(part).set("state", &PartState::Abandoning)?.remove("upload_url").remove("missing_since");
        let update = update.only_if("#state = :created AND #job_id = :job");
        self.update(update.value(":created", &PartState::Created)?.value(":job", &part.job_id)?).await
    }

    /// ABANDONING → PLANNED: the job is cancelled or gone, the part may have another.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn plan_again(&self, part: &Part) -> Result<bool> {
        let update = Self::update_part(part).set("state", &PartState::Planned)?.set("job_rank", &0)?;
        let update = ["job_id", "job_state", "created_at", "missing_since"].into_iter().fold(update, Update::remove);
        let update = update.only_if("#state = :abandoning AND #job_id = :job");
        self.update(update.value(":abandoning", &PartState::Abandoning)?.value(":job", &part.job_id)?).await
    }

    /// PLANNED → FAILED: the API will not make a job for this part, and never will.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn refuse_part(&self, part: &Part, failure: &PartFailure) -> Result<bool> {
        let update = Self::update_part(part).set("state", &PartState::Failed)?.set("failure", failure)?;
        let update = update.only_if("#state = :planned AND attribute_not_exists(#job_id)");
        self.update(update.value(":planned", &PartState::Planned)?).await
    }

    /// CREATED → FAILED: the part's rows can no longer be read, so its job, never fed, will not be.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn fail_unfed(&self, part: &Part, failure: &PartFailure) -> Result<bool> {
        let update = Self::update_part(part).set("state", &PartState::Failed)?.set("failure", failure)?;
        let update = update.remove("upload_url").only_if("#state = :created AND #job_id = :job");
        self.update(update.value(":created", &PartState::Created)?.value(":job", &part.job_id)?).await
    }

    /// Records what the API says of a part's job, if it is further along than what was recorded, and the part stands as it did
    /// when that was decided: states only move forward. `state` is what it makes of the part, if anything.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_job_state(
        &self,
        part: &Part,
        job: &JobState,
        state: Option<PartState>,
        failure: Option<&PartFailure>,
    ) -> Result<bool> {
        let mut update = Self::update_part(part).set("job_state", job)?.set("job_rank", &job.rank())?.remove("missing_since");
        if let Some(state) = state {
            update = update.set("state", &state)?.remove("upload_url");
        }
        if let Some(failure) = failure {
            update = update.set("failure", failure)?;
        }
        let update = update.only_if("#job_id = :job AND #job_rank < :rank AND #state = :was");
        self.update(update.value(":rank", &job.rank())?.value(":job", &part.job_id)?.value(":was", &part.state)?).await
    }

    /// Notes since when the API does not know a part's job, or that it does again.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_missing(&self, part: &Part, since: Option<Timestamp>) -> Result<bool> {
        let update = Self::update_part(part);
        let update = match since {
            Some(since) => update.set("missing_since", &since)?,
            None => update.remove("missing_since"),
        };
        self.update(
            update
                .only_if("#job_id = :job AND #state <> :collected")
                .value(":job", &part.job_id)?
                .value(":collected", &PartState::Collected)?,
        )
        .await
    }

    /// UPLOADED → FAILED: the API has not known the job for long. Its rows end as missing.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn lose(&self, part: &Part, failure: &PartFailure) -> Result<bool> {
        let update = Self::update_part(part).set("state", &PartState::Failed)?.set("failure", failure)?;
        let update = update.only_if("#state = :uploaded AND #job_id = :job");
        self.update(update.value(":uploaded", &PartState::Uploaded)?.value(":job", &part.job_id)?).await
    }

    /// Notes that a part's end was announced to collect.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_announced(&self, part: &Part, now: Timestamp) -> Result<bool> {
        let update = Self::update_part(part).set("announced_at", &now)?;
        self.update(update.only_if("attribute_exists(pk)")).await
    }

    /// COMPLETED or FAILED → COLLECTED: the part's rows are joined and stored. Of several attempts one wins, and its object is
    /// the one that is published.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_collected(&self, part: &Part, collected: &Collected) -> Result<bool> {
        let update = Self::update_part(part)
            .set("state", &PartState::Collected)?
            .set("collected", collected)?
            .remove("open")
            .remove("open_since");
        let job = match &part.job_id {
            Some(_) => "#job_id = :job",
            None => "attribute_not_exists(#job_id)",
        };
        let mut update = update.only_if(&format!("#state = :was AND {job}")).value(":was", &part.state)?;
        if part.job_id.is_some() {
            update = update.value(":job", &part.job_id)?;
        }
        self.update(update).await
    }

    /// Notes, before any job of a drop is created, that at `due` someone has to look for jobs of it that were created by an
    /// attempt that then died: those appear in no record.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn owe_sweep(&self, drop: &DropId, due: Timestamp) -> Result<()> {
        let mut item = keyed(&Sweep { drop: drop.clone(), open_since: due }, drop, SWEEP)?;
        item.extend(open(SWEEP, due));
        self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await.context("note the sweep")?;
        Ok(())
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

    fn update_part(part: &Part) -> Update {
        Update::of(&part.drop, &part_key(part.plan.number))
    }

    async fn update(&self, update: Update) -> Result<bool> {
        let names = update.names();
        let done = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&update.pk))
            .key("sk", text(&update.sk))
            .update_expression(update.expression())
            .condition_expression(&update.condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(update.values).filter(|v| !v.is_empty()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None)
            .send()
            .await;
        happened(done, "update a record")
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
