//! Publishes a drop: all its parts in order, in one object that appears whole or not at all.

use crate::assemble::{Assembled, Results};
use crate::safe;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use moondrop_shared::check::most_frequent;
use moondrop_shared::drop::problems::policy_versions;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::OutgoingEvent;
use moondrop_shared::lifecycle::conclude_if_ended;
use moondrop_shared::object_key::work_folder;
use moondrop_shared::part::{CollectedPart, PartRecord, PartState};
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::s3::results_bucket::Written;

/// What became of the publication of a drop.
pub(crate) enum Publication {
    /// Nothing is left to do here: it is published, or goes on elsewhere, or is not due yet.
    Done,
    /// Another object is in the place of `results.csv`: the drop waits until it is gone.
    PlaceIsTaken,
}

/// Publishes the drop if every part of it is collected.
pub(crate) async fn publish_if_last(
    services: &Services,
    drop: &DropRecord,
    deadline: Deadline,
) -> Result<Publication> {
    let parts = services.ledger.parts(&drop.id).await?;
    let planned = drop.plan.as_ref().map_or(0, |plan| plan.parts as usize);
    if parts.len() != planned || parts.iter().any(|p| p.state != PartState::Collected) {
        return Ok(Publication::Done);
    }
    let collected: Vec<&CollectedPart> =
        parts.iter().filter_map(|p| p.collected.as_ref()).collect();
    let tally = add_up(drop, &collected)?;
    // Publishing may take long; the drop must not look stalled to poll.
    let drop = services.ledger.heartbeat(drop, Timestamp::now()).await?.record;
    if conclude(services, &drop).await? {
        return Ok(Publication::Done);
    }
    let results = Results::of(services, &drop, &collected)?;
    match Box::pin(results.write(deadline)).await? {
        Assembled::Written(Written::Conflict) => return Ok(Publication::PlaceIsTaken),
        Assembled::Written(Written::New | Written::Same) => {}
        Assembled::Published => return Ok(Publication::Done),
        // Without a piece more, another invocation at once would do no better: poll has it go on.
        Assembled::Unfinished { is_further: false } => return Ok(Publication::Done),
        Assembled::Unfinished { is_further: true } => {
            ask_to_go_on(services, &drop, &parts).await?;
            return Ok(Publication::Done);
        }
    }
    let next = ended(&drop, results.bytes(), &tally, &parts);
    let drop = services.ledger.move_drop(&next, drop.state).await?.record;
    ensure!(
        drop.state.is_final(),
        "the drop moved to {} while it was published",
        drop.state.as_str()
    );
    let drop = safe::write_if_due(services, drop).await?;
    conclude(services, &drop).await?;
    Ok(Publication::Done)
}

/// Concludes a drop that has ended, and then deletes its work files: nobody waits for that. Returns
/// whether it has ended.
pub(crate) async fn conclude(services: &Services, drop: &DropRecord) -> Result<bool> {
    let is_due = drop.is_to_be_concluded();
    let has_ended = conclude_if_ended(services, drop).await?;
    if is_due && (drop.state != DropState::Failed || drop.results_bytes.is_some()) {
        delete_work_files(services, drop).await;
    }
    Ok(has_ended)
}

/// The time is over before `results.csv` is whole: another invocation goes on.
async fn ask_to_go_on(services: &Services, drop: &DropRecord, parts: &[PartRecord]) -> Result<()> {
    tracing::info!(drop = %drop.id, "the time is over before results.csv is whole; it is continued");
    let Some(first) = parts.first() else { return Ok(()) };
    let (part, job) = (first.plan.number, first.job_id.clone());
    let event = OutgoingEvent::JobCompleted { drop: drop.id.clone(), part, job, publish: true };
    services.bus.put(&[event]).await
}

/// The drop's record with its final state, after its results were written.
fn ended(drop: &DropRecord, bytes: u64, tally: &Tally, parts: &[PartRecord]) -> DropRecord {
    let mut next = drop.clone();
    next.times.ended_at = Some(Timestamp::now());
    next.results_bytes = Some(bytes);
    next.policy_versions = policy_versions(parts);
    if drop.cancelled_at.is_some() {
        let problem = Problem::cancelled(tally.rows.evaluated, tally.rows.total());
        (next.state, next.problem) = (DropState::CompletedWithErrors, Some(problem));
        return next;
    }
    next.state = end_state(tally, parts);
    next.problem = (next.state == DropState::Failed).then(|| nothing_evaluated(drop, tally, parts));
    next
}

/// The counts of all rows. They must add up to the rows of the file; otherwise Moondrop has a bug,
/// and publishes nothing.
fn add_up(drop: &DropRecord, collected: &[&CollectedPart]) -> Result<Tally> {
    let mut tally = Tally::default();
    collected.iter().for_each(|c| tally.add(&c.tally));
    let plan = drop.plan.as_ref().context("the drop has no plan")?;
    let (counted, planned) = (tally.rows.total(), plan.rows);
    ensure!(counted == planned, "the file has {planned} rows, and {counted} would be published");
    Ok(tally)
}

fn end_state(tally: &Tally, parts: &[PartRecord]) -> DropState {
    let rows = tally.rows;
    let source_missing =
        parts.iter().filter_map(|p| p.collected.as_ref()).any(|c| c.source_missing);
    if rows.evaluated == 0 {
        DropState::Failed
    } else if rows.evaluated == rows.total() && !source_missing && tally.unreadable_labels == 0 {
        DropState::Completed
    } else {
        DropState::CompletedWithErrors
    }
}

fn nothing_evaluated(drop: &DropRecord, tally: &Tally, parts: &[PartRecord]) -> Problem {
    let rows = tally.rows;
    let why = parts
        .iter()
        .find_map(|p| p.failure.as_ref())
        .map(|f| format!(": {}", f.reason))
        .unwrap_or_default();
    let code = most_frequent(&drop.errors)
        .map(|(code, rows)| format!(", most often {code} ({rows})"))
        .unwrap_or_default();
    let (failed, rejected, missing) = (rows.failed, rows.rejected, rows.missing);
    Problem::new(
        Code::Nothing,
        format!(
            "no row was evaluated; {failed} failed, {rejected} were rejected{code}, {missing} are missing{why}"
        ),
    )
}

/// Deletes the drop's work files: those of its parts and of other attempts, and held results. The
/// bucket's lifecycle deletes those that remain.
async fn delete_work_files(services: &Services, drop: &DropRecord) {
    let deleted = async {
        let keys = services.results.list(&work_folder(&drop.id)).await?;
        services.results.delete_all(&keys).await?;
        anyhow::Ok(())
    };
    if let Err(error) = deleted.await {
        tracing::info!(
            error = describe(&error),
            "some work files were not deleted; the bucket's lifecycle rule will delete them"
        );
    }
}
