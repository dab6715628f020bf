//! A job that has its rows and does not start; a job that ends before it has any; and uploads that
//! are marked before they begin.

use jiff::{SignedDuration, Timestamp};
use moondrop_local::aws::{DROPS, RESULTS};
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::env::Dropped;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::logs;
use moondrop_tests::raw_http::Gate;
use moondrop_tests::rows::{assert_all_rows, good_file, with_error};
use serde_json::json;

const HOUR: i64 = 60;

fn file() -> Vec<u8> {
    good_file(2)
}

/// A drop of two parts, whose jobs have their rows; those of this state wait on.
async fn uploaded(waiting: &[&str]) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    assert!(world.submit(&dropped).await);
    for job in waiting {
        world.api.set_state(job, "INITIALIZED");
    }
    (world, dropped)
}

/// Ages both marks of a part's upload: when its job was created, and when the upload began, in
/// minutes.
async fn age(world: &InProcess, dropped: &Dropped, part: u32, (created, began): (i64, i64)) {
    world.age_part((&dropped.id, part), "created_at", created).await;
    world.age_part((&dropped.id, part), "upload_began_at", began).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_an_hour_is_reported_once_and_continues_when_it_starts() {
    let (world, dropped) = uploaded(&["job-1"]).await;
    assert!(
        world.parts(&dropped.id).await[0].upload_url.is_some(),
        "the URL is kept until the job is seen started"
    );
    age(&world, &dropped, 1, (59, 59)).await;
    world.poll().await;
    assert!(world.events("Drop Needs Action", &dropped.id).is_empty());
    age(&world, &dropped, 1, (62, 61)).await;
    for _ in 0..3 {
        world.poll().await;
    }
    let events = world.events("Drop Needs Action", &dropped.id);
    assert_eq!(events.len(), 1);
    assert!(!events[0].to_string().contains("starts no job"), "another has started: {events:?}");
    assert_eq!(
        (&events[0]["part"], &events[0]["problem"]["code"]),
        (&json!(1), &json!("E_NOT_STARTED"))
    );
    let status = world.status(&dropped.id).await;
    let problem = status.problem.expect("status.json says what it waits for");
    assert!(
        problem.code.as_str() == "E_NOT_STARTED" && problem.message.contains("part 1 (job-1)"),
        "{problem:?}"
    );
    assert!(!problem.message.contains("starts no job"), "another has started: {problem:?}");
    let alarms = logs::with(dropped.id.as_str());
    assert_eq!(alarms.iter().filter(|line| line.contains("job_not_started")).count(), 1);
    let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
    assert!(line.contains(r#""JobsNotStarted":1"#), "{line}");
    world.api.set_state("job-1", "SUBMITTED");
    world.poll().await;
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!((part.not_started, part.upload_url), (None, None));
    assert!(world.status(&dropped.id).await.problem.is_none());
    assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_rows_are_uploaded_once_more_if_others_start_and_the_url_is_good() {
    let (world, dropped) = uploaded(&["job-1"]).await;
    age(&world, &dropped, 1, (3 * HOUR + 2, 3 * HOUR + 1)).await;
    world.poll().await;
    assert!(
        world.parts(&dropped.id).await[0].repeat_due_at.is_some(),
        "job-2 was seen started since"
    );
    assert_eq!(world.api.count(Call::Upload), 2, "poll uploads nothing");
    // poll has submit do it.
    world.age_drop(&dropped.id, "active_at", 60).await;
    world.poll().await;
    assert!(world.aws().events().iter().any(|event| event["detail-type"] == "Drop Stalled"));
    for _ in 0..3 {
        assert!(world.submit(&dropped).await);
    }
    let uploads = world.api.job("job-1").uploads;
    assert!(uploads.len() == 2 && uploads[0] == uploads[1], "once more, the same bytes");
    assert_eq!(world.api.jobs().len(), 2, "and no other job");
    assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_fails_is_the_only_one_and_none_is_made_too_early_or_too_late() {
    let (world, dropped) = uploaded(&["job-1"]).await;
    for (created, began) in [(3 * HOUR, 2 * HOUR + 59), (3 * HOUR + 46, 3 * HOUR + 1)] {
        age(&world, &dropped, 1, (created, began)).await;
        world.poll().await;
        assert!(world.parts(&dropped.id).await[0].repeat_due_at.is_none(), "{created} {began}");
    }
    age(&world, &dropped, 1, (3 * HOUR + 2, 3 * HOUR + 1)).await;
    world.poll().await;
    world.api.next(Call::Upload, [Answer::lost()]);
    for _ in 0..3 {
        assert!(world.submit(&dropped).await);
    }
    assert_eq!(
        world
            .api
            .requests(Call::Upload)
            .iter()
            .filter(|request| request.path.ends_with("job-1"))
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_starts_nothing_is_one_problem_and_gets_no_repeat() {
    let (world, dropped) = uploaded(&["job-1", "job-2"]).await;
    for part in [1, 2] {
        age(&world, &dropped, part, (3 * HOUR + 2, 3 * HOUR + 1)).await;
    }
    world.poll().await;
    let parts = world.parts(&dropped.id).await;
    assert!(parts.iter().all(|part| part.repeat_due_at.is_none()
        && part.not_started.is_some_and(|known| known.none_started)));
    let problem = world.status(&dropped.id).await.problem.unwrap();
    assert!(problem.message.starts_with("the API starts no job of this stack"), "{problem:?}");
    assert!(world.submit(&dropped).await);
    assert_eq!(world.api.count(Call::Upload), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_starts_is_replaced_once_when_get_reports_it_cancelled() {
    let (world, dropped) = uploaded(&["job-1"]).await;
    age(&world, &dropped, 1, (27 * HOUR, 26 * HOUR)).await;
    world.poll().await;
    assert_eq!(
        (world.states(&dropped.id).await[0], world.api.count(Call::Cancel)),
        (PartState::Uploaded, 0)
    );
    age(&world, &dropped, 1, (28 * HOUR + 1, 28 * HOUR)).await;
    // Its cancel is refused, or answered 200 with an error, or lost: it stays.
    let error =
        json!({"error": {"errorCode": "BATCH_JOB_ERROR_UNSPECIFIED", "errorMessage": "not now"}});
    world.api.next(Call::Cancel, [Answer::status(400), Answer::body(error.to_string())]);
    for _ in 0..2 {
        world.poll().await;
        assert_eq!(world.states(&dropped.id).await[0], PartState::Abandoning);
        assert_eq!(world.status(&dropped.id).await.problem.unwrap().code.as_str(), "E_NOT_STARTED");
    }
    assert!(world.submit(&dropped).await);
    assert_eq!((world.api.jobs().len(), world.api.job("job-1").state.as_str()), (2, "INITIALIZED"));
    world.poll().await;
    world.poll().await;
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!(
        (part.state, part.replans, part.upload_began_at),
        (PartState::Planned, 1, None),
        "GET reports CANCELLED"
    );
    assert!(world.submit(&dropped).await);
    // The second job does not start either: it stays, and ends when the API says so.
    world.api.set_state("job-3", "INITIALIZED");
    age(&world, &dropped, 1, (30 * HOUR, 30 * HOUR)).await;
    for _ in 0..3 {
        world.poll().await;
    }
    assert_eq!(world.states(&dropped.id).await[0], PartState::Uploaded, "once, and not again");
    world.api.set_state("job-3", "CANCELLED");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await[0], PartState::Failed);
    let ended = world.end(&dropped).await;
    assert_eq!(
        with_error(&assert_all_rows(&file(), ended.results()), "failed: the job was cancelled")
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_upload_began_and_was_not_recorded_counts_as_uploaded() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "2")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    let gate = Gate::default();
    world.api.next(Call::Upload, [Answer::faithful().behind(&gate)]);
    let uploading = world.submit(&dropped);
    let marked = async {
        gate.arrived().await;
        assert!(
            world.parts(&dropped.id).await[0].upload_began_at.is_some(),
            "recorded before the first byte"
        );
        gate.open();
    };
    let (done, ()) = tokio::join!(uploading, marked);
    assert!(done);

    let world = InProcess::start_with(&[("ROWS_PER_JOB", "2")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Upload, [Answer::lost()]);
    assert!(!world.submit(&dropped).await);
    world.api.set_state("job-1", "INITIALIZED");
    world.age_part((&dropped.id, 1), "created_at", 5 * HOUR).await;
    world.poll().await;
    assert_eq!(
        (world.states(&dropped.id).await[0], world.api.count(Call::Cancel)),
        (PartState::Created, 0),
        "not given up"
    );
    // And it is lost as such: its rows may have been evaluated.
    world.api.put_job(moondrop_tests::fake_batch_api::FakeJob {
        id: "witness".to_owned(),
        ..world.api.job("job-1")
    });
    world.api.forget("job-1");
    world.absent_for(&dropped.id, 1, 24).await;
    let other = world.drop_file("incoming/other.csv", file()).await;
    assert!(world.submit(&other).await);
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
    assert!(world.parts(&dropped.id).await[0].failure.as_ref().unwrap().lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_for_now_do_not_count_as_sent() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "9")]).await;
    let dropped =
        world.drop_file("incoming/posts.csv", "ref_id,type,content\n1,text,a\n2,video,b\n").await;
    assert_eq!(
        submit(&world.services, &[&dropped.message], std::time::Duration::from_secs(20)).await,
        ["0"],
        "only planned"
    );
    // The list of rejected rows cannot be had.
    let key = world.record(&dropped.id).await.decided_rejections_key().to_string();
    let list = world.read(&key).await.unwrap();
    world.delete_object(RESULTS, &key).await;
    assert!(!world.submit(&dropped).await);
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!((part.state, part.upload_began_at), (PartState::Created, None));
    world.put_object(RESULTS, &key, list).await;
    assert_eq!(world.finish(&dropped).await.status.rows.outcomes.evaluated, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_file_gone_rows_that_may_have_been_sent_are_not_failed() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "2")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Upload, [Answer::lost()]);
    assert!(!world.submit(&dropped).await);
    world.delete_object(DROPS, "incoming/posts.csv").await;
    assert!(world.submit(&dropped).await);
    assert_eq!(
        (world.states(&dropped.id).await[0], world.api.count(Call::Cancel)),
        (PartState::Created, 0)
    );
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.rows.outcomes.evaluated, 2, "the job had them");
}

/// A job to which nothing was sent, since its URL's host is not allowed.
async fn unsent() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "2")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file()).await;
    world.api.next(Call::Create, [Answer::job_elsewhere("job-1")]);
    assert!(!world.submit(&dropped).await);
    assert!(world.parts(&dropped.id).await[0].upload_began_at.is_none());
    (world, dropped)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_unsent_fails_its_rows_or_is_replaced_twice_at_most() {
    // By someone else, within the URL's life; or with the API's words.
    let (world, dropped) = unsent().await;
    world.api.set_state("job-1", "CANCELLED");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed]);
    let (world, dropped) = unsent().await;
    world.api.change("job-1", |job| {
        job.state = "ERROR".to_owned();
        job.fields.insert(
            "error".to_owned(),
            json!({"errorCode": "BATCH_JOB_ERROR_INVALID_POLICY", "errorMessage": "gone"}),
        );
    });
    world.poll().await;
    let failure = world.parts(&dropped.id).await.remove(0).failure.expect("it ends");
    assert_eq!(failure.reason, "the job failed: INVALID_POLICY gone");
    // ERROR without a code, and CANCELLED after the URL's life: the vendor tidied up.
    for (state, minutes) in [("ERROR", 1), ("CANCELLED", 4 * HOUR + 1)] {
        let (world, dropped) = unsent().await;
        for round in 1..=2 {
            world.api.set_state(&format!("job-{round}"), state);
            world.age_part((&dropped.id, 1), "created_at", minutes).await;
            world.poll().await;
            assert_eq!(world.states(&dropped.id).await, [PartState::Abandoning], "{state} {round}");
            world.poll().await;
            assert_eq!(world.states(&dropped.id).await, [PartState::Planned], "{state} {round}");
            world.api.next(Call::Create, [Answer::job_elsewhere(&format!("job-{}", round + 1))]);
            assert!(!world.submit(&dropped).await);
        }
        world.api.set_state("job-3", state);
        world.age_part((&dropped.id, 1), "created_at", minutes).await;
        world.poll().await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Failed], "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_to_which_nothing_was_sent_is_replaced_though_its_cancel_is_refused() {
    let (world, dropped) = unsent().await;
    world.age_part((&dropped.id, 1), "created_at", 4 * HOUR + 31).await;
    world.api.always(Call::Cancel, Some(Answer::status(400)));
    world.poll().await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Abandoning]);
    world.age_part((&dropped.id, 1), "abandoned_at", 61).await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Planned]);
    world.api.always(Call::Cancel, None);
    let ended = world.finish(&dropped).await;
    assert_eq!((ended.status.state, world.api.fed().len()), (DropState::Completed, 1));
    // The sweep ends the first.
    world.api.change("job-1", |job| job.created_at -= SignedDuration::from_hours(6));
    let _ = world.poll_at(Timestamp::now() + SignedDuration::from_hours(6)).await;
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
}
