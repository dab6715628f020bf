//! What a part's record and the API's word on its job make together. Values in, a decision out.
//!
//! The API is a stranger: what it reports is used, what it leaves out is not proof. The table says what becomes of a part whose
//! job the API reports so; "fed" is a part whose upload began, since it may have taken effect whatever was answered.
//!
//! | job | CREATED, nothing sent | fed: CREATED, UPLOADED | ABANDONING, nothing sent | ABANDONING, fed | COMPLETED |
//! |---|---|---|---|---|---|
//! | INITIALIZED | claimed once the URL has long run out | after 1 h not started, after 3 h repeated once, 24 h after the URL's life claimed once | cancelled; planned again after 1 h | cancelled | |
//! | started | UPLOADED | UPLOADED | UPLOADED | UPLOADED | |
//! | COMPLETED, with a URL | COMPLETED | COMPLETED | COMPLETED | COMPLETED | |
//! | CANCELLED | FAILED within the URL's life; else claimed, twice at most | FAILED | planned again | planned again | FAILED |
//! | ERROR | FAILED with a code; without one claimed, twice at most | FAILED | FAILED with a code; else planned again | FAILED | FAILED |
//! | absent for 24 h | claimed, twice at most | FAILED, lost | planned again after 1 h | FAILED, lost | FAILED, lost |
//! | nothing said | claimed once the URL has long run out | | planned again after 1 h | | |
//! | not reported in 35 days | | FAILED, lost | | FAILED, lost | FAILED, lost |
//!
//! A claim is safe: nothing is uploaded to a claimed part's job, and a part is claimed with nothing sent only under the condition
//! that no upload began (`Ledger::abandon`).

use crate::job::{Job, JobState, OVERDUE_AFTER, UPLOAD_URL_LIFE, UPLOAD_URL_USED_FOR};
use crate::part::{NotStarted, PartFailure, PartRecord, PartState};
use jiff::{SignedDuration, Timestamp};

/// From when on a job to which nothing was sent is given up: half an hour after its upload URL has run out.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(4 * 60 + 30);
/// From when on a job that has its rows and does not start is a problem.
const NOT_STARTED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// From when on its rows are uploaded once more, if the URL is still good.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_hours(3);
/// The age from which a job that has its rows and never started is cancelled, for the part to have another: 24 hours after its
/// URL's life of 4. Every upload to it has ended by then, however often it was begun again, and is 24 hours old: a job that
/// started is reported as started.
const NEVER_STARTED_AFTER: SignedDuration = SignedDuration::from_hours(4 + 24);
/// How long a claimed job to which nothing was sent is waited for before the part has another.
const UNFED_CANCEL_PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// How many jobs of a part may end before anything was sent to them.
const ENDED_UNFED: u32 = 2;
/// How often a part is planned again after an upload began.
const REPLANS: u32 = 1;
/// For how long after the first request in vain it is asked for before that counts.
const OVERDUE_PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// How many intervals of poll one absence adds at most: ticks that were missed are no absence.
const MOST_INTERVALS: i32 = 4;

/// What the API said of a job.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// It reported it.
    Job(&'a Job),
    /// It left it out of an answer that counts: one to a request for it alone or with the witness, in a tick in which it
    /// reported at least one job of ours.
    Absent,
    /// It was asked, and said nothing that counts.
    Nothing,
}

/// What else a decision takes into account.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// The tick's time.
    pub now: Timestamp,
    /// The time from one tick to the next.
    pub poll_every: SignedDuration,
    /// How long a job has to be absent to be lost.
    pub lost_after: SignedDuration,
    /// When a job of the stack was last seen to have started.
    pub started_at: Option<Timestamp>,
}

/// What to do about a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Nothing,
    /// Record the job's state, and what it makes of the part.
    Record {
        /// The job's state.
        job: JobState,
        /// The part's, if it changes.
        state: Option<PartState>,
        /// Why the part fails, if it does.
        failure: Option<PartFailure>,
    },
    /// Record a state that changes nothing: one we have never heard of, or the one after it.
    NoteState(JobState),
    /// Record for how many seconds in all the job has been absent.
    NoteAbsent(u64),
    /// Record that the job is reported again.
    NoteReported,
    /// Record that a job older than the API keeps any was asked for in vain.
    NoteOverdue,
    /// The job is lost: its rows end as missing.
    Lose(PartFailure),
    /// Claim the part, to cancel its job.
    Abandon {
        /// The job has ended by itself, with nothing sent to it.
        ended: bool,
    },
    /// The part is claimed: cancel its job.
    Cancel,
    /// The claimed job will get no rows, or is cancelled: the part may have another.
    PlanAgain,
    /// The job has its rows and does not start: record that, and say so.
    NoteNotStarted(NotStarted),
    /// And have its rows uploaded once more.
    Repeat(NotStarted),
    /// The job of a COMPLETED part has ended otherwise before its results were fetched.
    Fail {
        /// The job's state.
        job: JobState,
        /// Why.
        failure: PartFailure,
    },
}

/// Decides about a part whose job was asked for.
pub fn decide(part: &PartRecord, told: Told<'_>, when: &When) -> Move {
    match told {
        Told::Job(job) => reported(part, job, when),
        Told::Absent => absent(part, when),
        Told::Nothing => untold(part, when),
    }
}

/// Nothing that counts was said. What was never sent, and no longer can be, waits for no word: an API that knows no other job of
/// ours may never say that it knows this one no more.
fn untold(part: &PartRecord, when: &When) -> Move {
    match part.state {
        _ if part.may_be_fed() => overdue(part, when).unwrap_or(Move::Nothing),
        PartState::Created if is_given_up(part, when) => Move::Abandon { ended: false },
        PartState::Abandoning if is_waited_for(part, when) => Move::PlanAgain,
        _ => Move::Nothing,
    }
}

fn reported(part: &PartRecord, job: &Job, when: &When) -> Move {
    let further = job.state.rank() > part.job_rank;
    let fed = part.may_be_fed();
    match (&job.state, part.state) {
        (JobState::Error | JobState::Cancelled, PartState::Completed) => {
            Move::Fail { job: job.state.clone(), failure: failure(job) }
        }
        (_, PartState::Completed) => still_reported(part, job),
        (JobState::Cancelled, PartState::Abandoning) if !fed || part.replans < REPLANS => Move::PlanAgain,
        (JobState::Cancelled, PartState::Created) if !fed && is_url_over(part, when) && part.ended_unfed < ENDED_UNFED => {
            Move::Abandon { ended: true }
        }
        (JobState::Error, PartState::Abandoning) if !fed && !has_code(job) => Move::PlanAgain,
        (JobState::Error, PartState::Created) if !fed && !has_code(job) && part.ended_unfed < ENDED_UNFED => {
            Move::Abandon { ended: true }
        }
        (JobState::Error | JobState::Cancelled, _) if further => record(job, Some(PartState::Failed), Some(failure(job))),
        // Reported again: the absence is over before anything else is done, or it would run on into the next one.
        (JobState::Initialized, _) if is_absent(part) => Move::NoteReported,
        // What was never sent waits for no word of the API: nor for a state that we do not know.
        (state, PartState::Abandoning) if !fed && !state.is_started() && is_waited_for(part, when) => Move::PlanAgain,
        (state, PartState::Abandoning) if !fed && !state.is_started() => Move::Cancel,
        (state, PartState::Created) if !fed && !state.is_started() && is_given_up(part, when) => Move::Abandon { ended: false },
        (JobState::Initialized, PartState::Abandoning) => Move::Cancel,
        // Of a job that was seen started this is an old answer.
        (JobState::Initialized, PartState::Created | PartState::Uploaded) if fed && !has_started(part) => {
            not_started(part, job, when)
        }
        // Completed without a URL of results is not completed yet.
        (JobState::Completed, _) if job.output_file_url.is_none() => still_reported(part, job),
        (JobState::Completed, _) if further => record(job, Some(PartState::Completed), None),
        // Started, though our record says that nothing was sent, or even that it is being given up: the upload took effect.
        (state, PartState::Created | PartState::Abandoning) if state.is_started() && further => {
            record(job, Some(PartState::Uploaded), None)
        }
        _ if further => record(job, None, None),
        _ => still_reported(part, job),
    }
}

/// A job that has its rows, and is reported as waiting for them.
fn not_started(part: &PartRecord, job: &Job, when: &When) -> Move {
    let began = part.upload_began_at.or(part.uploaded_at).or(part.created_at);
    let waited = age(began, when);
    let none_started = began.is_some_and(|began| when.started_at.is_none_or(|started| started < began));
    let since = part.not_started.map_or(when.now, |known| known.since);
    let problem = NotStarted { since, none_started };
    let repeats = part.state == PartState::Uploaded
        && !none_started
        && part.repeat_due_at.is_none()
        && part.upload_url.is_some()
        && age(part.created_at, when) < UPLOAD_URL_USED_FOR;
    match () {
        () if age(part.created_at, when) >= NEVER_STARTED_AFTER && part.replans < REPLANS => Move::Abandon { ended: false },
        () if waited >= REPEATED_AFTER && repeats => Move::Repeat(problem),
        () if waited >= NOT_STARTED_AFTER && part.not_started != Some(problem) => Move::NoteNotStarted(problem),
        () if job.state.rank() > part.job_rank => record(job, None, None),
        () => still_reported(part, job),
    }
}

fn absent(part: &PartRecord, when: &When) -> Move {
    if let Some(overdue) = overdue(part, when) {
        return overdue;
    }
    let fed = part.may_be_fed();
    match part.state {
        // A job that may yet be fed: that the API does not report it matters once it no longer may.
        PartState::Created if !fed && !is_given_up(part, when) => return Move::Nothing,
        PartState::Abandoning if !fed && is_waited_for(part, when) => return Move::PlanAgain,
        _ => {}
    }
    let most = when.poll_every.checked_mul(MOST_INTERVALS).unwrap_or(when.lost_after);
    let step = part.absent_at.map_or(SignedDuration::ZERO, |at| when.now.duration_since(at));
    let step = step.clamp(SignedDuration::ZERO, most);
    let seconds = part.absent_seconds + step.as_secs().unsigned_abs();
    if seconds < when.lost_after.as_secs().unsigned_abs() {
        return Move::NoteAbsent(seconds);
    }
    match part.state {
        PartState::Created | PartState::Abandoning if !fed && part.ended_unfed < ENDED_UNFED => match part.state {
            PartState::Created => Move::Abandon { ended: true },
            _ => Move::PlanAgain,
        },
        _ => Move::Lose(lost(format!("the API has not reported the job for {} hours", seconds / 3600))),
    }
}

/// What becomes of a part whose job is older than the API keeps any, and was asked for in vain.
fn overdue(part: &PartRecord, when: &When) -> Option<Move> {
    if !part.may_be_fed() || age(part.created_at, when) < OVERDUE_AFTER {
        return None;
    }
    match part.overdue_at {
        None => Some(Move::NoteOverdue),
        Some(at) if when.now.duration_since(at) >= OVERDUE_PATIENCE => {
            let days = OVERDUE_AFTER.as_hours() / 24;
            Some(Move::Lose(lost(format!("the job is over {days} days old, and the API no longer reports it"))))
        }
        Some(_) => None,
    }
}

fn lost(reason: String) -> PartFailure {
    PartFailure { lost: true, reason }
}

fn age(since: Option<Timestamp>, when: &When) -> SignedDuration {
    since.map_or(SignedDuration::ZERO, |since| when.now.duration_since(since))
}

fn is_given_up(part: &PartRecord, when: &When) -> bool {
    age(part.created_at, when) > GIVEN_UP_AFTER
}

fn is_url_over(part: &PartRecord, when: &When) -> bool {
    age(part.created_at, when).unsigned_abs() >= UPLOAD_URL_LIFE
}

fn has_started(part: &PartRecord) -> bool {
    part.job_rank >= JobState::Queued.rank()
}

fn is_waited_for(part: &PartRecord, when: &When) -> bool {
    age(part.abandoned_at, when) >= UNFED_CANCEL_PATIENCE
}

fn is_absent(part: &PartRecord) -> bool {
    part.absent_at.is_some() || part.overdue_at.is_some()
}

fn has_code(job: &Job) -> bool {
    job.error.as_ref().is_some_and(|error| error.is_coded())
}

fn failure(job: &Job) -> PartFailure {
    let words = job.error.as_ref().and_then(|e| e.words());
    let what = if job.state == JobState::Error { "the job failed" } else { "the job was cancelled" };
    let reason = words.map_or_else(|| what.to_owned(), |words| format!("{what}: {words}"));
    PartFailure { lost: false, reason }
}

fn record(job: &Job, state: Option<PartState>, failure: Option<PartFailure>) -> Move {
    Move::Record { job: job.state.clone(), state, failure }
}

/// The job is reported, and is no further than it was.
fn still_reported(part: &PartRecord, job: &Job) -> Move {
    let unheard = |state: &JobState| matches!(state, JobState::Unknown(_));
    let back = part.job_state.as_ref().is_some_and(unheard) && job.state.rank() == part.job_rank;
    match () {
        () if is_absent(part) => Move::NoteReported,
        () if part.job_state.as_ref() != Some(&job.state) && (unheard(&job.state) || back) => {
            Move::NoteState(job.state.clone())
        }
        () => Move::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlannedPart;
    use crate::source::DropId;

    const HOUR: i64 = 60;
    const DAY: i64 = 24 * HOUR;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn when(minutes: i64) -> When {
        When {
            now: at(minutes),
            poll_every: SignedDuration::from_mins(5),
            lost_after: SignedDuration::from_hours(24),
            started_at: None,
        }
    }

    /// A part whose job was created at 0.
    fn part(state: PartState, rank: u32) -> PartRecord {
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
        PartRecord {
            state,
            job_id: job,
            job_rank: rank,
            created_at: Some(at(0)),
            ..PartRecord::planned(DropId::of("b", "k", "v"), plan)
        }
    }

    /// The same, with an upload that began a minute later.
    fn fed(state: PartState) -> PartRecord {
        let url = Some(crate::job::SignedUrl::new("https://example.org/up".to_owned()));
        PartRecord { upload_began_at: Some(at(1)), upload_url: url, ..part(state, 1) }
    }

    fn job(state: &str, url: bool) -> Job {
        let url = if url { r#","outputFileUrl":"https://x.amazonaws.com/o""# } else { "" };
        serde_json::from_str(&format!(r#"{{"batchJobId":"j","name":"n","state":"BATCH_JOB_STATE_{state}"{url}}}"#)).unwrap()
    }

    fn told(part: &PartRecord, state: &str, minutes: i64) -> Move {
        decide(part, Told::Job(&job(state, state == "COMPLETED")), &when(minutes))
    }

    fn state_after(moved: &Move) -> Option<PartState> {
        match moved {
            Move::Record { state, .. } => *state,
            _ => None,
        }
    }

    #[test]
    fn a_state_never_goes_back_and_an_unheard_one_is_noted_once() {
        let mut part = part(PartState::Uploaded, JobState::Submitted.rank());
        part.job_state = Some(JobState::Submitted);
        for earlier in ["UNSPECIFIED", "INITIALIZED", "QUEUED", "SUBMITTED"] {
            assert_eq!(told(&part, earlier, 3 * DAY), Move::Nothing, "{earlier}");
        }
        let dreaming = JobState::Unknown("DREAMING".to_owned());
        assert_eq!(told(&part, "DREAMING", 1), Move::NoteState(dreaming.clone()));
        part.job_state = Some(dreaming);
        assert_eq!(told(&part, "DREAMING", 1), Move::Nothing);
        assert_eq!(told(&part, "SUBMITTED", 1), Move::NoteState(JobState::Submitted));
    }

    #[test]
    fn completed_counts_only_with_a_url_of_results() {
        let part = part(PartState::Uploaded, 10);
        assert_eq!(decide(&part, Told::Job(&job("COMPLETED", false)), &when(1)), Move::Nothing);
        assert_eq!(state_after(&told(&part, "COMPLETED", 1)), Some(PartState::Completed));
    }

    #[test]
    fn a_started_job_shows_that_its_upload_took_effect() {
        for state in [PartState::Created, PartState::Abandoning] {
            assert_eq!(state_after(&told(&part(state, 0), "QUEUED", 1)), Some(PartState::Uploaded));
            assert_eq!(state_after(&told(&fed(state), "QUEUED", 1)), Some(PartState::Uploaded));
        }
    }

    #[test]
    fn a_job_to_which_nothing_was_sent_is_given_up_only_when_its_url_has_long_run_out() {
        let part = part(PartState::Created, 1);
        assert_eq!(told(&part, "INITIALIZED", 4 * HOUR + 29), Move::Nothing);
        assert_eq!(told(&part, "INITIALIZED", 4 * HOUR + 31), Move::Abandon { ended: false });
        assert_eq!(decide(&part, Told::Absent, &when(4 * HOUR)), Move::Nothing, "it may still be fed");
        assert_eq!(decide(&part, Told::Absent, &when(271)), Move::NoteAbsent(0));
    }

    #[test]
    fn what_was_never_sent_waits_for_no_word_of_the_api() {
        let part = part(PartState::Created, 1);
        assert_eq!(decide(&part, Told::Nothing, &when(4 * HOUR + 29)), Move::Nothing);
        assert_eq!(decide(&part, Told::Nothing, &when(4 * HOUR + 31)), Move::Abandon { ended: false });
        assert_eq!(decide(&fed(PartState::Created), Told::Nothing, &when(9 * DAY)), Move::Nothing);
        let claimed = PartRecord { state: PartState::Abandoning, abandoned_at: Some(at(300)), ..part };
        assert_eq!(decide(&claimed, Told::Nothing, &when(359)), Move::Nothing);
        assert_eq!(decide(&claimed, Told::Nothing, &when(360)), Move::PlanAgain);
        let fed = PartRecord { upload_began_at: Some(at(1)), ..claimed };
        assert_eq!(decide(&fed, Told::Nothing, &when(9 * DAY)), Move::Nothing);
    }

    #[test]
    fn what_was_never_sent_does_not_wait_for_a_state_that_we_know() {
        let part = part(PartState::Created, 1);
        for state in ["EXPIRED", "UNSPECIFIED"] {
            assert_eq!(told(&part, state, 4 * HOUR + 31), Move::Abandon { ended: false }, "{state}");
            let claimed = PartRecord { state: PartState::Abandoning, abandoned_at: Some(at(300)), ..part.clone() };
            assert_eq!((told(&claimed, state, 359), told(&claimed, state, 360)), (Move::Cancel, Move::PlanAgain), "{state}");
        }
    }

    #[test]
    fn a_record_that_does_not_mark_uploads_may_have_been_fed() {
        let part = PartRecord { schema: 1, ..part(PartState::Created, 1) };
        let not_started = NotStarted { since: at(27 * HOUR), none_started: true };
        assert_eq!(told(&part, "INITIALIZED", 27 * HOUR), Move::NoteNotStarted(not_started));
        assert_eq!(told(&part, "INITIALIZED", 28 * HOUR), Move::Abandon { ended: false });
    }

    #[test]
    fn a_job_that_ends_before_anything_was_sent_fails_its_part_or_is_replaced_twice_at_most() {
        let part = part(PartState::Created, 1);
        let is_failed = |moved: Move| state_after(&moved) == Some(PartState::Failed);
        assert!(is_failed(told(&part, "CANCELLED", 3 * HOUR + 59)), "someone else cancelled it");
        assert_eq!(told(&part, "CANCELLED", 4 * HOUR), Move::Abandon { ended: true });
        assert_eq!(told(&part, "ERROR", 1), Move::Abandon { ended: true });
        let twice = PartRecord { ended_unfed: 2, ..part.clone() };
        assert!(is_failed(told(&twice, "CANCELLED", 5 * HOUR)) && is_failed(told(&twice, "ERROR", 1)));
        let mut coded = job("ERROR", false);
        coded.error = serde_json::from_str(r#"{"errorCode":"BATCH_JOB_ERROR_INVALID_POLICY"}"#).unwrap();
        let Move::Record { failure: Some(failure), .. } = decide(&part, Told::Job(&coded), &when(1)) else { panic!("an end") };
        assert_eq!(failure.reason, "the job failed: INVALID_POLICY");
        let claimed = PartRecord { state: PartState::Abandoning, ..part };
        assert_eq!((told(&claimed, "CANCELLED", 1), told(&claimed, "ERROR", 1)), (Move::PlanAgain, Move::PlanAgain));
    }

    #[test]
    fn a_claimed_job_to_which_nothing_was_sent_is_waited_for_an_hour() {
        let part = PartRecord { abandoned_at: Some(at(300)), ..part(PartState::Abandoning, 1) };
        assert_eq!(told(&part, "INITIALIZED", 359), Move::Cancel);
        assert_eq!(told(&part, "INITIALIZED", 360), Move::PlanAgain, "though its cancel may be refused");
        assert_eq!(decide(&part, Told::Absent, &when(359)), Move::NoteAbsent(0));
        assert_eq!(decide(&part, Told::Absent, &when(360)), Move::PlanAgain);
    }

    #[test]
    fn a_fed_job_that_does_not_start_is_reported_repeated_and_replaced_once() {
        for state in [PartState::Uploaded, PartState::Created] {
            let mut part = fed(state);
            assert_eq!(told(&part, "INITIALIZED", 60), Move::Nothing);
            let nothing_starts = NotStarted { since: at(61), none_started: true };
            assert_eq!(told(&part, "INITIALIZED", 61), Move::NoteNotStarted(nothing_starts));
            part.not_started = Some(nothing_starts);
            assert_eq!(told(&part, "INITIALIZED", 3 * HOUR + 1), Move::Nothing, "an API that starts nothing gets no repeat");
            let others = When { started_at: Some(at(90)), ..when(3 * HOUR + 1) };
            let alone = NotStarted { none_started: false, ..nothing_starts };
            let repeat = decide(&part, Told::Job(&job("INITIALIZED", false)), &others);
            let uploaded = state == PartState::Uploaded;
            assert_eq!(repeat, if uploaded { Move::Repeat(alone) } else { Move::NoteNotStarted(alone) });
            part.not_started = Some(alone);
            let late = When { now: at(3 * HOUR + 45), ..others };
            assert_eq!(decide(&part, Told::Job(&job("INITIALIZED", false)), &late), Move::Nothing, "the URL is too old");
            part.repeat_due_at = Some(at(181));
            assert_eq!(decide(&part, Told::Job(&job("INITIALIZED", false)), &others), Move::Nothing, "once");
            let later = |part: &PartRecord, minutes: i64| {
                decide(part, Told::Job(&job("INITIALIZED", false)), &When { now: at(minutes), ..others })
            };
            assert_eq!(later(&part, 28 * HOUR - 1), Move::Nothing, "an upload may have begun up to the end of the URL's life");
            assert_eq!(later(&part, 28 * HOUR), Move::Abandon { ended: false });
            assert_eq!(later(&PartRecord { replans: 1, ..part.clone() }, 28 * HOUR), Move::Nothing, "and once only");
            let claimed = PartRecord { state: PartState::Abandoning, abandoned_at: Some(at(28 * HOUR)), ..part };
            assert_eq!(told(&claimed, "INITIALIZED", 9 * DAY), Move::Cancel, "while its cancel is refused it stays");
            assert_eq!(told(&claimed, "CANCELLED", 9 * DAY), Move::PlanAgain);
            assert_eq!(decide(&claimed, Told::Absent, &when(9 * DAY)), Move::NoteAbsent(0), "absence is no CANCELLED");
            assert_eq!(state_after(&told(&claimed, "ERROR", 9 * DAY)), Some(PartState::Failed));
        }
    }

    #[test]
    fn a_fed_job_that_was_seen_started_is_never_given_up() {
        let part = PartRecord { job_rank: JobState::Queued.rank(), ..fed(PartState::Uploaded) };
        assert_eq!(told(&part, "INITIALIZED", 9 * DAY), Move::Nothing);
    }

    #[test]
    fn absence_accumulates_by_four_intervals_at_most_and_ends_when_the_job_is_reported() {
        let mut part = fed(PartState::Uploaded);
        part.job_rank = 10;
        assert_eq!(decide(&part, Told::Absent, &when(100)), Move::NoteAbsent(0));
        (part.absent_at, part.absent_seconds) = (Some(at(100)), 600);
        assert_eq!(decide(&part, Told::Absent, &when(107)), Move::NoteAbsent(600 + 7 * 60));
        assert_eq!(decide(&part, Told::Absent, &when(3 * DAY)), Move::NoteAbsent(600 + 20 * 60));
        assert_eq!(decide(&part, Told::Absent, &when(90)), Move::NoteAbsent(600), "a clock that went back");
        assert_eq!(decide(&part, Told::Nothing, &when(3 * DAY)), Move::Nothing);
        for state in ["INITIALIZED", "QUEUED", "DREAMING"] {
            assert_eq!(told(&part, state, 107), Move::NoteReported, "{state}");
        }
        part.absent_seconds = 24 * 3600 - 60;
        let Move::Lose(failure) = decide(&part, Told::Absent, &when(101)) else { panic!("24 hours") };
        assert!(failure.lost && failure.reason == "the API has not reported the job for 24 hours", "{failure:?}");
        for state in [PartState::Created, PartState::Abandoning, PartState::Completed] {
            let part = PartRecord { state, ..part.clone() };
            assert!(matches!(decide(&part, Told::Absent, &when(101)), Move::Lose(_)), "{state:?}");
        }
    }

    #[test]
    fn a_job_not_reported_in_35_days_is_lost_after_requests_on_two_days() {
        let mut part = fed(PartState::Uploaded);
        for said in [Told::Nothing, Told::Absent] {
            assert!(!matches!(decide(&part, said, &when(35 * DAY - 1)), Move::NoteOverdue | Move::Lose(_)));
            assert_eq!(
                decide(&part, said, &when(40 * DAY)),
                Move::NoteOverdue,
                "after a pause of weeks it is not lost at once"
            );
        }
        part.overdue_at = Some(at(40 * DAY));
        assert_eq!(decide(&part, Told::Nothing, &when(41 * DAY - 1)), Move::Nothing);
        assert!(matches!(decide(&part, Told::Nothing, &when(41 * DAY)), Move::Lose(PartFailure { lost: true, .. })));
        assert_eq!(told(&part, "QUEUED", 41 * DAY), Move::Record { job: JobState::Queued, state: None, failure: None });
    }

    #[test]
    fn a_completed_job_that_ends_otherwise_before_it_is_fetched_fails_its_part() {
        let part = PartRecord { job_rank: 100, ..fed(PartState::Completed) };
        for state in ["ERROR", "CANCELLED"] {
            assert!(matches!(told(&part, state, DAY), Move::Fail { .. }), "{state}");
        }
        for state in ["COMPLETED", "QUEUED", "INITIALIZED"] {
            assert_eq!(told(&part, state, DAY), Move::Nothing, "{state}");
        }
    }

    #[test]
    fn a_failed_or_cancelled_job_fails_its_part_with_the_apis_reason() {
        let mut failed = job("ERROR", false);
        failed.error =
            serde_json::from_str(r#"{"errorCode":"BATCH_JOB_ERROR_INVALID_POLICY","errorMessage":"no such"}"#).unwrap();
        let moved = decide(&part(PartState::Uploaded, 20), Told::Job(&failed), &when(1));
        let Move::Record { state, failure, .. } = moved else { panic!("an end is recorded") };
        assert_eq!(state, Some(PartState::Failed));
        assert_eq!(failure.unwrap().reason, "the job failed: INVALID_POLICY no such");
        assert_eq!(state_after(&told(&part(PartState::Uploaded, 20), "CANCELLED", 1)), Some(PartState::Failed));
    }
}
