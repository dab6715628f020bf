//! submit: what an upload may come to, and the way of a job that was never fed.

use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::env::{DAY, Dropped};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::raw_http::Gate;
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::json;

fn file() -> Vec<u8> {
    good_file(4)
}

/// A drop of one part.
async fn start() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    (world, dropped)
}

/// The upload fails once; the next delivery repeats it to the same address.
async fn assert_uploaded_again_to_the_same_job(answer: Answer) {
    let (world, dropped) = start().await;
    world.api.next(Call::Upload, [answer]);
    assert!(!world.submit(&dropped).await, "the message comes back");
    assert_eq!(world.states(&dropped.id).await, [PartState::Created]);
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_UPLOAD"));
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&file(), ended.results());
    assert_eq!((world.api.jobs().len(), world.api.count(Call::Create)), (1, 1), "no second job");
    let uploads = world.api.requests(Call::Upload);
    assert!(
        uploads.iter().all(|r| r.path == uploads[0].path && r.query == uploads[0].query),
        "one address"
    );
    assert!(
        world
            .api
            .job("job-1")
            .uploads
            .iter()
            .all(|upload| *upload == world.api.job("job-1").uploads[0]),
        "the same bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_answered_403_is_repeated_to_the_recorded_url() {
    assert_uploaded_again_to_the_same_job(Answer::status(403)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_answered_500_is_repeated_to_the_recorded_url_with_or_without_effect() {
    assert_uploaded_again_to_the_same_job(Answer::status(500)).await;
    assert_uploaded_again_to_the_same_job(Answer::status(500).with_effect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_cut_midway_or_not_answered_is_repeated_to_the_recorded_url() {
    assert_uploaded_again_to_the_same_job(Answer::break_after(30)).await;
    assert_uploaded_again_to_the_same_job(Answer::break_after(0)).await;
    assert_uploaded_again_to_the_same_job(Answer::lost()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_has_a_length_and_never_our_key() {
    let (world, dropped) = start().await;
    world.finish(&dropped).await;
    for call in [Call::Upload, Call::Download] {
        for request in world.api.requests(call) {
            assert_eq!(request.header("authorization"), None);
            assert_eq!(request.header("transfer-encoding"), None);
            let length = request.header("content-length").map_or(0, |n| n.parse().unwrap());
            assert_eq!(length, request.body.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_redirected_goes_nowhere_else() {
    let (world, dropped) = start().await;
    let elsewhere = format!("{}/input/job-2", world.api.url());
    world.api.next(Call::Upload, [Answer::status(307).header("Location", elsewhere)]);
    assert!(!world.submit(&dropped).await);
    assert_eq!(world.api.count(Call::Upload), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_url_older_than_three_hours_and_three_quarters_is_never_used() {
    let (world, dropped) = start().await;
    world.api.next(Call::Upload, [Answer::status(500)]);
    assert!(!world.submit(&dropped).await);
    world.age_part((&dropped.id, 1), "created_at", 3 * 60 + 46).await;
    assert!(world.submit(&dropped).await, "there is nothing to do for submit");
    assert_eq!((world.api.count(Call::Upload), world.api.jobs().len()), (1, 1));
    world.age_part((&dropped.id, 1), "created_at", 3 * 60 + 44).await;
    assert!(world.submit(&dropped).await);
    assert_eq!(world.api.count(Call::Upload), 2, "a younger one is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_to_which_nothing_was_sent_is_claimed_cancelled_and_replaced() {
    let (world, dropped) = start().await;
    world.api.next(Call::Create, [Answer::job_elsewhere("job-1")]);
    assert!(!world.submit(&dropped).await);
    world.age_part((&dropped.id, 1), "created_at", 4 * 60 + 29).await;
    world.poll().await;
    assert_eq!(
        (world.states(&dropped.id).await, world.api.count(Call::Cancel)),
        (vec![PartState::Created], 0)
    );
    world.age_part((&dropped.id, 1), "created_at", 4 * 60 + 31).await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Abandoning]);
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
    assert!(world.submit(&dropped).await, "a claimed part is not fed");
    assert_eq!(world.api.jobs().len(), 1);
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Planned]);
    // Submit hears of it by itself.
    world.poll_in(60).await;
    assert!(world.aws().events().iter().any(|e| e["detail-type"] == "Drop Stalled"));
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&file(), ended.results());
    let fed: Vec<String> = world.api.fed().into_iter().map(|job| job.id).collect();
    assert_eq!(fed, ["job-2"], "the given-up job never received a row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_job_that_had_started_after_all_keeps_the_part() {
    let (world, dropped) = start().await;
    world.api.next(Call::Upload, [Answer::lost()]);
    assert!(!world.submit(&dropped).await);
    // The API's word lags: the job has its rows and is still told as waiting; and it cannot be
    // cancelled any more.
    world.api.set_state("job-1", "INITIALIZED");
    world.age_part((&dropped.id, 1), "created_at", 28 * 60 - 1).await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Created]);
    world.age_part((&dropped.id, 1), "created_at", 28 * 60 + 1).await;
    world.api.next(Call::Cancel, [Answer::status(400)]);
    world.poll().await;
    assert_eq!(
        (world.states(&dropped.id).await, world.api.count(Call::Cancel)),
        (vec![PartState::Abandoning], 1)
    );
    world.api.set_state("job-1", "SUBMITTED");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded]);
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_eq!((world.api.jobs().len(), world.api.fed().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_gets_no_row_and_costs_one_job() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    let elsewhere = json!({"batchJobId": "job-x", "inputFileUploadUrl": "https://uploads.example.net/in?X-Amz-Signature=s"});
    world.api.next(Call::Create, [Answer::body(elsewhere.to_string())]);
    assert!(!world.submit(&dropped).await);
    let problem = world.status(&dropped.id).await.problem.unwrap();
    assert!(
        problem.code.as_str() == "E_HOST" && problem.message.contains("uploads.example.net"),
        "{problem:?}"
    );
    assert_eq!(
        (world.api.count(Call::Create), world.api.count(Call::Upload)),
        (1, 0),
        "the other parts wait"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_fails_is_tried_again_by_the_next_tick() {
    let (world, dropped) = start().await;
    world.api.next(Call::Create, [Answer::job_elsewhere("job-1")]);
    assert!(!world.submit(&dropped).await);
    world.age_part((&dropped.id, 1), "created_at", 4 * 60 + 31).await;
    world.api.next(Call::Cancel, (0..5).map(|_| Answer::status(503)));
    let error = world.poll_at(Timestamp::now()).await.unwrap_err();
    assert!(format!("{error:#}").contains("503"), "the tick counts as failed: {error:#}");
    assert_eq!(
        (world.states(&dropped.id).await, world.api.count(Call::Cancel)),
        (vec![PartState::Abandoning], 5)
    );
    world.poll().await;
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Planned]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_more_parts_a_drop_has_the_fewer_reports_read_all_of_them() {
    let parts = 1_250;
    let world =
        InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("REPORT_EVERY_SECONDS", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(parts)).await;
    let gate = Gate::default();
    world.api.next(Call::Upload, (0..4).map(|_| Answer::faithful().behind(&gate)));
    let active = async || world.record(&dropped.id).await.active_at;
    let reported = async || world.status(&dropped.id).await.updated_at;
    let watched = async {
        for _ in 0..4 {
            gate.arrived().await;
        }
        let (first, mut last, mut beats) = (reported().await, active().await, 0);
        while reported().await == first {
            let now = active().await;
            beats += u32::from(now != last);
            last = now;
        }
        (0..4).for_each(|_| gate.open());
        beats
    };
    let messages = [dropped.message.as_str()];
    let (back, beats) = tokio::join!(submit(&world.services, &messages, DAY), watched);
    assert!(back.is_empty());
    assert_eq!(beats, 3, "a third as many reports with three times the parts");
}
