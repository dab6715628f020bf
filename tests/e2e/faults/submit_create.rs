//! submit: what `create` may answer.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_shared::source::DropId;
use moondrop_tests::env::KEY;
use moondrop_tests::fake_batch_api::{Answer, Call, SIGNATURE};
use moondrop_tests::in_process::{API_TIMEOUT, InProcess};
use moondrop_tests::logs;
use moondrop_tests::rows::{assert_all_rows, good_file, with_error};
use serde_json::{Value, json};
use std::time::Duration;

/// Two parts of two rows.
fn file() -> Vec<u8> {
    good_file(4)
}

/// The drop is not given up, says why it waits, and goes on where it stood once the API takes jobs
/// again.
async fn assert_waits_then_resumes(answer: Answer, code: &str) {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.always(Call::Create, Some(answer));
    assert!(!world.submit(&dropped).await, "the message comes back");
    assert_eq!(world.record(&dropped.id).await.state, DropState::Uploading);
    assert_eq!(world.states(&dropped.id).await, [PartState::Planned; 2]);
    let status = world.status(&dropped.id).await;
    let problem = status.problem.expect("status.json says what it waits for");
    assert_eq!(problem.code.as_str(), code);
    assert!(!problem.next_step.is_empty());
    world.api.always(Call::Create, None);
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert!(ended.status.problem.is_none());
    assert_all_rows(&file(), ended.results());
    assert_eq!(world.api.fed().len(), 2, "each part has one fed job");
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_429_without_retry_after_is_tried_again_and_never_fails_the_drop() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Create, [Answer::status(429), Answer::status(429)]);
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_eq!((world.api.count(Call::Create), world.api.jobs().len()), (4, 2));
}

/// How many uploads at once the log says there may be, each time that number changed.
fn adapted(id: &DropId) -> Vec<u64> {
    let lines = logs::with(id.as_str()).into_iter();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter_map(|line| line["uploads_at_once"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_parts_are_uploaded_at_once_after_a_429_or_a_503_and_more_again_as_it_goes_well() {
    for call in [Call::Create, Call::Upload] {
        let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "4")]).await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(40)).await;
        let busy = Answer::status(if call == Call::Create { 429 } else { 503 });
        world.api.next(call, [busy]);
        // A part whose upload failed is the next attempt's.
        assert_eq!(world.submit(&dropped).await, call == Call::Create);
        let ended = world.finish(&dropped).await;
        assert_eq!(ended.status.state, DropState::Completed);
        assert_all_rows(&good_file(40), ended.results());
        assert_eq!(adapted(&dropped.id), [2, 3, 4], "after {call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_429_with_retry_after_in_seconds_waits_so_long() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Create, [Answer::status(429).header("Retry-After", "2")]);
    let begun = std::time::Instant::now();
    assert!(world.submit(&dropped).await);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(world.api.jobs().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_429_with_retry_after_as_a_date_waits_until_then() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    let then = Timestamp::now() + SignedDuration::from_secs(3);
    let date =
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&then).unwrap();
    world.api.next(Call::Create, [Answer::status(429).header("Retry-After", date)]);
    assert!(world.submit(&dropped).await);
    // The date has whole seconds.
    assert!(Timestamp::now() >= then - SignedDuration::from_secs(1));
    assert_eq!(world.api.jobs().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_429_with_an_absurd_retry_after_requeues_the_drop_at_once() {
    let begun = std::time::Instant::now();
    assert_waits_then_resumes(Answer::status(429).header("Retry-After", "9999999"), "E_API_BUSY")
        .await;
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "it is not waited for: {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_429_with_a_retry_after_that_is_garbage_is_tried_again() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    let garbage = ["soon", "-1", "99999999999999999999999"]
        .map(|g| Answer::status(429).header("Retry-After", g));
    world.api.next(Call::Create, garbage);
    assert!(world.submit(&dropped).await);
    assert_eq!((world.api.count(Call::Create), world.api.jobs().len()), (5, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_401_has_the_key_reloaded_once_and_goes_on_with_a_rotated_one() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    // The old key is in use, then it is rotated.
    let first = world.drop_file("incoming/first.csv", good_file(1)).await;
    assert!(world.submit(&first).await);
    world.api.set_key("key-two");
    world.rotate_key("key-two");
    assert!(world.submit(&dropped).await);
    let keys: Vec<_> = world
        .api
        .requests(Call::Create)
        .iter()
        .map(|r| r.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(
        keys,
        [
            format!("Bearer {KEY}"),
            format!("Bearer {KEY}"),
            "Bearer key-two".into(),
            "Bearer key-two".into()
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_401_or_403_waits_and_asks_for_a_new_key() {
    assert_waits_then_resumes(Answer::status(401), "E_API_KEY").await;
    assert_waits_then_resumes(Answer::status(403), "E_API_KEY").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_tried_twice_and_no_more_in_an_invocation() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(20)).await;
    world.api.set_key("another");
    assert!(!world.submit(&dropped).await);
    assert_eq!(
        world.api.count(Call::Create),
        2,
        "once with the kept key, once with the reloaded one"
    );
}

/// An answer that blames the request is believed when it is given twice, ten minutes apart.
async fn assert_rows_fail_at_the_second_refusal(answer: Answer, error: &str) {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.always(Call::Create, Some(answer));
    for _ in 0..2 {
        assert!(!world.submit(&dropped).await, "again, and at once, it is still one refusal");
        assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_API_REFUSED"));
        assert_eq!(world.states(&dropped.id).await, [PartState::Planned; 2]);
    }
    world.age_drop(&dropped.id, "invalid_since", 9).await;
    assert!(!world.submit(&dropped).await);
    assert_eq!((world.api.count(Call::Create), world.api.jobs().len()), (3, 0), "one call in each");
    world.age_drop(&dropped.id, "invalid_since", 11).await;
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Failed);
    let rows = assert_all_rows(&file(), ended.results());
    assert_eq!(with_error(&rows, error).len(), 4, "{rows:?}");
    let alarms: Vec<String> = logs::with(dropped.id.as_str())
        .into_iter()
        .filter(|line| line.contains("job_failed"))
        .collect();
    let reason = error.strip_prefix("failed: ").unwrap();
    assert!(
        alarms.len() == 2 && alarms[0].contains(reason),
        "an operator is told once for each part, and why: {alarms:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_twice_with_an_error_that_blames_the_request_fails_the_rows() {
    let answer = Answer::refusal(400, 3, "no such policy");
    assert_rows_fail_at_the_second_refusal(
        answer,
        "failed: the API refuses to create a job: 400 no such policy",
    )
    .await;
    for code in ["INVALID_POLICY", "INVALID_POLICY_VERSION", "INVALID_PRIORITY"] {
        let error =
            json!({"errorCode": format!("BATCH_JOB_ERROR_{code}"), "errorMessage": "no such"});
        let answer = Answer::body(
            json!({"batchJobId": "", "error": error, "inputFileUploadUrl": ""}).to_string(),
        );
        let error = format!("failed: the API refuses to create a job: {code} no such");
        assert_rows_fail_at_the_second_refusal(answer, &error).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_followed_by_a_job_is_forgotten() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Create, [Answer::refusal(400, 3, "no")]);
    assert!(!world.submit(&dropped).await);
    world.age_drop(&dropped.id, "invalid_since", 60).await;
    world.api.next(Call::Create, [Answer::faithful(), Answer::refusal(400, 3, "no")]);
    assert!(!world.submit(&dropped).await, "the second part's refusal is the first again");
    assert_eq!(world.finish(&dropped).await.status.state, DropState::Completed);
    assert_eq!(world.record(&dropped.id).await.refused_since, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_with_any_other_4xx_waits_and_is_an_alarm_after_an_hour() {
    let coded =
        json!({"error": {"errorCode": "BATCH_JOB_ERROR_INVALID_INPUT_FILE", "errorMessage": "?"}});
    for answer in [
        Answer::status(400),
        Answer::status(402),
        Answer::refusal(404, 5, "no such policy"),
        Answer::status(409),
        Answer::status(422),
        Answer::status(499),
        Answer::body(coded.to_string()),
    ] {
        let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
        let dropped = world.drop_file("incoming/posts.csv", file()).await;
        world.api.always(Call::Create, Some(answer));
        assert!(!world.submit(&dropped).await);
        // However long: no part fails by it.
        for minutes in [11, 61, 72 * 60] {
            world.age_drop(&dropped.id, "refused_since", minutes).await;
            assert!(!world.submit(&dropped).await);
            assert_eq!(world.states(&dropped.id).await, [PartState::Planned; 2]);
            world.poll().await;
            let told = logs::with(dropped.id.as_str())
                .iter()
                .any(|line| line.contains(r#""alarm":"create_refused""#));
            assert_eq!(told, minutes > 60, "{minutes}");
            let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
            assert!(
                line.contains(&format!(r#""CreatesRefused":{}"#, u8::from(minutes > 60))),
                "{line}"
            );
        }
        let problem = world.status(&dropped.id).await.problem.unwrap();
        assert!(
            problem.code.as_str() == "E_API_REFUSED" && problem.next_step.contains("for an hour"),
            "{problem:?}"
        );
        world.api.always(Call::Create, None);
        assert_eq!(world.finish(&dropped).await.status.state, DropState::Completed);
    }
    assert_waits_then_resumes(Answer::status(404).cut(0), "E_API").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_200_with_a_default_empty_error_is_success() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1"), ("ROWS_PER_JOB", "4")]).await;
    for error in [
        json!({"errorCode": "BATCH_JOB_ERROR_UNSPECIFIED", "errorMessage": ""}),
        json!({}),
        json!(null),
        json!({"errorCode": null, "errorMessage": null}),
    ] {
        let dropped = world.drop_file("incoming/posts.csv", file()).await;
        let id = format!("job-{}", world.api.jobs().len() + 1);
        let url = format!("{}/input/{id}?X-Amz-Signature={SIGNATURE}", world.api.url());
        let answer = Answer::body(
            json!({"batchJobId": id, "name": null, "error": error, "inputFileUploadUrl": url})
                .to_string(),
        );
        world.api.next(Call::Create, [answer.with_effect()]);
        let ended = world.finish(&dropped).await;
        assert_eq!(ended.status.state, DropState::Completed, "{error}");
        assert_eq!(world.api.job(&id).uploads.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_200_without_id_or_url_is_no_job_and_no_failure() {
    for answer in [
        json!({}),
        json!({"batchJobId": "job-9"}),
        json!({"inputFileUploadUrl": "http://127.0.0.1/x"}),
        json!("?"),
    ] {
        assert_waits_then_resumes(Answer::body(answer.to_string()), "E_API").await;
    }
}

/// The outcome is unknown: the job may be there. It gets no second one at once; the one that no
/// record knows never gets rows, and is swept.
async fn assert_outcome_unknown(answer: Answer, made: usize) {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1"), ("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Create, [answer]);
    assert!(!world.submit(&dropped).await);
    assert_eq!(
        (world.api.count(Call::Create), world.api.jobs().len()),
        (1, made),
        "no second create at once"
    );
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_API"));
    assert!(world.submit(&dropped).await);
    let fed = world.api.fed();
    assert_eq!((world.api.jobs().len(), fed.len()), (made + 1, 1));
    // The sweep, when it is due.
    for job in world.api.jobs() {
        world.api.change(&job.id, |job| job.created_at -= SignedDuration::from_mins(320));
    }
    world.poll_in(5 * 60 + 20).await;
    let cancelled: Vec<_> =
        world.api.jobs().into_iter().filter(|job| job.state == "CANCELLED").collect();
    assert_eq!(cancelled.len(), made);
    assert!(cancelled.iter().all(|job| job.uploads.is_empty()));
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&file(), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn create_answered_500_is_not_tried_again_at_once_since_its_outcome_is_unknown() {
    assert_outcome_unknown(Answer::status(500), 0).await;
    assert_outcome_unknown(Answer::status(503).with_effect(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_that_times_out_is_not_tried_again_at_once_since_its_outcome_is_unknown() {
    assert_outcome_unknown(Answer::faithful().after(API_TIMEOUT + Duration::from_secs(2)), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_without_an_answer_leaves_an_orphan_that_gets_no_rows_and_is_swept() {
    assert_outcome_unknown(Answer::lost(), 1).await;
    assert_outcome_unknown(Answer::faithful().cut(20), 1).await;
}
