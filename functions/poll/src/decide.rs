//! What a part's record and the API's word on its job make together. Values in, a decision out.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::batch_api::Job;
use moondrop_shared::job::JobState;
use moondrop_shared::record::{Part, PartFailure, PartState};

/// From when on a job that was never fed is given up: half an hour after its upload address has run out, when no upload can
/// be under way any more.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(4 * 60 + 30);
/// How long a job may be unknown to the API before it counts as lost.
const LOST_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What to do about a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    /// Nothing.
    Nothing,
    /// Record the job's state, and what it makes of the part.
    Record { job: JobState, state: Option<PartState>, failure: Option<PartFailure> },
    /// Record that the API does not know the job, or that it does again.
    NoteMissing(Option<Timestamp>),
    /// The job is lost: its rows end as missing.
    Lose(PartFailure),
    /// The job was never fed and cannot be any more: claim it.
    Abandon,
    /// The job is claimed: cancel it.
    Cancel,
    /// The claimed job is cancelled or gone: the part may have another.
    PlanAgain,
}

/// Decides about a part whose job was asked after; `job` is `None` if the API does not know it.
pub(crate) fn decide(part: &Part, job: Option<&Job>, now: Timestamp) -> Move {
    let age = |since: Option<Timestamp>| since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    let given_up = part.state == PartState::Created && age(part.created_at) > GIVEN_UP_AFTER;
    let Some(job) = job else {
        // A job with an address may yet be fed; that the API does not know it matters once it no longer may.
        let matters = given_up || matches!(part.state, PartState::Uploaded | PartState::Abandoning);
        return match part.state {
            _ if !matters => Move::Nothing,
            _ if part.missing_since.is_none() => Move::NoteMissing(Some(now)),
            _ if age(part.missing_since) <= LOST_AFTER => Move::Nothing,
            PartState::Created => Move::Abandon,
            PartState::Abandoning => Move::PlanAgain,
            _ => Move::Lose(PartFailure { lost: true, reason: "the API has not known the job for over an hour".to_owned() }),
        };
    };
    let further = job.state.rank() > part.job_rank;
    match (&job.state, part.state) {
        (JobState::Cancelled, PartState::Abandoning) => Move::PlanAgain,
        // Known again: the absence is over before anything else is done, or it would run on into the next one.
        (JobState::Initialized, _) if part.missing_since.is_some() => Move::NoteMissing(None),
        (JobState::Initialized, PartState::Abandoning) => Move::Cancel,
        (JobState::Initialized, PartState::Created) if given_up => Move::Abandon,
        // Completed without an address of results is not completed yet.
        (JobState::Completed, _) if job.output_file_url.is_none() => still_known(part),
        (JobState::Completed, _) if further => record(job, Some(PartState::Completed), None),
        (JobState::Error | JobState::Cancelled, _) if further => {
            let words = job.error.as_ref().and_then(|e| e.words());
            let what = if job.state == JobState::Error { "the job failed" } else { "the job was cancelled" };
            let reason = words.map_or_else(|| what.to_owned(), |words| format!("{what}: {words}"));
            record(job, Some(PartState::Failed), Some(PartFailure { lost: false, reason }))
        }
        // Started, though our record says it was not fed, or even that it is being given up: the upload took effect.
        (state, PartState::Created | PartState::Abandoning) if state.is_started() && further => {
            record(job, Some(PartState::Uploaded), None)
        }
        _ if further => record(job, None, None),
        _ => still_known(part),
    }
}

fn record(job: &Job, state: Option<PartState>, failure: Option<PartFailure>) -> Move {
    Move::Record { job: job.state.clone(), state, failure }
}

fn still_known(part: &Part) -> Move {
    if part.missing_since.is_some() { Move::NoteMissing(None) } else { Move::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moondrop_shared::check::PlannedPart;
    use moondrop_shared::drop::DropId;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn part(state: PartState, rank: u32) -> Part {
        let plan = PlannedPart {
            number: 1,
            first_line: 2,
            offset: 9,
            end: 99,
            rows: 1,
            accepted: 1,
            upload_bytes: 99,
            rejected_offset: 0,
            rejected_bytes: 0,
        };
        let job = Some("j".to_owned());
        Part { state, job_id: job, job_rank: rank, created_at: Some(at(0)), ..Part::planned(DropId::of("b", "k", "v"), plan) }
    }

    fn job(state: &str, url: bool) -> Job {
        let url = if url { r#","outputFileUrl":"https://x.amazonaws.com/o""# } else { "" };
        serde_json::from_str(&format!(r#"{{"batchJobId":"j","name":"n","state":"BATCH_JOB_STATE_{state}"{url}}}"#)).unwrap()
    }

    fn state_after(part: &Part, job: &Job) -> Option<PartState> {
        match decide(part, Some(job), at(1)) {
            Move::Record { state, .. } => state,
            _ => None,
        }
    }

    #[test]
    fn a_state_never_goes_back_and_an_unknown_one_changes_nothing() {
        let part = part(PartState::Uploaded, JobState::Submitted.rank());
        for earlier in ["UNSPECIFIED", "INITIALIZED", "QUEUED", "SUBMITTED", "DREAMING"] {
            assert_eq!(decide(&part, Some(&job(earlier, false)), at(1)), Move::Nothing, "{earlier}");
        }
    }

    #[test]
    fn completed_counts_only_with_an_address_of_results() {
        let part = part(PartState::Uploaded, 10);
        assert_eq!(decide(&part, Some(&job("COMPLETED", false)), at(1)), Move::Nothing);
        assert_eq!(state_after(&part, &job("COMPLETED", true)), Some(PartState::Completed));
    }

    #[test]
    fn a_started_job_shows_that_its_upload_took_effect() {
        for state in [PartState::Created, PartState::Abandoning] {
            assert_eq!(state_after(&part(state, 0), &job("QUEUED", false)), Some(PartState::Uploaded));
        }
    }

    #[test]
    fn an_unfed_job_is_given_up_only_when_its_address_has_long_run_out() {
        let part = part(PartState::Created, 1);
        assert_eq!(decide(&part, Some(&job("INITIALIZED", false)), at(4 * 60 + 29)), Move::Nothing);
        assert_eq!(decide(&part, Some(&job("INITIALIZED", false)), at(4 * 60 + 31)), Move::Abandon);
    }

    #[test]
    fn an_unfed_job_that_is_not_known_is_held_for_an_hour_before_it_is_given_up() {
        let mut part = part(PartState::Created, 1);
        assert_eq!(decide(&part, None, at(4 * 60)), Move::Nothing, "it may still be fed");
        assert_eq!(decide(&part, None, at(271)), Move::NoteMissing(Some(at(271))));
        part.missing_since = Some(at(271));
        assert_eq!(decide(&part, None, at(330)), Move::Nothing);
        assert_eq!(decide(&part, None, at(332)), Move::Abandon);
    }

    #[test]
    fn an_absence_ends_when_the_job_is_known_again() {
        for state in [PartState::Created, PartState::Abandoning, PartState::Uploaded] {
            let part = Part { missing_since: Some(at(271)), ..part(state, 1) };
            assert_eq!(decide(&part, Some(&job("INITIALIZED", false)), at(330)), Move::NoteMissing(None), "{state:?}");
        }
    }

    #[test]
    fn a_claimed_job_is_planned_again_only_when_it_is_cancelled_or_gone() {
        let part = part(PartState::Abandoning, 1);
        assert_eq!(decide(&part, Some(&job("INITIALIZED", false)), at(300)), Move::Cancel);
        assert_eq!(decide(&part, Some(&job("CANCELLED", false)), at(300)), Move::PlanAgain);
        // Not known this once may be a fault of the answer: it is held first.
        assert_eq!(decide(&part, None, at(300)), Move::NoteMissing(Some(at(300))));
        let gone = Part { missing_since: Some(at(300)), ..part };
        assert_eq!(decide(&gone, None, at(330)), Move::Nothing);
        assert_eq!(decide(&gone, None, at(361)), Move::PlanAgain);
    }

    #[test]
    fn a_job_missing_once_is_held_and_over_an_hour_is_lost() {
        let mut part = part(PartState::Uploaded, 10);
        assert_eq!(decide(&part, None, at(5)), Move::NoteMissing(Some(at(5))));
        part.missing_since = Some(at(5));
        assert_eq!(decide(&part, None, at(60)), Move::Nothing);
        assert_eq!(decide(&part, Some(&job("QUEUED", false)), at(60)), Move::NoteMissing(None));
        assert!(matches!(decide(&part, None, at(66)), Move::Lose(PartFailure { lost: true, .. })));
    }

    #[test]
    fn a_failed_or_cancelled_job_fails_its_part_with_the_apis_reason() {
        let mut failed = job("ERROR", false);
        failed.error =
            serde_json::from_str(r#"{"errorCode":"BATCH_JOB_ERROR_INVALID_POLICY","errorMessage":"no such"}"#).unwrap();
        let Move::Record { state, failure, .. } = decide(&part(PartState::Uploaded, 20), Some(&failed), at(1)) else {
            panic!("an end is recorded");
        };
        assert_eq!(state, Some(PartState::Failed));
        assert_eq!(failure.unwrap().reason, "the job failed: INVALID_POLICY no such");
        assert_eq!(state_after(&part(PartState::Uploaded, 20), &job("CANCELLED", false)), Some(PartState::Failed));
    }
}
