//! poll: the sweep of jobs that no record knows.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::job::JobName;
use moondrop_tests::env::Dropped;
use moondrop_tests::fake_batch_api::{Answer, Call, FakeJob};
use moondrop_tests::in_process::InProcess;
use moondrop_tests::logs;
use moondrop_tests::rows::good_file;
use serde_json::json;
use std::collections::BTreeMap;

/// A fed drop of one part, and an orphan of it.
async fn with_orphan() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    let name = JobName { stack: "faults".to_owned(), drop: dropped.id.clone(), part: 1 };
    world.api.put_job(FakeJob {
        id: "orphan".to_owned(),
        name: name.to_string(),
        state: "INITIALIZED".to_owned(),
        created_at: Timestamp::now(),
        uploads: Vec::new(),
        fields: BTreeMap::new(),
        results: None,
    });
    (world, dropped)
}

/// How many looks there were: GETs by state.
fn looks(world: &InProcess) -> usize {
    world.api.requests(Call::Get).iter().filter(|request| request.query.contains("states=")).count()
}

async fn tick(world: &InProcess, minutes: i64) {
    let _ = world.poll_at(Timestamp::now() + SignedDuration::from_mins(minutes)).await;
}

const DUE: i64 = 5 * 60 + 11;

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_is_struck_off_only_by_a_look_that_finds_no_orphan() {
    let (world, _) = with_orphan().await;
    // Answered 200, with an error in it: it is no cancel.
    let error = json!({"batchJobId": "orphan", "error": {"errorMessage": "it is busy"}});
    for (i, (later, answer)) in
        [(0, Some(Answer::body(error.to_string()))), (6, Some(Answer::status(500))), (17, None)]
            .into_iter()
            .enumerate()
    {
        let cancelled = if answer.is_some() { "INITIALIZED" } else { "CANCELLED" };
        world.api.always(Call::Cancel, answer);
        tick(&world, DUE + later).await;
        assert_eq!((looks(&world), world.api.job("orphan").state.as_str()), (i + 1, cancelled));
    }
    // It was found, and cancelled; the next look finds none, and is the last.
    tick(&world, DUE + 40).await;
    let last = looks(&world);
    assert_eq!(last, 4);
    for days in [1, 2, 40] {
        tick(&world, DUE + days * 24 * 60).await;
    }
    assert_eq!(looks(&world), last);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_that_find_orphans_become_rare_and_end_after_a_month_with_a_warning() {
    let (world, dropped) = with_orphan().await;
    world.api.always(Call::Cancel, Some(Answer::status(400)));
    let mut at = DUE;
    let (mut waits, mut last) = (Vec::new(), DUE);
    while at < DUE + 40 * 24 * 60 {
        let before = looks(&world);
        tick(&world, at).await;
        if looks(&world) > before {
            waits.push(at - last);
            last = at;
        }
        at += if at < DUE + 60 { 5 } else { 60 };
    }
    assert!(waits.windows(2).all(|pair| pair[1] + 60 >= pair[0]), "{waits:?}");
    assert!(waits.iter().rev().take(5).all(|wait| *wait == 24 * 60), "once a day: {waits:?}");
    assert!(
        (DUE + 31 * 24 * 60..DUE + 33 * 24 * 60).contains(&last),
        "and none after a month: {}",
        last - DUE
    );
    let warned = logs::with(dropped.id.as_str())
        .iter()
        .any(|line| line.contains("could not be cancelled in a month"));
    assert!(warned);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_time_of_creation_is_not_cancelled_at_first_sight() {
    let (world, _) = with_orphan().await;
    world.api.change("orphan", |job| drop(job.fields.insert("createdAt".to_owned(), json!(null))));
    tick(&world, DUE).await;
    assert_eq!(world.api.count(Call::Cancel), 0);
    for hours in [1, 3, 4] {
        tick(&world, DUE + hours * 60).await;
        assert_eq!(world.api.count(Call::Cancel), 0, "first seen {hours} hours ago");
    }
    for hours in [6, 9, 12] {
        tick(&world, DUE + hours * 60).await;
    }
    assert_eq!(world.api.job("orphan").state, "CANCELLED", "the first sight is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_403_to_list_or_cancel_is_the_key_or_its_rights() {
    for cancel in [false, true] {
        let (world, dropped) = with_orphan().await;
        let refusal = || Answer::refusal(403, 7, "permission denied");
        if cancel {
            world.api.always(Call::Cancel, Some(refusal()));
        } else {
            // The jobs themselves may be read.
            world.api.next(Call::Get, [Answer::faithful(), refusal()]);
        }
        let error =
            world.poll_at(Timestamp::now() + SignedDuration::from_mins(DUE)).await.unwrap_err();
        assert!(format!("{error:#}").contains("API key"), "{error:#}");
        assert_eq!(
            world.problem(&dropped.id).await.as_deref(),
            Some("E_API_KEY"),
            "cancel: {cancel}"
        );
        world.api.always(Call::Cancel, None);
        tick(&world, DUE + 10).await;
        assert_eq!(world.problem(&dropped.id).await, None);
    }
}
