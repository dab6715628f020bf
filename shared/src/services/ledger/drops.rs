//! A drop's transitions.

use super::item::{Item, keyed, open, open_key, part_key, read, text};
use super::update::Update;
use super::write::condition_held;
use super::{Ledger, META, Recorded, WRITES_AT_ONCE};
use crate::drop::{DropProblem, DropRecord, DropState, SafeResults};
use crate::part::PartRecord;
use crate::problem::Problem;
use crate::source::DropId;
use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

impl Ledger {
    /// Accepts a drop: writes its record if there is none yet, and returns the current one.
    ///
    /// It claims the results' folder first: of two versions of a key that were dropped in the same
    /// second, one gets its second folder.
    pub async fn accept(&self, mut drop: DropRecord) -> Result<DropRecord> {
        if !self.claim_folder(&drop).await? {
            drop.folder = drop.second_folder();
        }
        let mut item = keyed(&drop, &drop.id, META)?;
        item.extend(open("DROP", drop.active_at));
        match self.put_new(item).await? {
            None => Ok(drop),
            Some(current) => read(current),
        }
    }

    async fn claim_folder(&self, drop: &DropRecord) -> Result<bool> {
        let claim = Item::from([
            ("pk".to_owned(), text(&format!("FOLDER#{}", drop.folder))),
            ("sk".to_owned(), text("CLAIM")),
            ("drop".to_owned(), text(drop.id.as_str())),
        ]);
        let claimed = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(claim))
            .condition_expression("attribute_not_exists(pk) OR #drop = :drop")
            .expression_attribute_names("#drop", "drop")
            .expression_attribute_values(":drop", text(drop.id.as_str()))
            .send()
            .await;
        condition_held(claimed, "claim the results' folder")
    }

    /// Records the plan's parts; existing ones are not changed (`attribute_not_exists`).
    pub async fn put_parts(&self, parts: Vec<PartRecord>, now: Timestamp) -> Result<()> {
        stream::iter(parts)
            .map(|part| async move {
                let mut item = keyed(&part, &part.drop, &part_key(part.plan.number))?;
                item.extend(open(&open_key(part.plan.number), now));
                self.put_new(item).await.map(|_| ())
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await
    }

    /// Writes a drop's state, plan, findings, problem, times and size from `drop`, if its recorded state is
    /// still `was`. A cancelled drop is not planned any more.
    pub async fn move_drop(
        &self,
        drop: &DropRecord,
        was: DropState,
    ) -> Result<Recorded<DropRecord>> {
        let mut update =
            Update::of(&drop.id, META).set("state", &drop.state)?.set("times", &drop.times)?;
        update = update.set("active_at", &drop.active_at)?;
        if let Some(plan) = &drop.plan {
            update = update.set("plan", plan)?;
        }
        if drop.rejections_in_work {
            update = update.set("rejections_in_work", &true)?;
        }
        if !drop.errors.is_empty() {
            update = update.set("errors", &drop.errors)?;
        }
        if !drop.notices.is_empty() {
            update = update.set("notices", &drop.notices)?;
        }
        if let Some(bytes) = &drop.results_bytes {
            update = update.set("results_bytes", bytes)?;
        }
        update = update.put("problem", drop.problem.as_ref())?;
        if drop.state != DropState::Checking {
            update = update.remove("check").remove("waits_since").remove("retry_at");
        }
        // What a step that is done waited for, it waits for no more.
        let done: &[DropProblem] = match drop.state {
            DropState::Checking => &[],
            DropState::Uploading => &[DropProblem::Check],
            DropState::Evaluating => &[DropProblem::Check, DropProblem::Create],
            _ => &[DropProblem::Check, DropProblem::Create, DropProblem::Publish],
        };
        update = done.iter().fold(update, |update, kind| update.remove(attribute(*kind)));
        if !drop.policy_versions.is_empty() {
            update = update.set("policy_versions", &drop.policy_versions)?;
        }
        let writer = match drop.state {
            DropState::Checking => "accepted_by",
            DropState::Uploading => "planned_by",
            DropState::Evaluating => "evaluating_by",
            DropState::Completed
            | DropState::CompletedWithErrors
            | DropState::Rejected
            | DropState::Failed => "ended_by",
        };
        let condition = match drop.state {
            DropState::Uploading => "#state = :was AND attribute_not_exists(#cancelled_at)",
            _ => "#state = :was",
        };
        self.update(update.by(writer).only_if(condition).value(":was", &was)?).await
    }

    /// Records the user's request to cancel a drop that has not ended; the first request's time is
    /// kept. `None` if the ledger has no such drop.
    pub async fn request_cancel(
        &self,
        drop_id: &DropId,
        now: Timestamp,
    ) -> Result<Option<DropRecord>> {
        let update = Update::of(drop_id, META).set_once("cancelled_at", &now)?;
        let update = update
            .only_if("#state = :checking OR #state = :uploading OR #state = :evaluating")
            .value(":checking", &DropState::Checking)?
            .value(":uploading", &DropState::Uploading)?
            .value(":evaluating", &DropState::Evaluating)?;
        let (_, item) = self.write(update).await?;
        if item.is_empty() { Ok(None) } else { read(item).map(Some) }
    }

    /// Records the upload that `results.csv` is put together by, if none is; returns the record, with
    /// the one that counts.
    pub async fn record_upload_of_results(
        &self,
        drop_id: &DropId,
        upload: &String,
    ) -> Result<DropRecord> {
        let update = Update::of(drop_id, META).set_once("results_upload", upload)?;
        Ok(self.update(update.only_if("attribute_exists(pk)")).await?.record)
    }

    /// Forgets an upload of `results.csv` that is over.
    pub async fn forget_upload(&self, drop_id: &DropId, upload: &String) -> Result<()> {
        let update = Update::of(drop_id, META).remove("results_upload");
        let update = update.only_if("#results_upload = :over").value(":over", upload)?;
        self.write(update).await.map(|_| ())
    }

    /// Records that an attempt to write `results.safe.csv` begins, if none has begun since `drop` was
    /// read and it is not settled.
    pub async fn begin_safe(&self, drop: &DropRecord) -> Result<Recorded<DropRecord>> {
        let update = Update::of(&drop.id, META).set("safe_attempts", &(drop.safe_attempts + 1))?;
        let update = update.by("safe_by").only_if(
            "attribute_not_exists(#safe) AND (attribute_not_exists(#safe_attempts) OR #safe_attempts = :attempts)",
        );
        self.update(update.value(":attempts", &drop.safe_attempts)?).await
    }

    /// Records what became of `results.safe.csv`; the first record counts.
    pub async fn settle_safe(
        &self,
        drop_id: &DropId,
        safe: SafeResults,
    ) -> Result<Recorded<DropRecord>> {
        let update = Update::of(drop_id, META).set_once("safe", &safe)?;
        self.update(update.only_if("attribute_exists(pk)")).await
    }

    /// Removes a drop, whose end is reported, from the open index.
    pub async fn close(&self, drop_id: &DropId, now: Timestamp) -> Result<Recorded<DropRecord>> {
        let update =
            Update::of(drop_id, META).set("closed_at", &now)?.remove("open").remove("open_since");
        self.update(update.by("closed_by").only_if("attribute_exists(#open)")).await
    }

    /// Records that the drop has not ended 72 hours after it was dropped; the first time is kept.
    pub async fn note_overdue_drop(
        &self,
        drop_id: &DropId,
        now: Timestamp,
    ) -> Result<Recorded<DropRecord>> {
        let update = Update::of(drop_id, META).set_once("overdue_at", &now)?;
        self.update(update.only_if("attribute_exists(pk)")).await
    }

    /// Records that a function works on the drop, if it is still in the state of `drop`.
    pub async fn heartbeat(
        &self,
        drop: &DropRecord,
        now: Timestamp,
    ) -> Result<Recorded<DropRecord>> {
        let update = Update::of(&drop.id, META).set("active_at", &now)?;
        self.update(update.only_if("#state = :state").value(":state", &drop.state)?).await
    }

    /// Records that a drop waits, since when it does for what it waits for, and when poll is to
    /// requeue it.
    pub async fn wait(
        &self,
        drop: &DropRecord,
        since: Option<Timestamp>,
        retry_at: Timestamp,
    ) -> Result<Recorded<DropRecord>> {
        let update = Update::of(&drop.id, META).put("waits_since", since.as_ref())?;
        let update = update.set("retry_at", &retry_at)?;
        self.update(update.only_if("#state = :state").value(":state", &drop.state)?).await
    }

    /// Records that a drop goes on or was requeued, and waits no longer, if it is still in the state
    /// of `drop` and waits for the same time.
    pub async fn resume(&self, drop: &DropRecord, now: Timestamp) -> Result<Recorded<DropRecord>> {
        let update = Update::of(&drop.id, META).set("active_at", &now)?.remove("retry_at");
        let update = update.only_if("#state = :state").value(":state", &drop.state)?;
        self.update(update.and_still("retry_at", drop.retry_at.as_ref())?).await
    }

    /// Records what a drop waits for, or that it no longer waits for that, if it is still in the
    /// state of `drop`.
    pub async fn set_drop_problem(
        &self,
        drop: &DropRecord,
        kind: DropProblem,
        problem: Option<&Problem>,
    ) -> Result<Recorded<DropRecord>> {
        let update = Update::of(&drop.id, META).put(attribute(kind), problem)?;
        self.update(update.only_if("#state = :state").value(":state", &drop.state)?).await
    }

    /// Records since when the API has refused to create jobs for the drop, and since when it has
    /// blamed the request, from `drop`.
    pub async fn set_refusals(&self, drop: &DropRecord) -> Result<Recorded<DropRecord>> {
        let update =
            Update::of(&drop.id, META).put("refused_since", drop.refused_since.as_ref())?;
        self.update(
            update
                .put("invalid_since", drop.invalid_since.as_ref())?
                .only_if("attribute_exists(pk)"),
        )
        .await
    }
}

/// The attribute of a problem.
fn attribute(kind: DropProblem) -> &'static str {
    match kind {
        DropProblem::Check => "check_problem",
        DropProblem::Create => "create_problem",
        DropProblem::Publish => "publish_problem",
    }
}
