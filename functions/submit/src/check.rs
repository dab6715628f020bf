//! Checking a drop's file and recording the plan: first `rejected.csv`, then every part, then the drop. Until the last of
//! these stands, no job is created.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use moondrop_shared::check::rejected::{REJECTED_HEADER, write_rejection};
use moondrop_shared::check::{Checked, Checker};
use moondrop_shared::csv::error::InputError;
use moondrop_shared::drop::object_key::ObjectKey;
use moondrop_shared::drop::{DropRecord, DropState, OnBadRows, Plan};
use moondrop_shared::event::{DropEvent, OutgoingEvent};
use moondrop_shared::part::PartRecord;
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::results::tally::Outcomes;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::drops_bucket::{SourceReader, is_gone};
use moondrop_shared::services::s3::results_bucket::{ObjectWriter, Written};
use std::time::{Duration, Instant};

/// How often `status.json` tells how far the check has come.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Checks the file and moves the drop to `uploading`, `rejected`, or, if the file is gone, `failed`.
pub(crate) async fn check_and_plan(services: &Services, meta: &mut DropRecord, deadline: Deadline) -> Result<()> {
    if meta.policy.is_none() {
        let reason = "no policy is named: put the file into a folder with the policy's id or alias, or set a default policy";
        return refuse_file(services, meta, InputError::of_file(Code::Policy, reason)).await;
    }
    match look_twice(services, meta, deadline).await {
        Ok(Ok(checked)) => plan(services, meta, checked).await,
        Ok(Err(fault)) => refuse_file(services, meta, fault).await,
        Err(error) if is_gone(&error) => {
            meta.trouble = Some(Problem {
                class: "E_GONE".to_owned(),
                reason: "the file was overwritten or deleted before it had been read; nothing was evaluated".to_owned(),
                next: "A file that took its place is a drop of its own. To have this one evaluated, drop it again.".to_owned(),
            });
            end(services, meta, DropState::Failed).await
        }
        Err(error) => Err(error),
    }
}

/// Why a file cannot be checked with what an invocation has; again does not help, but more of it does.
#[derive(Debug, thiserror::Error)]
enum TooLarge {
    #[error("its {0} rows take more memory than submit has")]
    ForMemory(u64),
    #[error("the time of one invocation is too short to check it: {0} rows were read")]
    ForTime(u64),
}

/// What a check that failed is told as.
pub(crate) fn trouble(error: &anyhow::Error) -> Problem {
    if let Some(too_large) = error.chain().find_map(|cause| cause.downcast_ref::<TooLarge>()) {
        let next = "It needs you to give submit more memory, with which it is also quicker, or to drop the file in several. It is \
                    tried again by itself.";
        return Problem::new("E_CHECK_SIZE", format!("the file is too large for submit: {too_large}"), next);
    }
    let next = "It will be tried again by itself. If it stays so for hours, it needs you to look at submit's logs.";
    Problem::new("E_CHECK", "the file could not be read, or what was found not be recorded", next)
}

/// One look at a clean file; where something is to be rejected, a second one that writes `rejected.csv`.
async fn look_twice(services: &Services, meta: &DropRecord, deadline: Deadline) -> Result<Result<Checked, InputError>> {
    let first = match look(services, meta, Checker::first(meta.limits), None, deadline).await? {
        Ok(checked) if checked.needs_second_look() => checked,
        decided => return Ok(decided),
    };
    let key = ObjectKey::Rejected { folder: &meta.folder }.to_string();
    let mut writer = services.store.begin(&key, 0);
    let looked = async {
        let second = Checker::second(meta.limits, first);
        let looked = look(services, meta, second, Some(&mut writer), deadline).await?;
        if looked.as_ref().is_ok_and(|checked| checked.rejected > 0) {
            finish_rejections(&mut writer, meta).await?;
        }
        Ok(looked)
    }
    .await;
    // After `finish` there is nothing left to give up.
    writer.abort().await;
    looked
}

async fn look(
    services: &Services,
    meta: &DropRecord,
    mut checker: Checker,
    mut rejections: Option<&mut ObjectWriter>,
    deadline: Deadline,
) -> Result<Result<Checked, InputError>> {
    let mut reader = SourceReader::whole(services.s3.clone(), meta.source.clone());
    let mut reported = Instant::now();
    while let Some(bytes) = reader.next().await? {
        if let Err(fault) = checker.push(&bytes) {
            return Ok(Err(fault));
        }
        ensure!(checker.rows() <= services.settings.rows_in_memory, TooLarge::ForMemory(checker.rows()));
        if let Some(writer) = &mut rejections {
            writer.write(&checker.take_rejections(), Some(meta.id.as_str())).await?;
        }
        if reported.elapsed() > REPORT_EVERY {
            ensure!(!deadline.is_near(), TooLarge::ForTime(checker.rows()));
            // A long check is no stall.
            services.ledger.touch(meta, Timestamp::now()).await?;
            services.reporter.try_report(&meta.id, checker.rows()).await;
            reported = Instant::now();
        }
    }
    let looked = checker.finish();
    if let Some(writer) = &mut rejections {
        writer.write(&checker.take_rejections(), Some(meta.id.as_str())).await?;
    }
    Ok(looked)
}

/// Puts `rejected.csv` in its place. It is a function of the file and the settings the drop was taken up with, so one that
/// stands there already under the drop's name is this one.
async fn finish_rejections(writer: &mut ObjectWriter, meta: &DropRecord) -> Result<()> {
    let written = writer.finish(Some(meta.id.as_str())).await?;
    ensure!(written.written != Written::Conflict, "a rejected.csv that is not this drop's stands in its folder");
    Ok(())
}

async fn plan(services: &Services, meta: &mut DropRecord, checked: Checked) -> Result<()> {
    let now = Timestamp::now();
    let (rows, rejected) = (checked.rows, checked.rejected);
    let mut plan = Plan { header: checked.header.line(), parts: 0, rows, rejected };
    meta.times.planned_at = Some(now);
    meta.touched_at = now;
    if rejected > 0 && meta.on_bad_rows == OnBadRows::RejectFile {
        meta.plan = Some(plan);
        meta.trouble = Some(Problem {
            class: "E_ROWS".to_owned(),
            reason: format!("{rejected} of {rows} rows are not fit to be evaluated, and such a file is held back as a whole"),
            next: "Mend the rows that rejected.csv lists and drop the file again. Nothing was sent.".to_owned(),
        });
        return end(services, meta, DropState::Rejected).await;
    }
    plan.parts = u32::try_from(checked.parts.len()).context("count the parts")?;
    meta.plan = Some(plan);
    let parts = checked.parts.into_iter().map(|part| PartRecord::planned(meta.id.clone(), part)).collect();
    services.ledger.put_parts(parts, now).await?;
    meta.trouble = None;
    // Told before the drop moves on: an attempt that dies in between is followed by one that tells it again.
    let accepted = DropRecord { state: DropState::Uploading, ..meta.clone() };
    let outcomes = Outcomes { rejected, ..Outcomes::default() };
    let event = DropEvent::of(&accepted, outcomes, &services.settings.results_bucket);
    services.bus.put(&[OutgoingEvent::DropAccepted(Box::new(event))]).await?;
    end(services, meta, DropState::Uploading).await?;
    services.reporter.try_report(&meta.id, 0).await;
    Ok(())
}

/// Refuses the file: `rejected.csv` says why, in one line.
async fn refuse_file(services: &Services, meta: &mut DropRecord, fault: InputError) -> Result<()> {
    let mut lines = REJECTED_HEADER.to_vec();
    write_rejection(&mut lines, &fault, b"");
    let key = ObjectKey::Rejected { folder: &meta.folder }.to_string();
    let mut writer = services.store.begin(&key, lines.len() as u64);
    writer.write(&lines, None).await?;
    finish_rejections(&mut writer, meta).await?;
    meta.trouble = Some(Problem {
        class: fault.class.to_string(),
        reason: format!("line {}: {}", fault.line, fault.reason),
        next: "Mend the file and drop it again. Nothing was sent.".to_owned(),
    });
    end(services, meta, DropState::Rejected).await
}

/// Moves the drop out of `checking`. If another attempt did so before, what that one decided stands.
async fn end(services: &Services, meta: &mut DropRecord, state: DropState) -> Result<()> {
    meta.state = state;
    if state.is_final() {
        meta.times.ended_at = Some(Timestamp::now());
    }
    if !services.ledger.move_drop(meta, DropState::Checking).await? {
        *meta = services.ledger.meta(&meta.id).await?.context("the drop has no record")?;
        return Ok(());
    }
    // Counted once: one attempt moves the drop. Its end is counted where it is concluded.
    let metrics = &services.metrics;
    let (rows, rejected) = meta.plan.as_ref().map_or((0, 0), |plan| (plan.rows, plan.rejected));
    metrics.count(Metric::RowsRejected, rejected);
    if state == DropState::Uploading {
        metrics.count(Metric::DropsAccepted, 1);
        metrics.count(Metric::RowsAccepted, rows - rejected);
    }
    Ok(())
}
