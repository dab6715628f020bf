//! poll: jobs that the API leaves out, and when that counts.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::env::Dropped;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::InProcess;
use moondrop_tests::logs;
use moondrop_tests::rows::{assert_all_rows, good_file, with_error};

const HOUR: i64 = 60;

/// A fed drop of so many parts of one row.
async fn fed(parts: usize) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(parts)).await;
    assert!(world.submit(&dropped).await);
    (world, dropped)
}

/// Ticks every twenty minutes for so many hours.
async fn tick_for(world: &InProcess, hours: std::ops::Range<i64>) {
    for minutes in (hours.start * HOUR..hours.end * HOUR).step_by(20) {
        let _ = world.poll_at(Timestamp::now() + SignedDuration::from_mins(minutes)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_absent_for_24_hours_is_lost_alarmed_after_one_and_its_rows_end_as_missing() {
    for left_out in [false, true] {
        let (world, dropped) = fed(2).await;
        if left_out {
            world.api.leave_out_missing();
        }
        world.api.forget("job-1");
        let alarmed = |alarm: &str| {
            let lines = logs::with(dropped.id.as_str());
            lines.iter().filter(|line| line.contains(&format!(r#""alarm":"{alarm}""#))).count()
        };
        world.poll().await;
        world.poll_in(20).await;
        world.poll_in(40).await;
        assert_eq!(alarmed("job_unknown"), 0);
        world.poll_in(60).await;
        assert_eq!(alarmed("job_unknown"), 1);
        let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
        assert!(line.contains(r#""JobsUnknown":1"#), "{line}");
        assert_eq!(
            world.status(&dropped.id).await.parts[0].absent_seconds / 60,
            60,
            "status.json says so"
        );
        world.absent_for(&dropped.id, 1, 23).await;
        world.poll().await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 2]);
        world.absent_for(&dropped.id, 1, 24).await;
        world.poll().await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Failed, PartState::Uploaded]);
        assert_eq!(alarmed("job_lost"), 1);
        let ended = world.end(&dropped).await;
        assert_eq!(ended.status.state, DropState::CompletedWithErrors);
        let rows = assert_all_rows(&good_file(2), ended.results());
        assert_eq!(
            with_error(&rows, "missing: the API has not reported the job for 24 hours").len(),
            1,
            "{rows:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_reports_none_of_our_jobs_loses_none_however_long() {
    for parts in [1, 3] {
        // Also with a witness, which it does not report either.
        for seen_before in [false, true] {
            let (world, dropped) = fed(parts).await;
            if seen_before {
                world.poll().await;
            }
            for nothing in ["{}", r#"{"batchJobs":[]}"#, r#"{"batchJobs":null}"#] {
                world.api.always(Call::Get, Some(Answer::body(nothing)));
                for days in [0, 1, 2, 20] {
                    let error = world
                        .poll_at(Timestamp::now() + SignedDuration::from_hours(days * 24))
                        .await
                        .unwrap_err();
                    let told =
                        format!("the API reports none of {parts} jobs: another account's key?");
                    assert!(format!("{error:#}").contains(&told), "{error:#}");
                }
            }
            assert!(logs::all().contains(r#""alarm":"no_job_reported""#));
            let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
            assert!(line.contains(r#""NoJobReported":12"#), "{line}");
            let parts_now = world.parts(&dropped.id).await;
            assert!(
                parts_now
                    .iter()
                    .all(|part| part.state == PartState::Uploaded && part.absent_at.is_none()),
                "{parts_now:?}"
            );
            // Another account's key: the API's own 404 for every job.
            world.api.always(Call::Get, Some(Answer::refusal(404, 5, "not found")));
            tick_for(&world, 0..3).await;
            assert!(world.parts(&dropped.id).await.iter().all(|part| part.absent_at.is_none()));
            world.api.always(Call::Get, None);
            assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_an_error_in_it_is_a_failure_and_no_absence() {
    let (world, dropped) = fed(1).await;
    world.poll().await;
    for answer in [
        r#"{"code":13,"message":"internal"}"#,
        r#"{"error":{"errorMessage":"x"}}"#,
        r#"{"batchJobs":[],"code":13}"#,
        r#"{"batchJobs":"none"}"#,
        r#"{"jobs":[]}"#,
    ] {
        world.api.always(Call::Get, Some(Answer::body(answer)));
        let error = world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(!format!("{error:#}").contains("reports none"), "{answer}: {error:#}");
        assert!(world.parts(&dropped.id).await[0].absent_at.is_none(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absence_does_not_accumulate_over_failures_pauses_and_good_answers() {
    let (world, dropped) = fed(2).await;
    world.api.forget("job-1");
    let absent = async || world.parts(&dropped.id).await[0].absent_seconds / 60;
    world.poll().await;
    world.poll_in(10).await;
    assert_eq!(absent().await, 10);
    // Failures in between neither add nor reset.
    world.api.always(Call::Get, Some(Answer::status(500)));
    for minutes in [15, 20, 25] {
        world.poll_at(Timestamp::now() + SignedDuration::from_mins(minutes)).await.unwrap_err();
    }
    assert_eq!(absent().await, 10);
    world.api.always(Call::Get, None);
    world.poll_in(28).await;
    assert_eq!(absent().await, 28);
    // A pause of ten days is no absence: four intervals of five minutes at most.
    world.poll_in(10 * 24 * HOUR).await;
    assert_eq!(absent().await, 28 + 20);
    assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_witness_is_asked_for_beside_a_job_that_is_alone() {
    let (world, dropped) = fed(2).await;
    world.poll().await;
    let witness = world.ledger.poll_state().await.unwrap().witness.expect("a job was reported").job;
    // The witness' part is collected; the other's job is the only one left, and is gone.
    world.api.set_state(&witness, "COMPLETED");
    world.poll().await;
    let part = world
        .parts(&dropped.id)
        .await
        .iter()
        .find(|part| part.job_id.as_ref() == Some(&witness))
        .unwrap()
        .plan
        .number;
    world.collect(&dropped.id, part).await.unwrap();
    let other = if witness == "job-1" { "job-2" } else { "job-1" };
    world.api.leave_out_missing();
    world.api.forget(other);
    let before = world.api.count(Call::Get);
    world.poll().await;
    let asked = &world.api.requests(Call::Get)[before];
    assert!(
        asked.query.contains(&format!("batchJobIds={other}&batchJobIds={witness}")),
        "{asked:?}"
    );
    let parts = world.parts(&dropped.id).await;
    assert_eq!(
        parts.iter().filter(|part| part.absent_at.is_some()).count(),
        1,
        "the witness makes the absence count"
    );
    // Where the witness is gone, too, nothing counts.
    world.api.forget(&witness);
    let error = world.poll_at(Timestamp::now() + SignedDuration::from_mins(20)).await.unwrap_err();
    assert!(format!("{error:#}").contains("the API reports none of 1 jobs"), "{error:#}");
    assert_eq!(
        world.parts(&dropped.id).await.iter().map(|part| part.absent_seconds).sum::<u64>(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_no_answer_reports_in_35_days_is_lost_after_requests_on_two_days() {
    for answer in [
        Answer::status(500),
        Answer::body("{}"),
        Answer::refusal(404, 5, "not found"),
        Answer::lost(),
    ] {
        let (world, dropped) = fed(2).await;
        world.api.always(Call::Get, Some(answer));
        let at = |hours: i64| Timestamp::now() + SignedDuration::from_hours(hours);
        world.poll_at(at(34 * 24)).await.unwrap_err();
        world.poll_at(at(40 * 24)).await.unwrap_err();
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 2], "the first day");
        world.poll_at(at(40 * 24 + 23)).await.unwrap_err();
        assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 2]);
        let _ = world.poll_at(at(41 * 24 + 1)).await;
        assert_eq!(world.states(&dropped.id).await, [PartState::Failed; 2]);
        assert!(
            world.parts(&dropped.id).await.iter().all(|part| part.failure.as_ref().unwrap().lost)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collect_asks_once_more_before_rows_end_as_missing() {
    let (world, dropped) = fed(2).await;
    let job = world.api.job("job-1");
    world.api.forget("job-1");
    world.poll().await;
    world.absent_for(&dropped.id, 1, 24).await;
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await[0], PartState::Failed);
    // What says nothing decides nothing.
    world.api.next(Call::Get, (0..5).map(|_| Answer::status(500)));
    world.collect(&dropped.id, 1).await.unwrap();
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!((part.state, part.attempts), (PartState::Failed, 1));
    world.api.put_job(job);
    world.collect(&dropped.id, 1).await.unwrap();
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!(
        (part.state, part.failure, part.absent_seconds),
        (PartState::Uploaded, None, 0),
        "it is there after all"
    );
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&good_file(2), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_job_that_is_not_collected_for_an_hour_is_asked_for_again() {
    let (world, dropped) = fed(3).await;
    world.api.complete_all();
    world.poll().await;
    world.poll_in(59).await;
    assert_eq!(world.api.count(Call::Get), 1, "nothing is open");
    world.api.set_state("job-1", "ERROR");
    world.api.forget("job-2");
    world.poll_in(61).await;
    assert!(world.api.count(Call::Get) > 1);
    let parts = world.parts(&dropped.id).await;
    assert_eq!(parts[0].state, PartState::Failed, "as the API says");
    assert_eq!((parts[1].state, parts[1].absent_at.is_some()), (PartState::Completed, true));
    world.absent_for(&dropped.id, 2, 24).await;
    world.poll_in(62).await;
    assert_eq!(
        world.states(&dropped.id).await,
        [PartState::Failed, PartState::Failed, PartState::Completed]
    );
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    let outcomes = ended.status.rows.outcomes;
    assert_eq!((outcomes.evaluated, outcomes.failed, outcomes.missing), (1, 1, 1));
}
