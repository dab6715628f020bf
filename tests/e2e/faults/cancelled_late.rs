//! Cancelled drops whose jobs do not do as they are told.

use crate::cancelled::submit_while_cancelled;
use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::env::Dropped;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, collect};
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::json;

/// A drop of one part, which is with its job.
async fn fed() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    (world, dropped)
}

async fn errors(world: &InProcess, dropped: &Dropped) -> Vec<String> {
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    ended.assert_state(DropState::CompletedWithErrors);
    let rows = assert_all_rows(&good_file(4), ended.results());
    rows.into_iter().map(|row| row["error"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_submit_creates_no_more_jobs_for_a_cancelled_drop() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
    Box::pin(submit_while_cancelled(&world, &dropped)).await;
    assert_eq!((world.api.count(Call::Create), world.api.fed().len()), (1, 0));
    assert!(world.submit(&dropped).await, "delivered again, there is nothing left to do");
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_even_if_poll_sees_the_request_a_day_late() {
    let (world, dropped) = fed().await;
    world.cancel(&dropped.id).await;
    world.age_part((&dropped.id, 1), "cancelled_at", 25 * 60).await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
    assert_eq!(errors(&world, &dropped).await, ["failed: cancelled on request"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_by_itself_keeps_its_reason_and_its_alarm() {
    let (world, dropped) = fed().await;
    world.cancel(&dropped.id).await;
    let error = json!({"errorCode": "BATCH_JOB_ERROR_INVALID_POLICY", "errorMessage": "gone"});
    world.api.change("job-1", |job| {
        job.state = "ERROR".to_owned();
        job.fields.insert("error".to_owned(), error);
    });
    world.poll().await;
    let reason = "failed: the job failed: INVALID_POLICY gone";
    assert_eq!(errors(&world, &dropped).await, [reason; 4]);
    let event = world.events("Job Failed", &dropped.id).remove(0);
    assert_eq!(event.get("cancelled"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_the_api_does_not_answer_is_sent_again_only_after_an_hour() {
    let (world, dropped) = fed().await;
    world.api.always(Call::Cancel, Some(Answer::status(503)));
    world.cancel(&dropped.id).await;
    world.poll().await;
    let sent = world.api.count(Call::Cancel);
    assert!(sent > 0);
    world.api.set_state("job-1", "SUBMITTED");
    world.poll().await;
    assert_eq!(world.api.count(Call::Cancel), sent);
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!(part.job_state.unwrap().as_str(), "SUBMITTED", "its state is recorded meanwhile");
    world.api.always(Call::Cancel, None);
    world.age_part((&dropped.id, 1), "cancel_sent_at", 61).await;
    world.poll().await;
    assert_eq!(world.api.count(Call::Cancel), sent + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn completed_results_that_cannot_be_stored_are_no_failure_after_a_day() {
    let (world, dropped) = fed().await;
    world.cancel(&dropped.id).await;
    world.api.complete_all();
    world.poll().await;
    let without = world.cold_with("RESULTS_BUCKET", "no-such-bucket");
    collect(&without, &dropped.id, 1).await.unwrap();
    for attribute in ["cancelled_at", "ended_at"] {
        world.age_part((&dropped.id, 1), attribute, 25 * 60).await;
    }
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Completed], "the API has them");
    // If it cannot be asked for them, it is over.
    world.api.set_key("another");
    assert!(world.poll_at(Timestamp::now()).await.is_err());
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_job_of_a_cancelled_drop_ends_though_the_api_cannot_be_asked() {
    let (world, dropped) = fed().await;
    let other = world.drop_file("incoming/other.csv", good_file(2)).await;
    assert!(world.submit(&other).await);
    world.poll().await;
    world.api.leave_out_missing();
    world.api.forget("job-1");
    world.absent_for(&dropped.id, 1, 24).await;
    world.poll().await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
    world.cancel(&dropped.id).await;
    world.api.set_key("another");
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed], "it is asked once more first");
    world.age_drop(&dropped.id, "cancelled_at", 25 * 60).await;
    let missing = "missing: the API has not reported the job for 24 hours";
    assert_eq!(errors(&world, &dropped).await, [missing; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_drop_that_waits_for_its_jobs_is_not_stalled() {
    let (world, dropped) = fed().await;
    world.api.always(Call::Cancel, Some(Answer::refusal(400, 9, "the job has started")));
    world.cancel(&dropped.id).await;
    world.poll_in(60).await;
    assert!(world.aws().events().iter().all(|event| event["detail-type"] != "Drop Stalled"));
}
