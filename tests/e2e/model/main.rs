//! The protocol of one part, searched breadth first: every state that two submits, two polls and two collects can bring
//! about, whatever fails on the way. What poll decides is decided by its own code, `functions/poll/src/decide.rs`.
//!
//! In each world crashes, lost answers to a create, refused and lost cancels, addresses that run out and a lagging GET come
//! in any order. No state of it may break what [`rules::broken`] names, and from each the part can still be collected.
//!
//! | world | what may happen besides | states |
//! |---|---|---|
//! | plain | nothing; with three of the rules left out | 5,444 |
//! | failing | conditional writes whose answer is lost; refused, failed and forgotten jobs; the source gone | 120,285 |
//! | overlapping | the same without forgotten jobs, and a second poll | 569,820 |
//! | failing, no trust in time | an invocation stalls for an hour, GET lags without limit | 610,374 |
//! | failing, with omissions | answers to GET that leave out a job which exists, though not for an hour on end | 129,177 |
//! | overlapping, with omissions | the same | 863,527 |
//! | omissions, no trust in time | the same, an invocation stalls for an hour, GET lags without limit | 76,285 |
//! | overlapping, no trust in time (feature `soak`) | a second poll, an invocation stalls for an hour, GET lags without limit | 1,770,529 |
//!
//! | left out, or done otherwise | what it breaks |
//! |---|---|
//! | recording before the upload | a job that is not recorded received rows |
//! | the condition of that record: a lease that can expire | two live jobs have the part's rows |
//! | cancelling on expiry: just a new job | two live jobs have the part's rows |
//! | the claim before cancelling | a part failed by our own cancel; planned again at once, two live jobs have its rows |
//! | the state in the condition of what poll records | a part failed by our own cancel; a state that moves backward |
//! | a look at the record after a failed condition | a part failed by our own cancel; a collected part's rows deleted |
//! | holding a claimed job that GET leaves out | two live jobs have the part's rows |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod collect;
#[path = "../../../functions/poll/src/decide.rs"]
mod decide;
mod feed;
mod poll;
mod rules;
mod search;
mod state;
mod steps;

use rules::{Expiry, Rules, World};
use search::{Found, search};

#[track_caller]
fn assert_safe(name: &str, rules: Rules, world: World, at_least: usize) {
    match search(&rules, &world, None) {
        Found::Safe { states, steps, again } => {
            println!("{name}: safe; {states} states, {steps} steps, {again} of them uploads of the same bytes once more");
            assert!(states >= at_least, "only {states} states were explored");
        }
        Found::Unsafe { what, .. } => match search(&rules, &world, Some(what)) {
            Found::Safe { .. } => panic!("{name}: {what}"),
            Found::Unsafe { trace, .. } => panic!("{name}: {what}\n{trace}"),
        },
    }
}

#[track_caller]
fn assert_unsafe(name: &str, rules: Rules, world: World, expected: &str) {
    match search(&rules, &world, Some(expected)) {
        Found::Safe { states, .. } => panic!("{name}: found safe, in {states} states"),
        Found::Unsafe { what, trace } => {
            println!("{name}: {what}\n{trace}\n");
            assert_eq!(what, expected, "{trace}");
        }
    }
}

#[test]
fn the_protocol_is_safe_and_never_stuck_whatever_fails() {
    assert_safe("failing", Rules::ALL, World::FAILING, 100_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_with_two_polls_at_once() {
    assert_safe("overlapping", Rules::ALL, World::OVERLAPPING, 500_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_no_clock_and_no_get_can_be_trusted() {
    let world = World { bounded: false, ..World::FAILING };
    assert_safe("failing, no trust in time", Rules::ALL, world, 500_000);
}

#[test]
fn the_protocol_is_safe_and_never_stuck_when_get_leaves_out_jobs_that_exist() {
    let world = World { omissions: true, ..World::FAILING };
    assert_safe("failing, with omissions", Rules::ALL, world, 100_000);
    let world = World { omissions: true, ..World::OVERLAPPING };
    assert_safe("overlapping, with omissions", Rules::ALL, world, 500_000);
    let world = World { omissions: true, bounded: false, ..World::PLAIN };
    assert_safe("omissions, no trust in time", Rules::ALL, world, 10_000);
}

/// Millions of states, in half a minute and a gigabyte.
#[cfg(feature = "soak")]
#[test]
fn the_protocol_is_safe_and_never_stuck_with_two_polls_at_once_and_no_trust_in_time() {
    let world = World { bounded: false, polls_overlap: true, ..World::PLAIN };
    assert_safe("overlapping, no trust in time", Rules::ALL, world, 1_500_000);
}

/// Three of the rules are needed only against overlapping polls, omissions and lost writes: see the tests at the end.
#[test]
fn with_one_poll_at_a_time_no_omissions_and_no_lost_writes_fewer_rules_are_safe() {
    let rules = Rules { guarded: false, look_after_failure: false, hold_absent: false, ..Rules::ALL };
    assert_safe("plain", rules, World::PLAIN, 5_000);
}

/// The model's steps of time are these; who changes one thinks the model over.
#[test]
fn the_times_the_model_stands_on_are_the_codes() {
    let feed = include_str!("../../../functions/submit/src/feed.rs");
    assert!(feed.contains("URL_USED_FOR: SignedDuration = SignedDuration::from_mins(3 * 60 + 45);"));
    let decide = include_str!("../../../functions/poll/src/decide.rs");
    assert!(decide.contains("GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(4 * 60 + 30);"));
    assert!(decide.contains("LOST_AFTER: SignedDuration = SignedDuration::from_hours(1);"));
    let heal = include_str!("../../../functions/poll/src/heal.rs");
    assert!(heal.contains("ORPHAN_AFTER: SignedDuration = SignedDuration::from_hours(5);"));
    assert_eq!(moondrop_shared::batch_api::UPLOAD_URL_LIFE.as_secs(), 4 * 3600);
}

#[test]
fn upload_before_recording_is_unsafe() {
    let rules = Rules { record_first: false, ..Rules::ALL };
    assert_unsafe("upload before recording", rules, World::PLAIN, "a job that is not recorded received rows");
}

#[test]
fn a_lease_that_can_expire_is_unsafe() {
    let rules = Rules { conditional: false, ..Rules::ALL };
    assert_unsafe("a lease", rules, World::PLAIN, "two live jobs have the part's rows");
}

#[test]
fn a_new_job_on_expiry_without_cancelling_is_unsafe() {
    let rules = Rules { expiry: Expiry::NewJob, ..Rules::ALL };
    assert_unsafe("a new job on expiry", rules, World::PLAIN, "two live jobs have the part's rows");
}

#[test]
fn cancelling_without_the_claim_is_unsafe() {
    let rules = Rules { expiry: Expiry::CancelUnclaimed, ..Rules::ALL };
    let world = World { bounded: false, ..World::PLAIN };
    assert_unsafe("cancelling without the claim", rules, world, "a part failed by our own cancel");
    let rules = Rules { expiry: Expiry::CancelAndForget, ..Rules::ALL };
    assert_unsafe("planning again without the claim", rules, world, "two live jobs have the part's rows");
}

#[test]
fn a_state_from_poll_recorded_over_another_than_it_decided_by_is_unsafe() {
    let rules = Rules { guarded: false, ..Rules::ALL };
    let world = World { polls_overlap: true, ..World::PLAIN };
    assert_unsafe("no guard, two polls", rules, world, "a part failed by our own cancel");
    let world = World { failures: true, ..World::PLAIN };
    assert_unsafe("no guard, the source gone", rules, world, "the part's state moved backward");
}

#[test]
fn believing_a_failed_condition_after_a_lost_answer_is_unsafe() {
    let rules = Rules { look_after_failure: false, ..Rules::ALL };
    let world = World { lost_writes: true, ..World::PLAIN };
    assert_unsafe("believing it of the job", rules, world, "a part failed by our own cancel");
    assert_unsafe("believing it of the rows", rules, world, "the part is collected, and its rows are deleted");
}

#[test]
fn taking_a_claimed_job_for_gone_that_get_left_out_once_is_unsafe() {
    let rules = Rules { hold_absent: false, ..Rules::ALL };
    let world = World { omissions: true, bounded: false, ..World::PLAIN };
    assert_unsafe("believing an omission", rules, world, "two live jobs have the part's rows");
}
