//! poll: what it heals, sweeps and warns of.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropState;
use moondrop_shared::job::JobName;
use moondrop_shared::services::lambda::Deadline;
use moondrop_tests::env::DAY;
use moondrop_tests::fake_batch_api::{Answer, Call, FakeJob};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::logs;
use moondrop_tests::raw_http::{Handler, Reply, Request, serve};
use moondrop_tests::rows::good_file;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// An EventBridge that does not take the last entry of its first calls.
#[derive(Debug, Default)]
struct Picky {
    refusals: AtomicUsize,
    taken: Mutex<Vec<String>>,
}

impl Handler for Picky {
    fn break_after(&self, _: &Request) -> Option<usize> {
        None
    }

    fn answer(&self, request: Request) -> Reply {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let entries = asked["Entries"].as_array().unwrap();
        let refuse = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok();
        let taken = if refuse { &entries[..entries.len() - 1] } else { entries };
        let kinds = taken.iter().map(|e| {
            format!("{} {}", e["DetailType"].as_str().unwrap(), e["Detail"].as_str().unwrap())
        });
        self.taken.lock().unwrap().extend(kinds);
        let mut answers: Vec<Value> = taken.iter().map(|_| json!({"EventId": "e"})).collect();
        if refuse {
            answers.push(json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}));
        }
        let mut reply =
            Reply::json(200, &json!({"FailedEntryCount": u8::from(refuse), "Entries": answers}));
        reply.headers = vec![("content-type".to_owned(), "application/x-amz-json-1.1".to_owned())];
        reply
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_bus_did_not_take_is_put_again_and_holds_back_nothing_else() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(3)).await;
    let stalled = world.drop_file("incoming/stalled.csv", good_file(1)).await;
    assert!(world.submit(&dropped).await);
    world.api.next(Call::Create, [Answer::status(500)]);
    assert!(!world.submit(&stalled).await);
    world.age_drop(&stalled.id, "retry_at", 60).await;
    world.api.complete_all();
    let picky = Arc::new(Picky { refusals: AtomicUsize::new(1), taken: Mutex::default() });
    let bus = serve(|_| picky.clone()).await;
    let services = world.with_bus_at(&bus.url);
    let tick =
        || Box::pin(moondrop_poll::handle(&services, Timestamp::now(), Deadline::after(DAY)));
    let error = format!("{:#}", tick().await.unwrap_err());
    assert!(error.contains("ThrottlingException"), "{error}");
    let taken = |word: &str| {
        picky.taken.lock().unwrap().iter().filter(|event| event.contains(word)).count()
    };
    assert_eq!(
        (taken("Job Completed"), taken("Drop Stalled")),
        (2, 1),
        "the stalled drop is healed in the same tick"
    );
    let status = world.status(&dropped.id).await;
    assert_eq!(
        status.parts_by_state,
        BTreeMap::from([("COMPLETED".to_owned(), 3)]),
        "and status.json is up to date"
    );
    tick().await.unwrap();
    assert_eq!(taken("Job Completed"), 5, "none is left out");
    tick().await.unwrap();
    assert_eq!(taken("Job Completed"), 5, "what was taken is not put again at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_did_not_take_of_a_stalled_or_accepted_drop_is_put_again() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    let picky = Arc::new(Picky { refusals: AtomicUsize::new(1), taken: Mutex::default() });
    let bus = serve(|_| picky.clone()).await;
    let services = world.with_bus_at(&bus.url);
    let taken = |word: &str| {
        picky.taken.lock().unwrap().iter().filter(|event| event.contains(word)).count()
    };
    world.api.next(Call::Create, [Answer::status(500)]);
    for accepted in [0, 1] {
        let back = submit(&services, &[&dropped.message], DAY).await;
        assert_eq!(back.len(), 1 - accepted, "only what failed goes back to the queue");
        assert_eq!(taken("Drop Accepted"), accepted, "no job is made before the drop is told of");
        assert_eq!(world.api.jobs().is_empty(), accepted == 0);
    }
    world.age_drop(&dropped.id, "retry_at", 60).await;
    picky.refusals.store(1, Ordering::SeqCst);
    let now = Timestamp::now();
    let tick = |minutes| {
        Box::pin(moondrop_poll::handle(
            &services,
            now + SignedDuration::from_mins(minutes),
            Deadline::after(DAY),
        ))
    };
    tick(0).await.unwrap_err();
    assert_eq!(taken("Drop Stalled"), 0);
    tick(5).await.unwrap();
    assert_eq!(taken("Drop Stalled"), 1, "the very next tick");
    tick(10).await.unwrap();
    assert_eq!(taken("Drop Stalled"), 1, "and not at each");
}

/// A job of ours that waits for rows, made so many minutes ago.
fn waiting(id: &str, name: &JobName, minutes: i64) -> FakeJob {
    FakeJob {
        id: id.to_owned(),
        name: name.to_string(),
        state: "INITIALIZED".to_owned(),
        created_at: Timestamp::now() - SignedDuration::from_mins(minutes),
        uploads: Vec::new(),
        fields: BTreeMap::new(),
        results: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_jobs_that_are_old_ours_waiting_and_unknown_to_the_ledger_are_swept() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    // Known to the ledger, and told as waiting by an API that lags.
    world.api.change("job-1", |job| {
        job.state = "INITIALIZED".to_owned();
        job.created_at -= SignedDuration::from_hours(6);
    });
    let ours = JobName { stack: "faults".to_owned(), drop: dropped.id.clone(), part: 1 };
    world.api.put_job(waiting("orphan", &ours, 6 * 60));
    world.api.put_job(waiting(
        "others",
        &JobName { stack: "another".to_owned(), ..ours.clone() },
        6 * 60,
    ));
    world.api.put_job(FakeJob { state: "QUEUED".to_owned(), ..waiting("started", &ours, 6 * 60) });
    world.api.put_job(FakeJob { name: "by hand".to_owned(), ..waiting("foreign", &ours, 6 * 60) });
    world.poll_in(5 * 60).await;
    assert_eq!(world.api.count(Call::Cancel), 0, "no sweep is due");
    world.poll_in(5 * 60 + 11).await;
    let cancelled: Vec<String> =
        world.api.requests(Call::Cancel).into_iter().map(|r| r.path).collect();
    assert_eq!(cancelled, ["/v1/batch-jobs/orphan/cancel"]);
    let asked = world.api.count(Call::Get);
    world.api.set_state("job-1", "COMPLETED");
    world.poll_in(5 * 60 + 12).await;
    assert_eq!(world.api.count(Call::Get), asked + 1, "the sweep is done with");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_too_young_for_the_sweep_is_swept_when_it_is_old() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    // Made a quarter of an hour into the invocation, or so says a clock that is ahead.
    let ours = JobName { stack: "faults".to_owned(), drop: dropped.id.clone(), part: 1 };
    world.api.put_job(waiting("orphan", &ours, -15));
    world.poll_in(5 * 60 + 11).await;
    assert_eq!(world.api.count(Call::Cancel), 0);
    world.poll_in(5 * 60 + 16).await;
    assert_eq!(world.api.job("orphan").state, "CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_whose_cancel_fails_is_made_again() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    let ours = JobName { stack: "faults".to_owned(), drop: dropped.id.clone(), part: 1 };
    world.api.put_job(waiting("orphan", &ours, 6 * 60));
    world.api.next(Call::Cancel, (0..5).map(|_| Answer::status(500)));
    world.poll_in(5 * 60 + 11).await;
    assert_eq!(world.api.job("orphan").state, "INITIALIZED");
    world.poll_in(5 * 60 + 16).await;
    assert_eq!(world.api.job("orphan").state, "CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_over_48_hours_is_warned_of_and_over_72_hours_alarmed() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    assert!(world.submit(&dropped).await);
    let said = |alarm: &str| {
        logs::with(dropped.id.as_str())
            .iter()
            .filter(|line| line.contains(alarm))
            .cloned()
            .collect::<Vec<_>>()
    };
    world.poll_in(47 * 60).await;
    assert!(said("drop_over_").is_empty());
    world.poll_in(49 * 60).await;
    assert!(said("drop_over_48h")[0].contains("WARN") && said("drop_over_72h").is_empty());
    world.poll_in(73 * 60).await;
    assert!(said("drop_over_72h")[0].contains("ERROR"));
    assert_eq!(
        world.end(&dropped).await.status.state,
        DropState::Completed,
        "and it is carried on all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_part_that_no_one_collects_is_announced_again_and_again() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    assert!(world.submit(&dropped).await);
    world.api.complete_all();
    for (minutes, announced) in [(0, 1), (5, 1), (59, 1), (61, 2), (65, 2), (122, 3)] {
        world.poll_in(minutes).await;
        assert_eq!(
            world.events("Job Completed", &dropped.id).len(),
            announced,
            "after {minutes} minutes"
        );
    }
}
