//! What each rule is for: left out, something breaks. The table is in `main.rs`.

use crate::assert_unsafe;
use crate::rules::{EVALUATED_TWICE, Expiry, Mark, Omits, Rules, World};

const TWO_LIVE_JOBS: &str = "two live jobs have the part's rows";
const OWN_CANCEL: &str = "a part failed by our own cancel";
const BACKWARD: &str = "the part's state moved backward";
const OMITS_FOR_A_DAY: World = World { omits: Omits::Day, ..World::PLAIN };

#[test]
fn upload_before_recording_is_unsafe() {
    let rules = Rules { record_first: false, ..Rules::ALL };
    assert_unsafe(
        "upload before recording",
        rules,
        World::PLAIN,
        "a job that is not recorded received rows",
    );
}

#[test]
fn a_lease_that_can_expire_is_unsafe() {
    let rules = Rules { conditional: false, ..Rules::ALL };
    assert_unsafe("a lease", rules, World::PLAIN, TWO_LIVE_JOBS);
}

#[test]
fn a_new_job_on_expiry_without_cancelling_is_unsafe() {
    let rules = Rules { expiry: Expiry::NewJob, ..Rules::ALL };
    assert_unsafe("a new job on expiry", rules, World::PLAIN, TWO_LIVE_JOBS);
}

#[test]
fn cancelling_without_the_claim_is_unsafe() {
    let rules = Rules { expiry: Expiry::CancelUnclaimed, ..Rules::ALL };
    assert_unsafe("cancelling without the claim", rules, World::TIMELESS, OWN_CANCEL);
    let rules = Rules { expiry: Expiry::CancelAndForget, ..Rules::ALL };
    assert_unsafe("planning again without the claim", rules, World::TIMELESS, TWO_LIVE_JOBS);
}

#[test]
fn an_upload_that_is_not_recorded_before_it_begins_is_unsafe() {
    let rules = Rules { mark: Mark::None, ..Rules::ALL };
    assert_unsafe("no mark", rules, World::PLAIN, TWO_LIVE_JOBS);
    let rules = Rules { mark: Mark::Unheeded, ..Rules::ALL };
    assert_unsafe("a mark whose refusal is not heeded", rules, World::TIMELESS, TWO_LIVE_JOBS);
}

#[test]
fn claiming_an_unfed_part_whose_upload_has_begun_since_is_unsafe() {
    let rules = Rules { claim_checks_mark: false, ..Rules::ALL };
    assert_unsafe(
        "a claim that does not look for the mark",
        rules,
        World { stalls: true, ..World::PLAIN },
        EVALUATED_TWICE,
    );
}

#[test]
fn failing_a_part_beside_another_attempt_that_uploads_is_unsafe() {
    let rules = Rules { fail_alone: false, ..Rules::ALL };
    let world = World { failures: true, ..World::PLAIN };
    assert_unsafe("failing not alone", rules, world, "a part failed whose rows are with its job");
}

#[test]
fn a_state_from_poll_recorded_over_another_than_it_decided_by_is_unsafe() {
    let rules = Rules { guarded: false, ..Rules::ALL };
    let world = World { polls_overlap: true, ..World::PLAIN };
    assert_unsafe("no guard, two polls", rules, world, OWN_CANCEL);
}

#[test]
fn believing_a_failed_condition_after_a_lost_answer_is_unsafe() {
    let rules = Rules { know_writer: false, ..Rules::ALL };
    let world = World { lost_writes: true, ..World::PLAIN };
    assert_unsafe("believing it of the job", rules, world, OWN_CANCEL);
    assert_unsafe(
        "believing it of the rows",
        rules,
        world,
        "the part is collected, and its rows are deleted",
    );
}

#[test]
fn planning_a_fed_part_again_on_absence_is_unsafe() {
    let rules = Rules { hold_absent: false, ..Rules::ALL };
    assert_unsafe(
        "believing an omission",
        rules,
        World { omits: Omits::Short, ..World::PLAIN },
        TWO_LIVE_JOBS,
    );
}

#[test]
fn planning_a_fed_part_again_before_it_is_seen_cancelled_is_unsafe() {
    let rules = Rules { await_cancelled: false, ..Rules::ALL };
    assert_unsafe("not waiting for CANCELLED", rules, World::PLAIN, TWO_LIVE_JOBS);
}

#[test]
fn counting_the_day_from_the_first_upload_is_unsafe() {
    let rules = Rules { whole_day: false, ..Rules::ALL };
    assert_unsafe("a day from the first upload", rules, World::PLAIN, EVALUATED_TWICE);
}

#[test]
fn planning_again_without_a_limit_is_unsafe() {
    let rules = Rules { replan_once: false, ..Rules::ALL };
    let world = World { lag: true, in_time: false, ..World::PLAIN };
    assert_unsafe("replans without a limit", rules, world, "the rows were evaluated by three jobs");
}

#[test]
fn repeating_an_upload_without_its_mark_is_unsafe() {
    let rules = Rules { repeat_once: false, ..Rules::ALL };
    let world = World { repeats: true, ..World::PLAIN };
    assert_unsafe("repeats without a mark", rules, world, "an upload was repeated twice");
}

#[test]
fn losing_a_part_whose_job_was_reported_since_is_unsafe() {
    let rules = Rules { lose_unseen: false, ..Rules::ALL };
    let world = World { polls_overlap: true, ..OMITS_FOR_A_DAY };
    assert_unsafe(
        "losing what is reported",
        rules,
        world,
        "a part is lost whose job is reported again",
    );
}

#[test]
fn taking_a_lost_part_back_without_a_condition_is_unsafe() {
    let rules = Rules { restore_checked: false, ..Rules::ALL };
    assert_unsafe("taking back what is collected", rules, OMITS_FOR_A_DAY, BACKWARD);
}

#[test]
fn forgetting_the_claim_of_a_lost_part_is_unsafe() {
    let rules = Rules { restore_claim: false, ..Rules::ALL };
    assert_unsafe("forgetting the claim", rules, OMITS_FOR_A_DAY, OWN_CANCEL);
}

#[test]
fn sweeping_the_job_of_a_lost_part_is_unsafe() {
    let rules = Rules { sweep_spares_lost: false, ..Rules::ALL };
    assert_unsafe("sweeping a lost job", rules, OMITS_FOR_A_DAY, OWN_CANCEL);
}

#[test]
fn failing_a_part_whose_results_are_kept_is_unsafe() {
    let rules = Rules { respect_held: false, ..Rules::ALL };
    let world = World { bad_results: true, ..World::PLAIN };
    assert_unsafe("failing what is kept", rules, world, "a part failed whose results are kept");
}

#[test]
fn a_job_or_an_upload_for_a_part_that_was_cancelled_is_unsafe() {
    let rules = Rules { heed_cancel: false, ..Rules::ALL };
    let world = World { cancels: true, ..World::PLAIN };
    for broken in [
        "a cancelled part got a job",
        "an upload began to a cancelled part",
        "a cancelled part was planned again",
    ] {
        assert_unsafe("not heeding the mark", rules, world, broken);
    }
}

#[test]
fn failing_a_cancelled_part_whose_upload_has_begun_since_is_unsafe() {
    let rules = Rules { cancel_checks_mark: false, ..Rules::ALL };
    let world = World { cancels: true, ..World::PLAIN };
    let broken = "a part failed whose rows are with its job";
    assert_unsafe("a cancel that does not look for the mark", rules, world, broken);
}
