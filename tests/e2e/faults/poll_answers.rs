//! poll: what the API may say of jobs.

use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_shared::services::lambda::Deadline;
use moondrop_tests::env::{DAY, Dropped};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, collect};
use moondrop_tests::logs;
use moondrop_tests::raw_http::Gate;
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::{Value, json};

/// A fed drop of so many parts of one row.
async fn fed(parts: usize) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(parts)).await;
    assert!(world.submit(&dropped).await);
    (world, dropped)
}

fn completed(states: &[PartState]) -> usize {
    states.iter().filter(|state| **state == PartState::Completed).count()
}

/// No GET without ids, but for the sweep's, which asks for one state only.
fn assert_every_get_names_jobs(world: &InProcess) {
    for request in world.api.requests(Call::Get) {
        assert!(
            request.query.contains("batchJobIds=job-"),
            "a GET of the whole account: {request:?}"
        );
        assert!(request.query.len() < 8_000, "an address of {} bytes", request.query.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_job_open_the_api_is_not_called_at_all() {
    let world = InProcess::start().await;
    world.poll().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    world.api.always(Call::Create, Some(Answer::status(500)));
    assert!(!world.submit(&dropped).await);
    world.poll().await;
    world.api.always(Call::Create, None);
    world.finish(&dropped).await;
    let asked = world.api.count(Call::Get);
    world.poll().await;
    assert_eq!(world.api.count(Call::Get), asked);
    assert_every_get_names_jobs(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_missing_once_is_held_and_goes_on_when_it_is_known_again() {
    for left_out in [false, true] {
        let (world, dropped) = fed(2).await;
        if left_out {
            world.api.leave_out_missing();
        }
        let job = world.api.job("job-1");
        world.api.forget("job-1");
        world.poll().await;
        world.poll_in(59).await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 2]);
        world.api.put_job(job);
        world.poll_in(59).await;
        assert!(world.parts(&dropped.id).await[0].absent_at.is_none());
        // An hour counts from the first time it is missing in a row.
        assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_another_server_in_the_apis_place_loses_no_job() {
    for parts in [1, 3] {
        let (world, dropped) = fed(parts).await;
        world.api.always(Call::Get, Some(Answer::status(404).cut(0)));
        for minutes in [0, 61, 122] {
            let now = Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
            world.poll_at(now).await.expect_err("the tick counts as failed");
        }
        assert_eq!(world.states(&dropped.id).await, vec![PartState::Uploaded; parts]);
        assert!(world.parts(&dropped.id).await.iter().all(|part| part.absent_at.is_none()));
        assert!(world.api.count(Call::Get) <= 3 * (2 * parts), "and is not asked again and again");
        world.api.always(Call::Get, None);
        assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_for_many_jobs_holds_only_those_that_are_unknown() {
    let (world, dropped) = fed(130).await;
    for id in ["job-3", "job-77", "job-130"] {
        world.api.forget(id);
    }
    world.api.complete_all();
    world.poll().await;
    let states = world.states(&dropped.id).await;
    assert_eq!(
        (completed(&states), states.iter().filter(|s| **s == PartState::Uploaded).count()),
        (127, 3)
    );
    let gets = world.api.count(Call::Get);
    assert!(gets < 60, "{gets} calls for two hundreds with three unknown");
    assert_every_get_names_jobs(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_left_out_of_an_answer_that_has_pages_are_polled_again_and_not_lost() {
    let (world, dropped) = fed(90).await;
    world.api.leave_out_missing();
    world.api.set_page(40);
    world.api.forget("job-7");
    world.api.complete_all();
    world.poll().await;
    let parts = world.parts(&dropped.id).await;
    assert_eq!(parts.iter().filter(|part| part.absent_at.is_some()).count(), 1);
    assert_eq!(completed(&world.states(&dropped.id).await), 89);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_we_have_never_heard_of_ends_nothing_and_holds_back_no_other_job() {
    // By name, by number as the gateway tells a value it has no name for, and in forms that are
    // none.
    for odd in
        [json!("BATCH_JOB_STATE_DREAMING"), json!(17), json!(null), json!(""), json!({"x": 1})]
    {
        let (world, dropped) = fed(2).await;
        world.api.change("job-1", |job| drop(job.fields.insert("state".to_owned(), odd.clone())));
        world.api.set_state("job-2", "COMPLETED");
        world.poll().await;
        world.poll_in(26 * 60).await;
        assert_eq!(
            world.states(&dropped.id).await,
            [PartState::Uploaded, PartState::Completed],
            "{odd}"
        );
        world.api.change("job-1", |job| job.fields.clear());
        assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_nulls_and_times_that_are_none_holds_back_no_other_job() {
    let (world, dropped) = fed(2).await;
    world.api.change("job-1", |job| {
        for (name, value) in [
            ("name", json!(null)),
            ("createdAt", json!("yesterday")),
            ("error", json!(null)),
            ("policyId", json!(null)),
            ("outputFileUrl", json!(null)),
        ] {
            job.fields.insert(name.to_owned(), value);
        }
    });
    world.api.set_state("job-2", "COMPLETED");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded, PartState::Completed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_goes_backwards_is_passed_over() {
    let (world, dropped) = fed(1).await;
    for (told, stands) in [
        ("SUBMITTED", "SUBMITTED"),
        ("QUEUED", "SUBMITTED"),
        ("INITIALIZED", "SUBMITTED"),
        ("POSTPROCESSED", "POSTPROCESSED"),
    ] {
        world.api.set_state("job-1", told);
        world.poll().await;
        assert_eq!(world.parts(&dropped.id).await[0].job_state.as_ref().unwrap().as_str(), stands);
    }
    world.api.set_state("job-1", "COMPLETED");
    world.poll().await;
    world.api.set_state("job-1", "ERROR");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Completed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn completed_without_a_url_is_not_completed_yet() {
    for none in [json!(""), json!(null)] {
        let (world, dropped) = fed(1).await;
        world.api.set_state("job-1", "COMPLETED");
        world.api.change("job-1", |job| {
            drop(job.fields.insert("outputFileUrl".to_owned(), none.clone()))
        });
        world.poll().await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded], "{none}");
        assert!(world.events("Job Completed", &dropped.id).is_empty());
        world.api.change("job-1", |job| job.fields.clear());
        world.poll().await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Completed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unexpected_and_duplicate_jobs_in_an_answer_are_ignored() {
    let (world, dropped) = fed(2).await;
    let url = format!("{}/output/job-1", world.api.url());
    let job = |id: &str, state: &str| -> Value {
        json!({"batchJobId": id, "name": "x", "state": format!("BATCH_JOB_STATE_{state}"), "outputFileUrl": url})
    };
    let jobs = [
        job("stranger", "ERROR"),
        job("job-1", "SUBMITTED"),
        job("job-1", "COMPLETED"),
        job("job-1", "QUEUED"),
        job("", "COMPLETED"),
        job("job-2", "SUBMITTED"),
        job("job-2", "SUBMITTED"),
    ];
    world.api.next(Call::Get, [Answer::body(json!({"batchJobs": jobs}).to_string())]);
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await, [PartState::Completed, PartState::Uploaded]);
    assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_json_or_none_at_all_moves_nothing() {
    let (world, dropped) = fed(1).await;
    world.api.set_state("job-1", "COMPLETED");
    for answer in [
        Answer::body("<html>"),
        Answer::body("[]"),
        Answer::status(500),
        Answer::lost(),
        Answer::faithful().cut(9),
    ] {
        world.api.always(Call::Get, Some(answer));
        let error = world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("the API"),
            "the tick counts as failed, and says why: {error:#}"
        );
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded]);
    }
    world.api.always(Call::Get, None);
    for nothing in ["{}", r#"{"batchJobs":null}"#] {
        world.api.next(Call::Get, [Answer::body(nothing)]);
        let error = world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(format!("{error:#}").contains("the API reports none of 1 jobs"), "{error:#}");
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded]);
    }
    assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_for_one_job_makes_the_tick_fail_and_holds_back_no_other_job() {
    let (world, dropped) = fed(150).await;
    world.api.complete_all();
    world.api.leave_out("job-1");
    let error = world.poll_at(Timestamp::now()).await.unwrap_err();
    assert!(format!("{error:#}").contains("500"), "{error:#}");
    assert_eq!(completed(&world.states(&dropped.id).await), 149);
    assert_eq!(
        world.events("Job Completed", &dropped.id).len(),
        149,
        "announced, though the tick failed"
    );
    assert!(world.api.count(Call::Get) < 20, "{} calls", world.api.count(Call::Get));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_cannot_have_the_key_fails_and_one_that_has_nothing_to_ask_does_not() {
    let (world, dropped) = fed(1).await;
    let cold = world.cold_with("API_KEY_SECRET", "no-such-secret");
    let tick = || Box::pin(moondrop_poll::handle(&cold, Timestamp::now(), Deadline::after(DAY)));
    let error = tick().await.unwrap_err();
    assert!(format!("{error:#}").contains("get the API key from Secrets Manager"), "{error:#}");
    assert!(
        logs::with("the tick did not do all it had to")
            .iter()
            .any(|line| line.contains("Secrets Manager"))
    );
    world.end(&dropped).await;
    tick().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_stays_reported_until_the_api_takes_the_key() {
    let (world, dropped) = fed(1).await;
    for (answer, told) in [(Some(401), true), (Some(500), true), (None, false)] {
        world.api.always(Call::Get, answer.map(Answer::status));
        assert_eq!(world.poll_at(Timestamp::now()).await.is_err(), told);
        let code = world.problem(&dropped.id).await;
        assert_eq!(code.as_deref() == Some("E_API_KEY"), told, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_the_api_failed_or_cancelled_ends_its_rows_as_failed_with_the_apis_words() {
    let (world, dropped) = fed(3).await;
    let error =
        json!({"errorCode": "BATCH_JOB_ERROR_INVALID_INPUT_FILE", "errorMessage": "row 1 is odd"});
    world.api.change("job-1", |job| {
        job.state = "ERROR".to_owned();
        job.fields.insert("error".to_owned(), error);
    });
    world.api.set_state("job-2", "CANCELLED");
    world.api.set_state("job-3", "COMPLETED");
    world.poll().await;
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    let rows = assert_all_rows(&good_file(3), ended.results());
    assert_eq!(rows[0]["error"], "failed: the job failed: INVALID_INPUT_FILE row 1 is odd");
    assert_eq!(rows[1]["error"], "failed: the job was cancelled");
    assert_eq!(rows[2]["error"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_polls_at_once_move_and_announce_without_harm() {
    let (world, dropped) = fed(6).await;
    world.api.complete_all();
    tokio::join!(world.poll(), world.poll());
    assert_eq!(completed(&world.states(&dropped.id).await), 6);
    world.collect_all(&dropped.id).await;
    assert_eq!(world.ended(&dropped.id).await.status.state, DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_poll_does_not_reopen_a_part_that_was_lost_and_collected() {
    let (world, dropped) = fed(2).await;
    // The slow poll is told that the job has completed, before another poll finds it absent for
    // over a day.
    world.api.set_state("job-1", "COMPLETED");
    let (gate, slow) = (Gate::default(), world.cold());
    world.api.next(Call::Get, [Answer::faithful().behind(&gate)]);
    let slow_poll =
        async { moondrop_poll::handle(&slow, Timestamp::now(), Deadline::after(DAY)).await };
    let meanwhile = async {
        gate.arrived().await;
        world.api.forget("job-1");
        world.poll().await;
        world.absent_for(&dropped.id, 1, 24).await;
        world.poll().await;
        collect(&world.services, &dropped.id, 1).await.unwrap();
        assert_eq!(world.states(&dropped.id).await[0], PartState::Collected);
        gate.open();
    };
    let (polled, ()) = tokio::join!(Box::pin(slow_poll), meanwhile);
    polled.unwrap();
    assert_eq!(
        world.states(&dropped.id).await[0],
        PartState::Collected,
        "collected is the end of a part"
    );
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.rows.outcomes.missing, 1);
    assert_all_rows(&good_file(2), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_stops_the_queries_but_not_the_recovery() {
    let (world, dropped) = fed(2).await;
    world.api.set_state("job-1", "COMPLETED");
    world.poll().await;
    world.api.set_key("another");
    let error =
        world.poll_at(Timestamp::now() + jiff::SignedDuration::from_mins(61)).await.unwrap_err();
    assert!(format!("{error:#}").contains("API key"), "{error:#}");
    assert_eq!(
        world.events("Job Completed", &dropped.id).len(),
        2,
        "what has ended is announced again all the same"
    );
}
