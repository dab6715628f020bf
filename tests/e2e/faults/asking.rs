//! poll: many jobs, odd records, refusals of single jobs, and the end of a tick's time.

use crate::MANY;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use moondrop_shared::job::{JobName, JobState};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::plan::PlannedPart;
use moondrop_shared::services::lambda::{Deadline, LAST_STRETCH};
use moondrop_tests::env::{DAY, Dropped};
use moondrop_tests::fake_batch_api::{Answer, Call, FakeJob};
use moondrop_tests::in_process::{InProcess, deliver_end};
use moondrop_tests::logs;
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

async fn fed(parts: usize) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(parts)).await;
    assert!(world.submit(&dropped).await);
    (world, dropped)
}

/// A drop of so many parts whose jobs are under way, written straight into the ledger.
async fn open(jobs: u32, state: &str) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(1)).await;
    assert!(world.submit(&dropped).await);
    let plan = world.parts(&dropped.id).await[0].plan.clone();
    let name = JobName { stack: "faults".to_owned(), drop: dropped.id.clone(), part: 1 };
    let parts = (2..=jobs).map(|number| PartRecord {
        state: PartState::Uploaded,
        job_id: Some(format!("many-{number}")),
        created_at: Some(Timestamp::now()),
        job_state: Some(JobState::Queued),
        job_rank: JobState::Queued.rank(),
        ..PartRecord::planned(dropped.id.clone(), PlannedPart { number, ..plan.clone() })
    });
    world.ledger.put_parts(parts.collect(), Timestamp::now()).await.unwrap();
    for number in 2..=jobs {
        world.api.put_job_unseen(FakeJob {
            id: format!("many-{number}"),
            name: name.to_string(),
            state: state.to_owned(),
            created_at: Timestamp::now(),
            uploads: Vec::new(),
            fields: BTreeMap::new(),
            results: None,
        });
    }
    world.api.set_state("job-1", state);
    (world, dropped)
}

fn completed(states: &[PartState]) -> usize {
    states.iter().filter(|state| **state == PartState::Completed).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_holds_back_no_other_and_is_logged_once() {
    let (world, dropped) = fed(3).await;
    world.api.complete_all();
    world.api.change("job-1", |job| {
        job.fields.insert("error".to_owned(), json!("text"));
        job.fields.insert("state".to_owned(), json!([1]));
    });
    for _ in 0..3 {
        world.poll().await;
    }
    assert_eq!(
        world.states(&dropped.id).await,
        [PartState::Uploaded, PartState::Completed, PartState::Completed]
    );
    let logged = |word: &str| {
        logs::with(dropped.id.as_str()).iter().filter(|line| line.contains(word)).count()
    };
    assert_eq!(logged("a state that Moondrop does not know"), 1);
    world.api.change("job-1", |job| {
        drop(job.fields.insert("state".to_owned(), json!("BATCH_JOB_STATE_DREAMING")))
    });
    for _ in 0..3 {
        world.poll().await;
    }
    assert_eq!((logged("a state that Moondrop does not know"), logged("DREAMING")), (2, 1));
    assert_eq!(world.status(&dropped.id).await.parts[0].job_state.as_deref(), Some("DREAMING"));
    // Records that do not even say whose they are.
    let url = format!("{}/output/x", world.api.url());
    let good =
        json!({"batchJobId": "job-1", "state": "BATCH_JOB_STATE_COMPLETED", "outputFileUrl": url});
    for odd in [json!(null), json!("a"), json!(7), json!([]), json!({})] {
        world.api.always(Call::Get, Some(Answer::body(json!({"batchJobs": [odd]}).to_string())));
        world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(
            world.parts(&dropped.id).await[0].absent_at.is_none(),
            "{odd}: it may be this job's"
        );
    }
    world
        .api
        .always(Call::Get, Some(Answer::body(json!({"batchJobs": [null, good, "a"]}).to_string())));
    world.poll().await;
    assert_eq!(completed(&world.states(&dropped.id).await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_answered_is_made_again_in_halves_and_costs_only_one_job() {
    let (world, dropped) = fed(60).await;
    world.api.complete_all();
    world.api.leave_unanswered(Some("job-7"));
    world.poll_at(Timestamp::now()).await.unwrap_err();
    assert_eq!(completed(&world.states(&dropped.id).await), 59);
    assert!(world.api.count(Call::Get) < 20, "{}", world.api.count(Call::Get));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_for_many_jobs_that_is_none_for_fewer_is_no_failure() {
    let (world, dropped) = fed(40).await;
    world.api.complete_all();
    world.api.next(Call::Get, [Answer::status(500), Answer::body("<html>")]);
    world.poll().await;
    assert_eq!(completed(&world.states(&dropped.id).await), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_cannot_be_moved_does_not_hold_the_next_ticks_back_at_its_place() {
    let (world, dropped) = open(900, "SUBMITTED").await;
    // The first in order waits to be cancelled, and its cancel fails at every tick.
    let first = world.parts(&dropped.id).await.remove(0);
    let part = PartRecord {
        state: PartState::Abandoning,
        job_rank: 1,
        job_state: Some(JobState::Initialized),
        ..first.clone()
    };
    world.replace_part(&part).await;
    world.api.set_state(first.job_id.as_deref().unwrap(), "INITIALIZED");
    world.api.always(Call::Cancel, Some(Answer::refusal(500, 13, "no")));
    world.api.always(Call::Get, Some(Answer::faithful().after(Duration::from_millis(250))));
    let mut asked = BTreeSet::new();
    for _ in 0..4 {
        let before = world.api.count(Call::Get);
        short_tick(&world, Duration::from_millis(300)).await;
        let requests = world.api.requests(Call::Get).split_off(before);
        asked.extend(
            requests.iter().flat_map(|request| request.query.split('&').map(str::to_owned)),
        );
    }
    assert!(asked.len() >= 900, "every job is asked for in turn: {}", asked.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_403_for_one_job_is_that_jobs_and_for_the_witness_too_the_keys() {
    let (world, dropped) = fed(40).await;
    world.poll().await;
    world.api.complete_all();
    world.api.forbid(Some("job-7"));
    let error = world.poll_at(Timestamp::now()).await.unwrap_err();
    assert!(format!("{error:#}").contains("does not let the API key do this"), "{error:#}");
    assert_eq!(completed(&world.states(&dropped.id).await), 39);
    assert_eq!(world.problem(&dropped.id).await, None, "the key is good for the others");
    // Alone, with a witness that the key may read.
    world.poll_at(Timestamp::now()).await.unwrap_err();
    assert_eq!(world.problem(&dropped.id).await, None);
    assert!(world.parts(&dropped.id).await.iter().all(|part| part.absent_at.is_none()));

    let (world, dropped) = fed(40).await;
    world.poll().await;
    let before = world.api.count(Call::Get);
    world.api.always(Call::Get, Some(Answer::refusal(403, 7, "permission denied")));
    let error = world.poll_at(Timestamp::now()).await.unwrap_err();
    assert!(format!("{error:#}").contains("API key"), "{error:#}");
    // Four calls are under way at once, and each that is answered before the witness makes another;
    // all of them would be 80.
    let calls = world.api.count(Call::Get) - before;
    assert!(calls <= 16, "the witness tells soon: {calls}");
    let problem = world.status(&dropped.id).await.problem.expect("the key or its rights");
    assert!(
        problem.code.as_str() == "E_API_KEY" && problem.message.contains("or the key has no right"),
        "{problem:?}"
    );
    assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 40]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_answers_nothing_but_errors_gets_a_bounded_number_of_calls() {
    let (world, dropped) = open(500, "COMPLETED").await;
    for answer in [
        Answer::status(500),
        Answer::body("<html>"),
        Answer::refusal(404, 5, "gone"),
        Answer::refusal(400, 3, "odd"),
    ] {
        let before = world.api.count(Call::Get);
        world.api.always(Call::Get, Some(answer));
        let error = world.poll_at(Timestamp::now()).await.unwrap_err();
        let calls = world.api.count(Call::Get) - before;
        assert!(calls <= 200, "{calls} calls");
        assert!(format!("{error:#}").contains("of 500 jobs"), "{error:#}");
    }
    assert!(
        world
            .parts(&dropped.id)
            .await
            .iter()
            .all(|part| part.state == PartState::Uploaded && part.absent_at.is_none())
    );
    world.api.always(Call::Get, None);
    world.poll().await;
    assert_eq!(completed(&world.states(&dropped.id).await), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_429_pauses_all_calls() {
    let (world, _) = open(1_000, "SUBMITTED").await;
    let pause = Duration::from_millis(1_500);
    world.api.next(
        Call::Get,
        [Answer::status(429).header("retry-after-ms", pause.as_millis().to_string())],
    );
    world.poll().await;
    let times = world.api.times(Call::Get);
    // Of the four that were under way together, one is refused: nothing but those begins before the
    // pause is over.
    let early = times.iter().filter(|at| at.duration_since(times[0]) < pause).count();
    assert!(early <= 4, "{early} calls in the pause");
    assert_eq!(times.len(), 11);
}

/// One tick of a process that lives no longer than that, and is cold at the next.
async fn short_tick(world: &InProcess, time: Duration) -> Option<String> {
    let services = world.cold();
    let tick = Box::pin(moondrop_poll::handle(
        &services,
        Timestamp::now(),
        Deadline::after(time + LAST_STRETCH),
    ));
    tick.await.err().map(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_out_of_time_keeps_what_it_learnt_and_the_next_begins_with_the_others() {
    let (world, dropped) = open(2_000, "SUBMITTED").await;
    world.api.always(Call::Get, Some(Answer::faithful().after(Duration::from_millis(200))));
    let mut asked: Vec<BTreeSet<String>> = Vec::new();
    for _ in 0..3 {
        let before = world.api.count(Call::Get);
        let error = short_tick(&world, Duration::from_millis(700))
            .await
            .expect("it did not come to its end");
        assert!(error.contains("of 2000 jobs asked"), "{error}");
        let requests = world.api.requests(Call::Get).split_off(before);
        asked.push(
            requests
                .iter()
                .flat_map(|request| request.query.split('&'))
                .map(str::to_owned)
                .collect(),
        );
    }
    assert!(
        asked.iter().all(|ids| ids.len() >= 400),
        "each tick gets on: {:?}",
        asked.iter().map(BTreeSet::len).collect::<Vec<_>>()
    );
    // All but what was under way when the time was over.
    let again = asked[0].intersection(&asked[1]).count() + asked[1].intersection(&asked[2]).count();
    assert!(again <= 800, "{again} were asked for twice in a row");
    let moved = world
        .parts(&dropped.id)
        .await
        .iter()
        .filter(|part| part.job_state == Some(JobState::Submitted))
        .count();
    assert!(moved >= 1_000, "{moved} are recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_open_jobs_take_one_tick_of_seconds() {
    let (world, dropped) = open(MANY, "SUBMITTED").await;
    world.poll().await;
    world.api.always(Call::Get, Some(Answer::faithful().after(Duration::from_millis(100))));
    let (begun, before) = (Instant::now(), world.api.count(Call::Get));
    world.poll().await;
    let took = begun.elapsed();
    println!("{MANY} open jobs polled in {took:?}");
    assert_eq!(world.api.count(Call::Get) - before, MANY as usize / 100, "each asked for once");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(world.parts(&dropped.id).await.iter().all(|part| part.state == PartState::Uploaded));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_end_in_one_tick_are_announced_and_collected_once() {
    const PARTS: usize = 400;
    let file = good_file(PARTS);
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    assert!(world.submit(&dropped).await);
    world.api.complete_all();
    world.poll().await;
    // Collect is behind: the next ticks do not announce what waits in its queue.
    world.poll_in(5).await;
    world.poll_in(50).await;
    let announced = world.events("Job Completed", &dropped.id);
    let parts: BTreeSet<u64> =
        announced.iter().filter_map(|event| event["part"].as_u64()).collect();
    assert_eq!((announced.len(), parts.len()), (PARTS, PARTS));
    let before = world.api.count(Call::Download);
    let services = &world.services;
    let mut ends = stream::iter(announced)
        .map(|event| async move {
            deliver_end(services, &json!({"detail": event}), Deadline::after(DAY)).await
        })
        .buffer_unordered(16);
    while let Some(collected) = ends.next().await {
        collected.unwrap();
    }
    assert_eq!(world.api.count(Call::Download) - before, PARTS);
    assert_all_rows(&file, world.ended(&dropped.id).await.results());
}

/// A fiftieth of the time that poll has on AWS: 2 s an answer, a pause of 30 s, and 240 s a tick, of
/// which the last 30 begin nothing new. `MOONDROP_TIME=100` takes all of it.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_jobs_make_progress_in_every_tick_however_slow_the_api() {
    let (world, dropped) = open(MANY, "COMPLETED").await;
    let times: u64 =
        std::env::var("MOONDROP_TIME").ok().and_then(|times| times.parse().ok()).unwrap_or(2);
    let time = |milliseconds: u64| Duration::from_millis(milliseconds * times);
    let begun = Instant::now();
    let (mut done, mut ticks) = (0, 0);
    while done < MANY as usize {
        world.api.always(Call::Get, Some(Answer::faithful().after(time(20))));
        world.api.next(
            Call::Get,
            [Answer::status(429).header("retry-after-ms", time(300).as_millis().to_string())],
        );
        let _ = short_tick(&world, time(2_100)).await;
        let now = completed(&world.states(&dropped.id).await);
        assert!(now > done, "tick {ticks}: {now} of {MANY}, and {done} before");
        (done, ticks) = (now, ticks + 1);
    }
    println!("{MANY} jobs moved in {ticks} ticks, {:?}", begun.elapsed());
    let events = world.events("Job Completed", &dropped.id);
    let announced: BTreeSet<u64> =
        events.iter().filter_map(|event| event["part"].as_u64()).collect();
    let _ = moondrop_poll::handle(&world.services, Timestamp::now(), Deadline::after(DAY)).await;
    assert!(
        announced.len() > MANY as usize / 2,
        "what has ended is announced as it is recorded: {}",
        announced.len()
    );
    assert!(world.parts(&dropped.id).await.iter().all(|part| part.announced_at.is_some()));
}
