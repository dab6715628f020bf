//! submit: duplicate deliveries, at once, out of order, in batches, and out of time.

use crate::MANY;
use moondrop_local::aws::DROPS;
use moondrop_shared::drop::DropState;
use moondrop_shared::drop::status::PartsFile;
use moondrop_shared::part::PartState;
use moondrop_tests::env::DAY;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::raw_http::Gate;
use moondrop_tests::rows::{assert_all_rows, good_file, with_error};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// With this left of its time an invocation begins nothing new.
const NO_TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_delivered_again_while_its_jobs_run_and_after_its_end_changes_nothing() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(5)).await;
    for _ in 0..3 {
        assert!(world.submit(&dropped).await);
    }
    assert_eq!((world.api.jobs().len(), world.api.count(Call::Upload)), (3, 3));
    let ended = world.finish(&dropped).await;
    assert!(world.submit(&dropped).await);
    assert_eq!(world.api.jobs().len(), 3);
    assert_eq!(world.ended(&dropped.id).await.results(), ended.results());
    assert_eq!(world.events("Drop Completed", &dropped.id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deliveries_at_once_one_job_gets_the_rows_and_the_other_is_cancelled() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    let (gate, other) = (Gate::default(), world.cold());
    world
        .api
        .next(Call::Create, [Answer::faithful().behind(&gate), Answer::faithful().behind(&gate)]);
    let both_are_creating = async {
        gate.arrived().await;
        gate.arrived().await;
        gate.open();
        gate.open();
    };
    let messages = [dropped.message.as_str()];
    let (one, two, ()) = tokio::join!(
        submit(&world.services, &messages, DAY),
        submit(&other, &messages, DAY),
        both_are_creating
    );
    assert!(one.is_empty() && two.is_empty());
    let (fed, unfed): (Vec<_>, Vec<_>) =
        world.api.jobs().into_iter().partition(|job| !job.uploads.is_empty());
    assert_eq!((fed.len(), unfed.len()), (1, 1));
    assert_eq!(unfed[0].state, "CANCELLED");
    assert!(
        fed[0].uploads.iter().all(|upload| *upload == fed[0].uploads[0]),
        "whoever uploads, uploads the same bytes"
    );
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&good_file(4), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deliveries_at_once_of_many_parts_leave_one_started_job_a_part() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let file = good_file(12);
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    let messages = [dropped.message.as_str()];
    let (a, b, c) = (world.cold(), world.cold(), world.cold());
    let done = tokio::join!(
        submit(&a, &messages, DAY),
        submit(&b, &messages, DAY),
        submit(&c, &messages, DAY)
    );
    assert!(done.0.is_empty() && done.1.is_empty() && done.2.is_empty(), "{done:?}");
    let fed: Vec<String> = world.api.fed().into_iter().map(|job| job.name).collect();
    assert_eq!((fed.len(), fed.iter().collect::<BTreeSet<_>>().len()), (12, 12));
    let unfed = world.api.jobs().into_iter().filter(|job| job.uploads.is_empty());
    assert!(unfed.into_iter().all(|job| job.state == "CANCELLED"));
    assert_all_rows(&file, world.end(&dropped).await.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losers_cancel_that_fails_leaves_the_job_to_the_sweep() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    let (gate, other) = (Gate::default(), world.cold());
    world.api.next(Call::Create, [Answer::faithful().behind(&gate)]);
    world.api.next(Call::Cancel, (0..5).map(|_| Answer::status(500)));
    let messages = [dropped.message.as_str()];
    let second_overtakes = async {
        gate.arrived().await;
        assert!(submit(&other, &messages, DAY).await.is_empty());
        gate.open();
    };
    let (done, ()) = tokio::join!(submit(&world.services, &messages, DAY), second_overtakes);
    assert!(done.is_empty(), "the drop is fed all the same");
    assert_eq!(
        (world.api.job("job-1").state.as_str(), world.api.job("job-1").uploads.len()),
        ("INITIALIZED", 0)
    );
    world.poll_in(5 * 60 + 30).await;
    assert_eq!(world.api.job("job-1").state, "CANCELLED");
    assert_eq!(world.api.job("job-2").state, "QUEUED");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_out_of_order_are_two_drops_and_the_overwritten_one_says_it_is_gone() {
    let world = InProcess::start().await;
    let first = world.drop_file("incoming/posts.csv", good_file(2)).await;
    let second = world.drop_file("incoming/posts.csv", good_file(3)).await;
    assert_ne!(first.id, second.id);
    assert!(world.submit(&second).await);
    assert!(world.submit(&first).await, "what is gone does not come back by trying again");
    let gone = world.ended(&first.id).await;
    assert_eq!(
        (gone.status.state, gone.status.problem.unwrap().code.as_str()),
        (DropState::Failed, "E_GONE")
    );
    let ended = world.finish(&second).await;
    assert_all_rows(&good_file(3), ended.results());
    assert_ne!(world.record(&first.id).await.folder, world.record(&second.id).await.folder);
    assert_eq!(world.api.jobs().len(), 2, "the first one's rows were never sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_before_its_upload_ends_its_rows_and_cancels_its_jobs() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert_eq!(submit(&world.services, &[&dropped.message], NO_TIME).await, ["0"]);
    world.drop_file("incoming/posts.csv", good_file(9)).await;
    assert!(world.submit(&dropped).await);
    assert_eq!(world.states(&dropped.id).await, [PartState::Failed; 2]);
    assert!(
        world.api.jobs().iter().all(|job| job.uploads.is_empty() && job.state == "CANCELLED"),
        "{:?}",
        world.api.jobs()
    );
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.state, DropState::Failed);
    assert!(ended.status.problem.unwrap().message.contains("overwritten or deleted"));
    assert_eq!(ended.status.rows.outcomes.failed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_deleted_before_it_is_read_ends_as_failed() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    world.delete_object(DROPS, "incoming/posts.csv").await;
    assert!(world.submit(&dropped).await);
    assert_eq!(world.ended(&dropped.id).await.status.problem.unwrap().code.as_str(), "E_GONE");
    assert!(world.api.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_deadline_near_an_invocation_stops_cleanly_and_the_next_resumes() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
    assert_eq!(submit(&world.services, &[&dropped.message], NO_TIME).await, ["0"]);
    assert!(world.api.jobs().is_empty(), "no job was begun");
    assert_eq!(world.states(&dropped.id).await, [PartState::Planned; 3]);
    assert_eq!(world.status(&dropped.id).await.state, DropState::Uploading);
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_eq!(world.api.fed().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_nears_between_two_parts_leaves_the_rest_to_the_next_invocation() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
    // The first job takes four seconds to create; after three the last stretch begins.
    world.api.next(Call::Create, [Answer::faithful().after(Duration::from_secs(4))]);
    assert_eq!(submit(&world.services, &[&dropped.message], Duration::from_secs(33)).await, ["0"]);
    assert_eq!(world.api.jobs().len(), 1, "nothing was begun after");
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_eq!((world.api.jobs().len(), world.api.fed().len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_the_time_is_over_is_given_up_in_time_to_say_so() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    let gate = Gate::default();
    world.api.next(Call::Upload, [Answer::faithful().behind(&gate)]);
    let begun = Instant::now();
    let time = Duration::from_secs(33);
    assert_eq!(submit(&world.services, &[&dropped.message], time).await, ["0"]);
    assert!(begun.elapsed() < time, "Lambda had no need to kill it: {:?}", begun.elapsed());
    gate.open();
    let ended = world.finish(&dropped).await;
    assert_eq!((ended.status.state, world.api.jobs().len()), (DropState::Completed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_outlive_an_invocation_go_on_in_another_at_once() {
    let file = good_file(5);
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    let one_by_one = world.cold_with("UPLOADS_AT_ONCE", "1");
    // Two seconds to begin something in.
    let time = Duration::from_secs(32);
    world.api.next(Call::Upload, [Answer::faithful().after(Duration::from_secs(3))]);
    let none: [String; 0] = [];
    assert_eq!(submit(&one_by_one, &[&dropped.message], time).await, none, "no failure");
    assert_eq!(world.api.count(Call::Upload), 1);
    // The same event as of a drop that poll finds stalled.
    let asked = || {
        let events = world.aws().events().into_iter();
        events.filter(|event| event["detail-type"] == "Drop Stalled").collect::<Vec<_>>()
    };
    assert_eq!(asked().len(), 1, "it asks for another invocation itself");
    assert_eq!(submit(&one_by_one, &[&asked()[0].to_string()], DAY).await, none);
    assert_eq!((world.api.count(Call::Upload), world.api.jobs().len()), (3, 3));
    assert_all_rows(&file, world.finish(&dropped).await.results());
    assert_eq!(asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_says_so_and_one_that_needs_more_memory_asks_for_it() {
    let world = InProcess::start().await;
    // Bad rows have to be listed, and cannot be.
    let dropped =
        world.drop_file("incoming/posts.csv", "ref_id,type,content\n1,text,a\n2,video,b\n").await;
    let told = async || {
        let record = world.record(&dropped.id).await;
        record.check_problem.map(|problem| problem.code.to_string())
    };
    let without = world.cold_with("RESULTS_BUCKET", "no-such-bucket");
    assert_eq!(submit(&without, &[&dropped.message], DAY).await, ["0"]);
    assert_eq!(told().await.as_deref(), Some("E_CHECK"));
    let small = world.cold_with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "64");
    assert_eq!(submit(&small, &[&dropped.message], DAY).await, ["0"]);
    assert_eq!(told().await.as_deref(), Some("E_CHECK_SIZE"));
    let status = world.status(&dropped.id).await;
    assert_eq!(status.state, DropState::Checking);
    let problem = status.problem.expect("status.json says what it waits for");
    assert!(
        problem.message.contains("2 rows") && problem.next_step.contains("more memory"),
        "{problem:?}"
    );
    let ended = world.finish(&dropped).await;
    assert_eq!(
        (ended.status.state, ended.status.problem.is_none()),
        (DropState::CompletedWithErrors, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_size_is_of_the_object_it_names_and_of_no_other_in_its_place() {
    let world = InProcess::start().await;
    let first = world.drop_file("incoming/posts.csv", good_file(2)).await;
    let mut event: serde_json::Value = serde_json::from_str(&first.message).unwrap();
    event["detail"]["object"].as_object_mut().unwrap().remove("size").expect("an event has a size");
    let second = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(submit(&world.services, &[&event.to_string()], DAY).await.is_empty());
    assert_eq!(world.ended(&first.id).await.status.problem.unwrap().code.as_str(), "E_GONE");
    assert!(world.api.jobs().is_empty());
    assert_eq!(world.finish(&second).await.status.state, DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_beside_good_ones_is_the_only_one_that_comes_back() {
    let world = InProcess::start().await;
    let one = world.drop_file("incoming/one.csv", good_file(2)).await;
    let two = world.drop_file("incoming/two.csv", good_file(2)).await;
    let poisons = ["", "{", "[]", "null", r#"{"detail":{}}"#, "\u{0}"];
    for poison in poisons {
        let failed = submit(&world.services, &[&one.message, poison, &two.message], DAY).await;
        assert_eq!(failed, ["1"], "{poison:?}");
    }
    for dropped in [one, two] {
        assert_eq!(world.end(&dropped).await.status.state, DropState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_drop_with_a_problem_does_not_hold_back_the_others_in_its_batch() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let one = world.drop_file("incoming/one.csv", good_file(2)).await;
    let two = world.drop_file("incoming/two.csv", good_file(2)).await;
    world.api.next(Call::Create, [Answer::status(500)]);
    let none: [String; 0] = [];
    assert_eq!(submit(&world.services, &[&one.message, &two.message], DAY).await, none);
    assert!(world.waits_until(&one).await.is_some() && world.waits_until(&two).await.is_none());
    assert_eq!(world.end(&two).await.status.state, DropState::Completed);
    let rows = good_file(2);
    let ended = world.finish(&one).await;
    assert!(with_error(&assert_all_rows(&rows, ended.results()), "failed").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_ten_thousand_parts_is_recorded_and_read_back_whole() {
    let many = MANY as usize;
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(many)).await;
    let begun = Instant::now();
    assert_eq!(submit(&world.services, &[&dropped.message], NO_TIME).await, ["0"]);
    println!("{many} parts planned in {:?}", begun.elapsed());
    let parts = world.parts(&dropped.id).await;
    assert_eq!(parts.len(), many);
    assert!(parts.iter().enumerate().all(|(i, part)| part.plan.number as usize == i + 1 && part.state == PartState::Planned));
    assert!(
        parts.windows(2).all(|pair| pair[0].plan.end == pair[1].plan.offset),
        "no gap and no overlap"
    );
    let status = world.status(&dropped.id).await;
    assert_eq!((status.parts.len(), status.rows.total), (1_000, Some(many as u64)));
    let parts = world.read(status.files.parts.expect("the key of parts.json").as_str()).await;
    let all: PartsFile = serde_json::from_slice(&parts.unwrap()).unwrap();
    assert_eq!((all.parts.len(), &all.parts[..1_000]), (many, &status.parts[..]));
    // No key of the open index has more than its share of them, and a plan of an earlier release,
    // whose parts have one key, is read with them.
    let mut keys = BTreeMap::new();
    for item in world.all_items().await {
        if let Some(key) = item.get("open").and_then(|key| key.as_s().ok()) {
            *keys.entry(key.clone()).or_insert(0) += 1;
        }
    }
    keys.retain(|key: &String, _| key.starts_with("PART"));
    let (least, most) = (keys.values().min(), keys.values().max());
    assert!(keys.len() == 16 && least.zip(most).is_some_and(|(a, b)| b - a <= 1), "{keys:?}");
    world.replace_part(&world.parts(&dropped.id).await[0]).await;
    let open = world.services.ledger.open_parts().await.unwrap();
    let numbers: BTreeSet<u32> = open.records.iter().map(|part| part.plan.number).collect();
    assert_eq!((open.records.len(), numbers.len()), (many, many));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stopped_an_attempt_is_no_problem_of_a_drop_that_a_later_one_moved_on() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    let (gate, other) = (Gate::default(), world.cold());
    world.api.next(Call::Create, [Answer::status(500).behind(&gate)]);
    let messages = [dropped.message.as_str()];
    let second_overtakes = async {
        gate.arrived().await;
        assert!(submit(&other, &messages, DAY).await.is_empty());
        world.api.next(Call::Create, (0..9).map(|_| Answer::status(500)));
        gate.open();
    };
    tokio::join!(submit(&world.services, &messages, DAY), second_overtakes);
    assert!(world.api.count(Call::Create) > 1);
    let record = world.record(&dropped.id).await;
    assert_eq!((record.state, record.problem), (DropState::Evaluating, None));
    let ended = world.end(&dropped).await;
    assert_eq!((ended.status.state, ended.status.problem), (DropState::Completed, None));
}
