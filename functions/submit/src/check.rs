//! Checks a drop's file and records the plan: first `rejected.csv`, then every part, then the drop.
//! No job is created before the last of these is written.

use crate::rejected_files::RejectedFiles;
use crate::saves::{Saves, TooLarge, delete_saves};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use moondrop_shared::check::rejected::refusal_lines;
use moondrop_shared::check::{Checked, Checker, Counts, Notice, Refusal, Step};
use moondrop_shared::csv::error::InputError;
use moondrop_shared::drop::{DropRecord, DropState, OnBadRows, Plan};
use moondrop_shared::event::{DropEvent, OutgoingEvent};
use moondrop_shared::lifecycle::{report_check, try_report};
use moondrop_shared::object_key::policy_folder;
use moondrop_shared::part::PartRecord;
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::results::tally::Outcomes;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::source_reader::is_gone;
use std::time::{Duration, Instant};

/// A check that is shorter than this is let go to its end, however little time is left.
const SHORT: Duration = Duration::from_secs(1);

/// Checks the file and moves the drop to `uploading`, `rejected` or, if the file is gone, `failed`;
/// returns its record. `None` if this attempt has nothing more to do: the time is over, the check is
/// saved and goes on in another invocation; or another attempt is ahead.
pub(crate) async fn check_and_plan(
    services: &Services,
    drop: &DropRecord,
    deadline: Deadline,
) -> Result<Option<DropRecord>> {
    let check = Check { services, drop, deadline };
    if drop.policy.is_none() {
        let message = match policy_folder(&drop.source.key) {
            Some(_) => {
                "the file's folder is none of the policies' aliases, and no other is taken (POLICY_FOLDERS): put it into the folder of an alias"
            }
            None => {
                "the file has no policy: put it into a folder with the policy's id or alias, or set a default policy"
            }
        };
        return check.refuse(InputError::of_file(Code::Policy, message).into()).await.map(Some);
    }
    if let Some(problem) = drop.mapping.as_ref().and_then(|mapping| mapping.invalid.as_ref()) {
        return check.refuse(InputError::of_file(Code::Mapping, problem).into()).await.map(Some);
    }
    if let Err(refusal) = limit_bytes(services, drop.source.size) {
        return check.refuse(refusal).await.map(Some);
    }
    let began = Instant::now();
    let ended = match Box::pin(check.read_file()).await {
        Ok(Some(checked)) => check.plan(checked).await,
        Ok(None) => return Ok(None),
        Err(error) if is_gone(&error) => {
            let found = Found { problem: Some(Problem::source_gone()), ..Found::default() };
            check.end(DropState::Failed, found).await
        }
        Err(error) => match error.downcast::<Refusal>() {
            Ok(refusal) => check.refuse(refusal).await,
            Err(error) => Err(error),
        },
    };
    let may_be_saved = began.elapsed() >= services.settings.save_check_every;
    if ended.is_ok() && (may_be_saved || drop.check.is_some()) {
        delete_saves(services, &drop.id).await;
    }
    ended.map(Some)
}

/// The problem that a failed check is reported as.
pub(crate) fn problem(error: &anyhow::Error) -> Problem {
    match error.chain().find_map(|cause| cause.downcast_ref::<TooLarge>()) {
        Some(limit) => Problem::check_too_large(&limit.to_string()),
        None => Problem::check_failed(),
    }
}

/// What one reading of the file came to.
enum Pass {
    /// It was read to its end.
    Read(Step),
    /// The time is over, and the check is saved.
    Saved,
    /// Another attempt has come further, or the drop is not to be checked any more.
    Overtaken,
}

/// The check of one drop in one invocation.
struct Check<'a> {
    services: &'a Services,
    drop: &'a DropRecord,
    deadline: Deadline,
}

impl Check<'_> {
    /// Reads the file once or twice, as the checker needs, and stores `rejected.csv`; an
    /// [`Refusal`] refuses the file. `None` as in [`check_and_plan`].
    async fn read_file(&self) -> Result<Option<Checked>> {
        let mut rejected = RejectedFiles::begin(self.services, self.drop);
        let checked = async {
            let mut saves = Saves::of(self.services, self.drop);
            let mut checker = saves.resume(&mut rejected).await?.unwrap_or_else(|| {
                Checker::by(self.drop.rules, self.drop.limits).mapped(self.drop.mapping().cloned())
            });
            loop {
                match self.pass(checker, &mut saves, &mut rejected).await? {
                    Pass::Saved => {
                        self.continue_elsewhere().await?;
                        return Ok(None);
                    }
                    Pass::Overtaken => return Ok(None),
                    Pass::Read(Step::ReadAgain(next)) => {
                        saves.begin_pass();
                        checker = *next;
                    }
                    Pass::Read(Step::Done(checked)) => {
                        limit_rows(self.services, checked.rows)?;
                        if checked.rejected > 0 {
                            rejected.finish().await?;
                        }
                        return Ok(Some(checked));
                    }
                }
            }
        }
        .await;
        // No effect after `finish`.
        rejected.abort().await;
        checked
    }

    /// Reads the file once, from where the checker is to its last byte.
    async fn pass(
        &self,
        mut checker: Checker,
        saves: &mut Saves<'_>,
        rejected: &mut RejectedFiles<'_>,
    ) -> Result<Pass> {
        let Check { services, drop, deadline } = self;
        let from = checker.place().map_or(0, |place| place.offset);
        let (range, at_once) = (from..drop.source.size, services.settings.reads_at_once);
        let mut reader = services.drops.read_ahead(&drop.source, range, at_once);
        let (began, mut reported) = (Instant::now(), Instant::now());
        while let Some(bytes) = reader.next().await? {
            let rejections = checker.push(&bytes)?;
            rejected.write(&rejections).await?;
            saves.add(&rejections);
            limit_rows(services, checker.rows())?;
            ensure!(checker.rows() <= services.settings.rows_in_memory, TooLarge(checker.rows()));
            let is_time_over = began.elapsed() > SHORT && deadline.is_near();
            if is_time_over {
                let has_moved = saves.save(&mut checker).await?;
                ensure!(has_moved, "the check came no further in this invocation");
            } else {
                saves.save_if_due(&mut checker).await?;
            }
            if saves.is_overtaken() {
                return Ok(Pass::Overtaken);
            }
            if is_time_over {
                return Ok(Pass::Saved);
            }
            if reported.elapsed() > services.settings.report_every {
                // A long check is no stall.
                services.ledger.heartbeat(drop, Timestamp::now()).await?;
                report_check(services, drop, checker.rows()).await;
                reported = Instant::now();
            }
        }
        let (last, step) = checker.finish()?;
        rejected.write(&last).await?;
        Ok(Pass::Read(step))
    }

    /// Asks for another invocation, as poll does for a drop that is stalled.
    async fn continue_elsewhere(&self) -> Result<()> {
        let Check { services, drop, .. } = self;
        tracing::info!(drop = %drop.id, "the time is over; the check goes on in another invocation");
        services.bus.put(&[OutgoingEvent::DropStalled { drop: drop.id.clone() }]).await
    }

    async fn plan(&self, checked: Checked) -> Result<DropRecord> {
        let Check { services, drop, .. } = self;
        let (rows, rejected) = (checked.rows, checked.rejected);
        let mut plan = Plan { header: checked.header.line(), parts: 0, rows, rejected };
        let mut found =
            Found { errors: checked.counts, notices: checked.notices, ..Found::default() };
        if rejected > 0 && drop.on_bad_rows == OnBadRows::RejectFile {
            found.problem = Some(Problem::rows_rejected(rejected, rows));
            found.plan = Some(plan);
            return self.end(DropState::Rejected, found).await;
        }
        plan.parts = u32::try_from(checked.parts.len()).context("count the parts")?;
        let parts = checked
            .parts
            .into_iter()
            .map(|part| PartRecord::planned(drop.id.clone(), part))
            .collect();
        services.ledger.put_parts(parts, Timestamp::now()).await?;
        services.ledger.put_left(&drop.id, plan.parts).await?;
        // Announced before the drop moves to `uploading`: if this attempt dies in between, the next
        // one announces it again.
        found.plan = Some(plan);
        let accepted = moved(drop, DropState::Uploading, found.clone());
        let outcomes = Outcomes { rejected, ..Outcomes::default() };
        let event = DropEvent::of(&accepted, outcomes, &services.settings.results_bucket);
        services.bus.put(&[OutgoingEvent::DropAccepted(Box::new(event))]).await?;
        let drop = self.end(DropState::Uploading, found).await?;
        try_report(services, &drop).await;
        Ok(drop)
    }

    /// Refuses the file; `rejected.csv` has a line for each error.
    async fn refuse(&self, refusal: Refusal) -> Result<DropRecord> {
        let lines = refusal_lines(&refusal);
        let mut rejected = RejectedFiles::of_refusal(self.services, self.drop, lines.len());
        rejected.write(&lines).await?;
        rejected.finish().await?;
        let error = &refusal.error;
        let problem = match error.code {
            // It is in no line of the file.
            Code::Mapping => Problem::new(error.code, refusal.message()),
            _ => Problem::file_refused(error.code, error.line, &refusal.message()),
        };
        let Refusal { counts: errors, notices, .. } = refusal;
        let found = Found { plan: None, problem: Some(problem), errors, notices };
        self.end(DropState::Rejected, found).await
    }

    /// Moves the drop out of `checking`. If another attempt did that before, its decision counts.
    async fn end(&self, state: DropState, found: Found) -> Result<DropRecord> {
        let next = moved(self.drop, state, found);
        let moved = self.services.ledger.move_drop(&next, DropState::Checking).await?;
        if !moved.ours {
            return Ok(moved.record);
        }
        // Counted once: only one attempt moves the drop. Its end is counted where it is concluded.
        let metrics = &self.services.metrics;
        let (rows, rejected) = next.plan.as_ref().map_or((0, 0), |plan| (plan.rows, plan.rejected));
        metrics.count(Metric::RowsRejected, rejected);
        if state == DropState::Uploading {
            metrics.count(Metric::DropsAccepted, 1);
            metrics.count(Metric::RowsAccepted, rows - rejected);
        }
        metrics.flush();
        Ok(moved.record)
    }
}

/// Refuses a file with more rows than the stack's operator allows, before anything is spent on it.
fn limit_rows(services: &Services, rows: u64) -> Result<(), Refusal> {
    limit((rows, "rows"), services.settings.max_rows, "MAX_ROWS_PER_DROP")
}

/// As [`limit_rows`], by the file's size.
fn limit_bytes(services: &Services, bytes: u64) -> Result<(), Refusal> {
    limit((bytes, "bytes"), services.settings.max_bytes, "MAX_BYTES_PER_DROP")
}

fn limit((has, unit): (u64, &str), most: Option<u64>, setting: &str) -> Result<(), Refusal> {
    let Some(most) = most.filter(|most| has > *most) else { return Ok(()) };
    let message = format!(
        "the file has more than {most} {unit}, the most that {setting} allows: drop it as several files"
    );
    Err(InputError::of_file(Code::Limit, message).into())
}

/// What the check found, for the drop's record.
#[derive(Clone, Default)]
struct Found {
    plan: Option<Plan>,
    problem: Option<Problem>,
    errors: Counts,
    notices: Vec<Notice>,
}

/// The drop's record after `checking`.
fn moved(drop: &DropRecord, state: DropState, found: Found) -> DropRecord {
    let Found { plan, problem, errors, notices } = found;
    let now = Timestamp::now();
    let mut next = DropRecord { state, problem, errors, notices, active_at: now, ..drop.clone() };
    next.rejections_in_work = state == DropState::Uploading;
    next.times.planned_at = plan.as_ref().map(|_| now);
    next.times.ended_at = state.is_final().then_some(now);
    next.plan = plan;
    next
}
