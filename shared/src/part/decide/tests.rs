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

fn reported(job: Job) -> JobAnswer {
    JobAnswer::Job(Box::new(job))
}

/// A part whose job was created at 0.
fn part(state: PartState, rank: u32) -> PartRecord {
    let plan = PlannedPart {
        number: 1,
        first_line: 2,
        first_row: Some(1),
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
fn sent(state: PartState) -> PartRecord {
    let url = Some(crate::job::SignedUrl::new("https://example.org/up".to_owned()));
    PartRecord { upload_began_at: Some(at(1)), upload_url: url, ..part(state, 1) }
}

fn job(state: &str, url: bool) -> Job {
    let url = if url { r#","outputFileUrl":"https://x.amazonaws.com/o""# } else { "" };
    serde_json::from_str(&format!(
        r#"{{"batchJobId":"j","name":"n","state":"BATCH_JOB_STATE_{state}"{url}}}"#
    ))
    .unwrap()
}

fn decided(part: &PartRecord, state: &str, minutes: i64) -> Action {
    decide(part, &reported(job(state, state == "COMPLETED")), &when(minutes))
}

fn state_after(action: &Action) -> Option<PartState> {
    match action {
        Action::Record(JobChange { state, .. }) => *state,
        _ => None,
    }
}

#[test]
fn a_state_never_goes_back_and_an_unknown_one_is_noted_once() {
    let mut part = part(PartState::Uploaded, JobState::Submitted.rank());
    part.job_state = Some(JobState::Submitted);
    for earlier in ["UNSPECIFIED", "INITIALIZED", "QUEUED", "SUBMITTED"] {
        assert_eq!(decided(&part, earlier, 3 * DAY), Action::Nothing, "{earlier}");
    }
    let dreaming = JobState::Unknown("DREAMING".to_owned());
    assert_eq!(decided(&part, "DREAMING", 1), Action::NoteState(dreaming.clone()));
    part.job_state = Some(dreaming);
    assert_eq!(decided(&part, "DREAMING", 1), Action::Nothing);
    assert_eq!(decided(&part, "SUBMITTED", 1), Action::NoteState(JobState::Submitted));
}

#[test]
fn completed_counts_only_with_a_url_of_results() {
    let part = part(PartState::Uploaded, 10);
    assert_eq!(decide(&part, &reported(job("COMPLETED", false)), &when(1)), Action::Nothing);
    assert_eq!(state_after(&decided(&part, "COMPLETED", 1)), Some(PartState::Completed));
}

#[test]
fn a_started_job_shows_that_its_upload_took_effect() {
    for state in [PartState::Created, PartState::Abandoning] {
        assert_eq!(state_after(&decided(&part(state, 0), "QUEUED", 1)), Some(PartState::Uploaded));
        assert_eq!(state_after(&decided(&sent(state), "QUEUED", 1)), Some(PartState::Uploaded));
    }
}

#[test]
fn a_job_to_which_nothing_was_sent_is_given_up_after_its_url_expired() {
    let part = part(PartState::Created, 1);
    assert_eq!(decided(&part, "INITIALIZED", 4 * HOUR + 29), Action::Nothing);
    assert_eq!(decided(&part, "INITIALIZED", 4 * HOUR + 31), Action::Abandon { ended: false });
    assert_eq!(
        decide(&part, &JobAnswer::Absent, &when(4 * HOUR)),
        Action::Nothing,
        "it may still be uploaded"
    );
    assert_eq!(decide(&part, &JobAnswer::Absent, &when(271)), Action::NoteAbsent(0));
}

#[test]
fn a_part_that_was_never_sent_waits_for_no_answer_of_the_api() {
    let part = part(PartState::Created, 1);
    assert_eq!(decide(&part, &JobAnswer::Nothing, &when(4 * HOUR + 29)), Action::Nothing);
    assert_eq!(
        decide(&part, &JobAnswer::Nothing, &when(4 * HOUR + 31)),
        Action::Abandon { ended: false }
    );
    assert_eq!(
        decide(&sent(PartState::Created), &JobAnswer::Nothing, &when(9 * DAY)),
        Action::Nothing
    );
    let claimed = PartRecord { state: PartState::Abandoning, abandoned_at: Some(at(300)), ..part };
    assert_eq!(decide(&claimed, &JobAnswer::Nothing, &when(359)), Action::Nothing);
    assert_eq!(decide(&claimed, &JobAnswer::Nothing, &when(360)), Action::PlanAgain);
    let sent = PartRecord { upload_began_at: Some(at(1)), ..claimed };
    assert_eq!(decide(&sent, &JobAnswer::Nothing, &when(9 * DAY)), Action::Nothing);
}

#[test]
fn a_part_that_was_never_sent_waits_for_no_state_that_we_know() {
    let part = part(PartState::Created, 1);
    for state in ["EXPIRED", "UNSPECIFIED"] {
        assert_eq!(
            decided(&part, state, 4 * HOUR + 31),
            Action::Abandon { ended: false },
            "{state}"
        );
        let claimed = PartRecord {
            state: PartState::Abandoning,
            abandoned_at: Some(at(300)),
            ..part.clone()
        };
        assert_eq!(
            (decided(&claimed, state, 359), decided(&claimed, state, 360)),
            (Action::Cancel, Action::PlanAgain),
            "{state}"
        );
    }
}

#[test]
fn a_job_that_ends_unsent_fails_its_part_or_is_replaced_at_most_twice() {
    let part = part(PartState::Created, 1);
    let is_failed = |action: Action| state_after(&action) == Some(PartState::Failed);
    assert!(is_failed(decided(&part, "CANCELLED", 3 * HOUR + 59)), "someone else cancelled it");
    assert_eq!(decided(&part, "CANCELLED", 4 * HOUR), Action::Abandon { ended: true });
    assert_eq!(decided(&part, "ERROR", 1), Action::Abandon { ended: true });
    let twice = PartRecord { ended_unsent: 2, ..part.clone() };
    assert!(
        is_failed(decided(&twice, "CANCELLED", 5 * HOUR)) && is_failed(decided(&twice, "ERROR", 1))
    );
    let mut coded = job("ERROR", false);
    coded.error =
        serde_json::from_str(r#"{"errorCode":"BATCH_JOB_ERROR_INVALID_POLICY"}"#).unwrap();
    let Action::Record(JobChange { failure: Some(failure), .. }) =
        decide(&part, &reported(coded), &when(1))
    else {
        panic!("an end")
    };
    assert_eq!(failure.reason, "the job failed: INVALID_POLICY");
    let claimed = PartRecord { state: PartState::Abandoning, ..part };
    assert_eq!(
        (decided(&claimed, "CANCELLED", 1), decided(&claimed, "ERROR", 1)),
        (Action::PlanAgain, Action::PlanAgain)
    );
}

#[test]
fn a_claimed_job_to_which_nothing_was_sent_is_waited_for_an_hour() {
    let part = PartRecord { abandoned_at: Some(at(300)), ..part(PartState::Abandoning, 1) };
    assert_eq!(decided(&part, "INITIALIZED", 359), Action::Cancel);
    assert_eq!(
        decided(&part, "INITIALIZED", 360),
        Action::PlanAgain,
        "though its cancel may be refused"
    );
    assert_eq!(decide(&part, &JobAnswer::Absent, &when(359)), Action::NoteAbsent(0));
    assert_eq!(decide(&part, &JobAnswer::Absent, &when(360)), Action::PlanAgain);
}

#[test]
fn a_job_with_rows_that_does_not_start_is_reported_repeated_and_replaced_once() {
    for state in [PartState::Uploaded, PartState::Created] {
        let mut part = sent(state);
        assert_eq!(decided(&part, "INITIALIZED", 60), Action::Nothing);
        let nothing_starts = NotStarted { since: at(61), none_started: true };
        assert_eq!(decided(&part, "INITIALIZED", 61), Action::NoteNotStarted(nothing_starts));
        part.not_started = Some(nothing_starts);
        assert_eq!(
            decided(&part, "INITIALIZED", 3 * HOUR + 1),
            Action::Nothing,
            "an API that starts nothing gets no repeat"
        );
        let others = When { started_at: Some(at(90)), ..when(3 * HOUR + 1) };
        let alone = NotStarted { none_started: false, ..nothing_starts };
        let repeat = decide(&part, &reported(job("INITIALIZED", false)), &others);
        let uploaded = state == PartState::Uploaded;
        assert_eq!(
            repeat,
            if uploaded { Action::Repeat(alone) } else { Action::NoteNotStarted(alone) }
        );
        part.not_started = Some(alone);
        let late = When { now: at(3 * HOUR + 45), ..others };
        assert_eq!(
            decide(&part, &reported(job("INITIALIZED", false)), &late),
            Action::Nothing,
            "the URL is too old"
        );
        part.repeat_due_at = Some(at(181));
        assert_eq!(
            decide(&part, &reported(job("INITIALIZED", false)), &others),
            Action::Nothing,
            "once"
        );
        let later = |part: &PartRecord, minutes: i64| {
            decide(part, &reported(job("INITIALIZED", false)), &When { now: at(minutes), ..others })
        };
        assert_eq!(
            later(&part, 28 * HOUR - 1),
            Action::Nothing,
            "an upload may have begun up to the end of the URL's life"
        );
        assert_eq!(later(&part, 28 * HOUR), Action::Abandon { ended: false });
        assert_eq!(
            later(&PartRecord { replans: 1, ..part.clone() }, 28 * HOUR),
            Action::Nothing,
            "and once only"
        );
        let claimed =
            PartRecord { state: PartState::Abandoning, abandoned_at: Some(at(28 * HOUR)), ..part };
        assert_eq!(
            decided(&claimed, "INITIALIZED", 9 * DAY),
            Action::Cancel,
            "while its cancel is refused it stays"
        );
        assert_eq!(decided(&claimed, "CANCELLED", 9 * DAY), Action::PlanAgain);
        assert_eq!(
            decide(&claimed, &JobAnswer::Absent, &when(9 * DAY)),
            Action::NoteAbsent(0),
            "absence is no CANCELLED"
        );
        assert_eq!(state_after(&decided(&claimed, "ERROR", 9 * DAY)), Some(PartState::Failed));
    }
}

#[test]
fn a_job_with_rows_that_has_started_is_never_given_up() {
    let part = PartRecord { job_rank: JobState::Queued.rank(), ..sent(PartState::Uploaded) };
    assert_eq!(decided(&part, "INITIALIZED", 9 * DAY), Action::Nothing);
}

#[test]
fn absence_grows_by_at_most_four_intervals_and_ends_when_the_job_is_reported() {
    let mut part = sent(PartState::Uploaded);
    part.job_rank = 10;
    assert_eq!(decide(&part, &JobAnswer::Absent, &when(100)), Action::NoteAbsent(0));
    (part.absent_at, part.absent_seconds) = (Some(at(100)), 600);
    assert_eq!(decide(&part, &JobAnswer::Absent, &when(107)), Action::NoteAbsent(600 + 7 * 60));
    assert_eq!(
        decide(&part, &JobAnswer::Absent, &when(3 * DAY)),
        Action::NoteAbsent(600 + 20 * 60)
    );
    assert_eq!(
        decide(&part, &JobAnswer::Absent, &when(90)),
        Action::NoteAbsent(600),
        "a clock that went back"
    );
    assert_eq!(decide(&part, &JobAnswer::Nothing, &when(3 * DAY)), Action::Nothing);
    for state in ["INITIALIZED", "QUEUED", "DREAMING"] {
        assert_eq!(decided(&part, state, 107), Action::NoteReported, "{state}");
    }
    part.absent_seconds = 24 * 3600 - 60;
    let Action::Lose(failure) = decide(&part, &JobAnswer::Absent, &when(101)) else {
        panic!("24 hours")
    };
    assert!(
        failure.lost && failure.reason == "the API has not reported the job for 24 hours",
        "{failure:?}"
    );
    for state in [PartState::Created, PartState::Abandoning, PartState::Completed] {
        let part = PartRecord { state, ..part.clone() };
        assert!(
            matches!(decide(&part, &JobAnswer::Absent, &when(101)), Action::Lose(_)),
            "{state:?}"
        );
    }
}

#[test]
fn a_job_not_reported_in_35_days_is_lost_after_requests_on_two_days() {
    let mut part = sent(PartState::Uploaded);
    for answer in [&JobAnswer::Nothing, &JobAnswer::Absent] {
        assert!(!matches!(
            decide(&part, answer, &when(35 * DAY - 1)),
            Action::NoteOverdue | Action::Lose(_)
        ));
        assert_eq!(
            decide(&part, answer, &when(40 * DAY)),
            Action::NoteOverdue,
            "after a pause of weeks it is not lost at once"
        );
    }
    part.overdue_at = Some(at(40 * DAY));
    assert_eq!(decide(&part, &JobAnswer::Nothing, &when(41 * DAY - 1)), Action::Nothing);
    assert!(matches!(
        decide(&part, &JobAnswer::Nothing, &when(41 * DAY)),
        Action::Lose(PartFailure { lost: true, .. })
    ));
    assert_eq!(
        decided(&part, "QUEUED", 41 * DAY),
        Action::Record(JobChange {
            job: JobState::Queued,
            state: None,
            failure: None,
            provenance: None
        })
    );
}

#[test]
fn a_completed_job_that_ends_otherwise_before_it_is_fetched_fails_its_part() {
    let part = PartRecord { job_rank: 100, ..sent(PartState::Completed) };
    for state in ["ERROR", "CANCELLED"] {
        assert!(matches!(decided(&part, state, DAY), Action::Fail { .. }), "{state}");
    }
    for state in ["COMPLETED", "QUEUED", "INITIALIZED"] {
        assert_eq!(decided(&part, state, DAY), Action::Nothing, "{state}");
    }
}

#[test]
fn a_failed_or_cancelled_job_fails_its_part_with_the_apis_reason() {
    let mut failed = job("ERROR", false);
    failed.error = serde_json::from_str(
        r#"{"errorCode":"BATCH_JOB_ERROR_INVALID_POLICY","errorMessage":"no such"}"#,
    )
    .unwrap();
    let action = decide(&part(PartState::Uploaded, 20), &reported(failed), &when(1));
    let Action::Record(JobChange { state, failure, .. }) = action else {
        panic!("an end is recorded")
    };
    assert_eq!(state, Some(PartState::Failed));
    assert_eq!(failure.unwrap().reason, "the job failed: INVALID_POLICY no such");
    assert_eq!(
        state_after(&decided(&part(PartState::Uploaded, 20), "CANCELLED", 1)),
        Some(PartState::Failed)
    );
}
