//! Drops that the user cancels: `control/<drop>.cancel` in the drops bucket.

use moondrop_local::aws::DROPS;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::env::{DAY, Dropped, Ended};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::logs;
use moondrop_tests::raw_http::Gate;
use moondrop_tests::rows::{assert_all_rows, good_file};

/// A drop of three parts: the first has its rows, the second has a job without rows, and the third
/// has no job.
async fn under_way() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
    world.api.next(Call::Create, [Answer::faithful(), Answer::job_elsewhere("job-2")]);
    assert!(!world.submit(&dropped).await);
    let states = world.states(&dropped.id).await;
    assert_eq!(states, [PartState::Uploaded, PartState::Created, PartState::Planned]);
    (world, dropped)
}

/// Submits the drop, which is cancelled by another submit while the API creates the first job; gives
/// whether the submit succeeded.
pub(crate) async fn submit_while_cancelled(world: &InProcess, dropped: &Dropped) -> bool {
    let (gate, other) = (Gate::default(), world.cold());
    world.api.next(Call::Create, [Answer::faithful().behind(&gate)]);
    let cancel = async {
        gate.arrived().await;
        let request = world.request_cancel(&dropped.id).await;
        assert!(submit(&other, &[&request.message], DAY).await.is_empty());
        gate.open();
    };
    tokio::join!(world.submit(dropped), cancel).0
}

/// Fails the test if the drop did not end as a cancelled one with all its rows; gives the `error`
/// of each.
fn errors_of(ended: &Ended, source: &[u8]) -> Vec<String> {
    ended.assert_state(DropState::CompletedWithErrors);
    let problem = ended.status.problem.as_ref().unwrap();
    assert_eq!(problem.code.as_str(), "C_CANCELLED");
    assert!(ended.status.cancelled_at.is_some());
    let rows = assert_all_rows(source, ended.results());
    rows.into_iter().map(|row| row["error"].clone()).collect()
}

const CANCELLED: &str = "failed: cancelled on request";

#[tokio::test(flavor = "multi_thread")]
async fn parts_without_rows_fail_at_once_and_jobs_with_rows_are_cancelled() {
    let (world, dropped) = under_way().await;
    world.cancel(&dropped.id).await;
    let states = world.states(&dropped.id).await;
    assert_eq!(states, [PartState::Uploaded, PartState::Failed, PartState::Failed]);
    assert_eq!(world.api.job("job-2").state, "CANCELLED");
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("C_CANCELLED"));

    // One tick cancels the job, and the next sees that it is cancelled.
    world.poll().await;
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
    world.poll().await;
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    assert_eq!(errors_of(&ended, &good_file(6)), [CANCELLED; 6]);
    assert_eq!((world.api.jobs().len(), world.api.fed().len()), (2, 1));
    let completed = world.events("Drop Completed", &dropped.id);
    assert_eq!(completed[0]["problem"]["code"], "C_CANCELLED");
    assert!(logs::with(dropped.id.as_str()).iter().all(|line| !line.contains("job_failed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_a_job_that_the_api_does_not_cancel_are_taken() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    world.api.always(Call::Cancel, Some(Answer::refusal(400, 9, "the job has started")));
    world.cancel(&dropped.id).await;
    world.poll().await;
    world.poll().await;
    // Asked once for each job, and again only after an hour.
    assert_eq!(world.api.count(Call::Cancel), 2);
    let ended = world.end(&dropped).await;
    assert_eq!(errors_of(&ended, &good_file(4)), [""; 4]);
    assert!(ended.status.problem.unwrap().message.contains("4 of 4 rows were evaluated"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_is_not_planned_yet_fails_without_a_job_or_results() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    // Its parts are recorded, but not its plan: the event in between does not get through.
    let without_bus = world.with_bus_at("http://127.0.0.1:1");
    assert_eq!(submit(&without_bus, &[&dropped.message], DAY).await.len(), 1);
    assert_eq!(world.record(&dropped.id).await.state, DropState::Checking);
    world.cancel(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    ended.assert_state(DropState::Failed);
    assert_eq!(ended.status.problem.unwrap().code.as_str(), "C_CANCELLED");
    assert!(ended.results.is_none());

    assert!(world.submit(&dropped).await);
    world.poll().await;
    assert_eq!(world.api.count(Call::Create), 0);
    assert!(world.ledger.open_parts().await.unwrap().records.is_empty(), "no part is left open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_is_cancelled_while_it_is_checked_is_never_planned() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    let without_bus = world.with_bus_at("http://127.0.0.1:1");
    assert_eq!(submit(&without_bus, &[&dropped.message], DAY).await.len(), 1);
    // As recorded by a request whose submit died at once.
    world.age_drop(&dropped.id, "cancelled_at", 1).await;
    assert!(world.submit(&dropped).await);
    world.ended(&dropped.id).await.assert_state(DropState::Failed);
    assert_eq!(world.api.count(Call::Create), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_created_is_not_the_parts_and_is_cancelled() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(Box::pin(submit_while_cancelled(&world, &dropped)).await);
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
    assert!(world.api.fed().is_empty());
    world.poll().await;
    world.collect_all(&dropped.id).await;
    assert_eq!(errors_of(&world.ended(&dropped.id).await, &good_file(4)), [CANCELLED; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_after_the_request_a_part_ends_though_the_api_cannot_be_asked() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    world.api.set_key("another");
    world.cancel(&dropped.id).await;
    let now = jiff::Timestamp::now();
    world.age_part((&dropped.id, 1), "cancelled_at", 23 * 60).await;
    assert!(world.poll_at(now).await.is_err());
    assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded]);
    world.age_part((&dropped.id, 1), "cancelled_at", 24 * 60 + 1).await;
    assert!(world.poll_at(now).await.is_err());
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
    world.collect_all(&dropped.id).await;
    assert_eq!(errors_of(&world.ended(&dropped.id).await, &good_file(4)), [CANCELLED; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_after_the_request_a_part_ends_though_its_job_is_not_cancelled() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    world.api.always(Call::Cancel, Some(Answer::refusal(400, 9, "the job has started")));
    world.cancel(&dropped.id).await;
    world.age_part((&dropped.id, 1), "cancelled_at", 24 * 60 + 1).await;
    world.poll().await;
    world.collect_all(&dropped.id).await;
    assert_eq!(errors_of(&world.ended(&dropped.id).await, &good_file(4)), [CANCELLED; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_part_of_a_cancelled_drop_is_not_planned_again() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    // Its rows were sent over a day ago, and the job never started: it is claimed and cancelled.
    world.api.set_state("job-1", "INITIALIZED");
    for attribute in ["created_at", "upload_began_at", "uploaded_at"] {
        world.age_part((&dropped.id, 1), attribute, 29 * 60).await;
    }
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Abandoning]);
    world.cancel(&dropped.id).await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
    world.collect_all(&dropped.id).await;
    assert_eq!(errors_of(&world.ended(&dropped.id).await, &good_file(4)), [CANCELLED; 4]);
    assert_eq!(world.api.count(Call::Create), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_results_of_a_cancelled_drop_stay_held() {
    let world =
        InProcess::start_with(&[("ROWS_PER_JOB", "4"), ("CONFIRM_AFTER_SECONDS", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    world.api.change("job-1", |job| job.results = Some(b"<html>no results</html>".to_vec()));
    world.api.complete_all();
    world.poll().await;
    world.collect(&dropped.id, 1).await.unwrap();
    let first = world.parts(&dropped.id).await[0].unconfirmed.clone().unwrap().since;
    while jiff::Timestamp::now().duration_since(first).as_millis() < 1_001 {
        tokio::task::yield_now().await;
    }
    world.collect(&dropped.id, 1).await.unwrap();
    assert!(world.parts(&dropped.id).await[0].held.is_some());
    world.cancel(&dropped.id).await;
    for attribute in ["cancelled_at", "ended_at"] {
        world.age_part((&dropped.id, 1), attribute, 48 * 60).await;
    }
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Completed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_twice_or_after_the_end_changes_nothing() {
    let (world, dropped) = under_way().await;
    world.cancel(&dropped.id).await;
    let first = world.record(&dropped.id).await.cancelled_at;
    world.cancel(&dropped.id).await;
    assert_eq!(world.record(&dropped.id).await.cancelled_at, first);

    let finished = world.drop_file("incoming/finished.csv", good_file(2)).await;
    let before = world.finish(&finished).await;
    world.cancel(&finished.id).await;
    let after = world.ended(&finished.id).await;
    after.assert_state(DropState::Completed);
    assert_eq!((after.status.cancelled_at, &after.results), (None, &before.results));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_no_drop_is_logged_and_done_with() {
    let world = InProcess::start().await;
    let unknown = "0123456789abcdef0123456789abcdef".into();
    world.cancel(&unknown).await;
    assert!(logs::with(unknown.as_str()).iter().any(|line| line.contains("unknown_control")));
    let key = "control/posts-of-today.cancel";
    world.put_object(DROPS, key, "").await;
    let message = world.aws().announcement(DROPS, key).await.unwrap().to_string();
    assert!(submit(&world.services, &[&message], DAY).await.is_empty());
    assert!(logs::with(key).iter().any(|line| line.contains("unknown_control")));
    assert!(world.all_items().await.is_empty(), "nothing is recorded");
}
