//! The protocol of one part, searched breadth first: every state that two submits, two polls and
//! two collects can bring about, whatever fails on the way. What poll decides is decided by its own
//! code, `shared/src/part/decide.rs`. The publication of a drop has a model of its own, in
//! `publication.rs`.
//!
//! In each world crashes, lost answers to a create, refused and lost cancels, URLs that run out, a
//! lagging GET, late jobs and jobs that never start come in any order. No state of it may break
//! what [`rules::broken`] names, and from each the part can still be collected without a further
//! fault.
//!
//! "GET lags less than 24 hours" means: a job that has rows starts, and GET reports that it did,
//! within 24 hours of its last upload, or it never starts. In every world but the last of each
//! table the rows are then evaluated by one job at most.
//!
//! | world | what may happen besides | states |
//! |---|---|---|
//! | plain | nothing | 106,325 |
//! | nothing starts | no job ever starts: the API waits for something else | 58,665 |
//! | no cancels | the API refuses every cancel; jobs start, or none does | 53,710 and 27,530 |
//! | alone | jobs are forgotten, and an answer that leaves one out is `{}`, which counts for nothing | 68,160 |
//! | repeats | other jobs start, so that an upload is repeated | 175,870 |
//! | failing | conditional writes whose answer is lost; refused, failed, cancelled and forgotten jobs; the source gone | 843,140 |
//! | bad results | kept results, completed jobs that fail after all, forgotten jobs, lost answers of writes | 311,015 |
//! | stalls | an invocation stalls for an hour, and its upload arrives after the URL's life | 328,925 |
//! | omissions | answers that count leave out a job which exists, for less time than makes it lost | 175,545 |
//! | cancelled | the user cancels the drop | 797,635 |
//! | cancelled, no cancels, and nothing starts | the API cancels nothing, and no job starts | 194,975 |
//! | cancelled, bad results | kept results, completed jobs that fail after all, lost answers of writes | 1,184,460 |
//! | no trust in time | an invocation stalls for an hour, GET lags without limit | 496,050 |
//!
//! With feature `soak`:
//!
//! | world | what may happen besides | states |
//! |---|---|---|
//! | omissions for a day | answers leave a job out for 24 h on end: a job is declared lost that exists | 724,040 |
//! | overlapping | a second poll | 1,050,163 |
//! | cancelled, lost jobs | the user cancels the drop, and jobs are forgotten | 1,445,915 |
//! | cancelled, failing | the user cancels the drop; refused, failed and cancelled jobs; the source gone | 1,735,855 |
//! | failing, with omissions | both | 1,179,880 |
//! | overlapping, no trust in time | both | 3,613,995 |
//!
//! Where GET lags without limit two jobs never have the rows at once, and no more than two ever
//! evaluate them. One schedule is left in which two do, and
//! `a_lag_without_limit_leaves_one_schedule_that_evaluates_rows_twice` prints it: a job starts, GET
//! still reports it as INITIALIZED 24 hours after its URL's life, poll claims the part and cancels
//! the job, the API stops a job that has started and reports CANCELLED, and the part gets its one
//! other job. If GET reports the job as started in between, the part is UPLOADED again, has no
//! other job, and fails once CANCELLED is reported: the rows end as failed, by our own cancel.
//!
//! Where every cancel is refused and the job never starts, nothing that Moondrop does ends the
//! part. It ends when the API no longer keeps the job: absent for 24 hours, or older than 35 days,
//! it is lost, and its rows are missing.
//!
//! | left out, or done otherwise | what it breaks |
//! |---|---|
//! | recording before the upload | a job that is not recorded received rows |
//! | the condition of that record: a lease that can expire | two live jobs have the part's rows |
//! | cancelling on expiry: just a new job | two live jobs have the part's rows |
//! | the claim before cancelling | a part failed by our own cancel; planned again at once, two live jobs have its rows |
//! | the mark before the upload, or the condition of the mark | two live jobs have the part's rows |
//! | the mark in the condition of the claim | the rows are evaluated by two jobs |
//! | failing a part whose source is gone only if no other upload began | a part failed whose rows are with its job |
//! | the state in the condition of what poll records | a part failed by our own cancel |
//! | the old item of a refused condition | a part failed by our own cancel; a collected part's rows deleted |
//! | holding a claimed, fed job that GET leaves out | two live jobs have the part's rows |
//! | planning a fed part again only when it is reported CANCELLED | two live jobs have the part's rows |
//! | counting the 24 hours from the end of the URL's life: from the first upload | the rows are evaluated by two jobs |
//! | planning a fed part again once only | where GET lags without limit, the rows are evaluated by three jobs |
//! | the mark of the one repeat | an upload repeated twice |
//! | the absence in the condition of losing a part | a part is lost whose job is reported again |
//! | the condition of taking a lost part back | a state that moves backward |
//! | that it goes back to ABANDONING if it was claimed | a part failed by our own cancel |
//! | that the sweep spares the job of a lost part | a part failed by our own cancel |
//! | that a part whose results are kept is neither lost nor failed | a part failed whose results are kept |
//! | the mark of a cancelled part in the conditions of its job, its upload and its plan | a cancelled part gets a job, an upload, or another plan |
//! | the mark of the upload in the condition of failing a cancelled part | a part failed whose rows are with its job |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod cancel;
mod collect;
mod decided;
mod left_out;
mod next;
mod poll;
mod publication;
mod record;
mod rules;
mod search;
mod state;
mod submit;
mod surroundings;

use rules::{EVALUATED_TWICE, Omits, Rules, Scenario, World};
use search::{Found, search};

#[track_caller]
fn assert_safe(name: &str, world: World, at_least: usize) {
    let scenario = Scenario { rules: Rules::ALL, world };
    match search(&scenario, None) {
        Found::Safe { states, steps, again } => {
            println!(
                "{name}: safe; {states} states, {steps} steps, {again} of them uploads of the same bytes once more"
            );
            assert!(states >= at_least, "only {states} states were explored");
        }
        Found::Unsafe { what, .. } => match search(&scenario, Some(what)) {
            Found::Safe { .. } => panic!("{name}: {what}"),
            Found::Unsafe { trace, .. } => panic!("{name}: {what}\n{trace}"),
        },
    }
}

#[track_caller]
fn assert_unsafe(name: &str, rules: Rules, world: World, expected: &str) {
    match search(&Scenario { rules, world }, Some(expected)) {
        Found::Safe { states, .. } => panic!("{name}: found safe, in {states} states"),
        Found::Unsafe { what, trace } => {
            println!("{name}: {what}\n{trace}\n");
            assert_eq!(what, expected, "{trace}");
        }
    }
}

#[test]
fn the_protocol_is_safe_and_never_stuck() {
    assert_safe("plain", World::PLAIN, 100_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_no_job_starts_by_itself() {
    assert_safe("nothing starts", World { starts: false, ..World::PLAIN }, 50_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_every_cancel_is_refused() {
    assert_safe("no cancels", World { refuses: true, ..World::PLAIN }, 30_000);
    assert_safe(
        "no cancels, and nothing starts",
        World { refuses: true, starts: false, ..World::PLAIN },
        20_000,
    );
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_what_is_left_out_counts_for_nothing() {
    let world = World { witness: false, omits: Omits::Short, lost_jobs: true, ..World::PLAIN };
    assert_safe("alone", world, 50_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_uploads_are_repeated() {
    assert_safe("repeats", World { repeats: true, ..World::PLAIN }, 100_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_whatever_fails() {
    assert_safe("failing", World::FAILING, 500_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_results_cannot_be_used() {
    let world = World { bad_results: true, lost_jobs: true, lost_writes: true, ..World::PLAIN };
    assert_safe("bad results", world, 300_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_the_user_cancels() {
    assert_safe("cancelled", World { cancels: true, ..World::PLAIN }, 200_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_the_user_cancels_and_the_api_does_not() {
    let world = World { cancels: true, refuses: true, starts: false, ..World::PLAIN };
    assert_safe("cancelled, no cancels, and nothing starts", world, 50_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_the_user_cancels_and_results_cannot_be_used() {
    let world = World { cancels: true, bad_results: true, lost_writes: true, ..World::PLAIN };
    assert_safe("cancelled, bad results", world, 300_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_invocations_stall() {
    assert_safe("stalls", World { stalls: true, ..World::PLAIN }, 200_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_get_leaves_out_jobs_that_exist() {
    assert_safe("omissions", World { omits: Omits::Short, ..World::PLAIN }, 100_000);
}

/// But for a cancel that stops a job which has started: see the next test.
#[test]
fn the_protocol_is_safe_and_never_stuck_when_no_clock_and_no_get_can_be_trusted() {
    assert_safe("no trust in time", World::TIMELESS, 300_000);
}

#[test]
fn a_lag_without_limit_leaves_one_schedule_that_evaluates_rows_twice() {
    let world = World { lag: true, ..World::PLAIN };
    assert_unsafe("GET lags without limit", Rules::ALL, world, EVALUATED_TWICE);
    assert_unsafe("GET lags without limit", Rules::ALL, world, "a part failed by our own cancel");
}

/// Millions of states, in a gigabyte.
#[cfg(feature = "soak")]
mod soak {
    use super::*;

    #[test]
    fn the_protocol_is_safe_and_never_stuck_when_get_leaves_out_jobs_for_a_day() {
        assert_safe("omissions for a day", World { omits: Omits::Day, ..World::PLAIN }, 500_000);
    }

    #[test]
    fn the_protocol_is_safe_and_never_stuck_with_two_polls_at_once() {
        assert_safe("overlapping", World { polls_overlap: true, ..World::PLAIN }, 1_000_000);
    }

    #[test]
    fn the_protocol_is_safe_and_never_stuck_whatever_fails_and_whatever_get_leaves_out() {
        assert_safe(
            "failing, with omissions",
            World { omits: Omits::Short, ..World::FAILING },
            1_000_000,
        );
    }

    #[test]
    fn the_protocol_is_safe_and_never_stuck_when_the_user_cancels_and_jobs_are_lost() {
        let world = World { cancels: true, lost_jobs: true, ..World::PLAIN };
        assert_safe("cancelled, lost jobs", world, 500_000);
    }

    #[test]
    fn the_protocol_is_safe_and_never_stuck_when_the_user_cancels_and_jobs_fail() {
        let world = World { cancels: true, failures: true, ..World::PLAIN };
        assert_safe("cancelled, failing", world, 1_000_000);
    }

    #[test]
    fn the_protocol_is_safe_and_never_stuck_with_two_polls_at_once_and_no_trust_in_time() {
        let world = World { polls_overlap: true, ..World::TIMELESS };
        assert_safe("overlapping, no trust in time", world, 3_000_000);
    }
}

/// The model's steps of time are these: who changes one checks the model.
#[test]
fn the_times_the_model_stands_on_are_the_codes() {
    use moondrop_shared::job::{OVERDUE_AFTER, UPLOAD_URL_LIFE, UPLOAD_URL_USED_FOR};
    use moondrop_shared::part::decide::{
        CANCEL_PATIENCE, ENDED_UNSENT, GIVEN_UP_AFTER, NEVER_STARTED_AFTER, OVERDUE_PATIENCE,
        REPLANS, UNSENT_CANCEL_PATIENCE,
    };
    assert_eq!(OVERDUE_AFTER.as_hours(), 35 * 24);
    assert_eq!((UPLOAD_URL_LIFE.as_secs(), UPLOAD_URL_USED_FOR.as_mins()), (4 * 3600, 3 * 60 + 45));
    assert_eq!((GIVEN_UP_AFTER.as_mins(), NEVER_STARTED_AFTER.as_hours()), (4 * 60 + 30, 4 + 24));
    assert_eq!((UNSENT_CANCEL_PATIENCE.as_hours(), OVERDUE_PATIENCE.as_hours()), (1, 24));
    assert_eq!((ENDED_UNSENT, REPLANS), (2, 1));
    assert_eq!(CANCEL_PATIENCE.as_hours(), 24);
    let upload = include_str!("../../../functions/submit/src/upload_part.rs");
    assert!(upload.contains("UPLOAD_URL_USED_FOR"));
    let sweep = include_str!("../../../functions/poll/src/sweep.rs");
    assert!(sweep.contains("ORPHAN_AFTER: SignedDuration = SignedDuration::from_hours(5);"));
}
