//! submit and poll: drops that wait for the API, for the end of a pause, or for the next tick; and
//! messages that are of no drop of this stack.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropState;
use moondrop_shared::event::OutgoingEvent;
use moondrop_shared::source::DropId;
use moondrop_tests::env::{DAY, Dropped};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::{Value, json};

const NONE: [String; 0] = [];

/// The messages by which poll has had drops go on.
fn requeued(world: &InProcess) -> Vec<String> {
    let events = world.aws().events().into_iter();
    let stalled = events.filter(|event| event["detail-type"] == "Drop Stalled");
    stalled.map(|event| event.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_waits_for_the_api_is_no_failure_and_is_requeued_later_the_longer_it_waits() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "9")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    world.api.always(Call::Create, Some(Answer::status(429)));
    let mut message = dropped.message.clone();
    let (mut waits, mut requeues) = (Vec::new(), 0);
    for waited in [0, 5, 30] {
        if waited > 0 {
            world.age_drop(&dropped.id, "waits_since", waited).await;
        }
        assert_eq!(submit(&world.services, &[&message], DAY).await, NONE, "no failure");
        let now = Timestamp::now();
        let at = world.waits_until(&dropped).await.expect("it waits");
        waits.push(at.duration_since(now).as_secs());
        // Not before its time, then at once, and not at each tick.
        for (minutes, more) in [(0, 0), (60, 1), (60, 0)] {
            world
                .poll_at(at + SignedDuration::from_mins(minutes) - SignedDuration::from_secs(1))
                .await
                .unwrap();
            requeues += more;
            assert_eq!(requeued(&world).len(), requeues, "{waited} {minutes}");
        }
        message = requeued(&world).pop().unwrap();
    }
    assert!((100..=120).contains(&waits[0]), "RETRY_AFTER_SECONDS: {waits:?}");
    assert!((290..=330).contains(&waits[1]), "as long as it has waited: {waits:?}");
    assert!((1_190..=1_201).contains(&waits[2]), "at most STALLED_AFTER_SECONDS: {waits:?}");
    assert!(world.aws().dead_letters().is_empty());
    world.api.always(Call::Create, None);
    assert_eq!(submit(&world.services, &[&message], DAY).await, NONE);
    let record = world.record(&dropped.id).await;
    assert_eq!((record.waits_since, record.retry_at), (None, None));
    assert_all_rows(&good_file(4), world.end(&dropped).await.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_is_paused_drops_are_recorded_and_nothing_is_asked_and_then_it_goes_on() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "9")]).await;
    let before = world.drop_file("incoming/before.csv", good_file(3)).await;
    assert!(world.submit(&before).await);
    world.set_paused(true).await;
    let during = world.drop_file("incoming/during.csv", good_file(4)).await;
    assert_eq!(submit(&world.services, &[&during.message], DAY).await, NONE);
    assert_eq!(world.status(&during.id).await.state, DropState::Checking);
    assert!(world.parts(&during.id).await.is_empty(), "it is not checked");
    world.api.complete_all();
    let calls = [Call::Create, Call::Get, Call::Upload].map(|call| world.api.count(call));
    let records = world.all_items().await.len();
    for minutes in [0, 5, 6_000] {
        world.poll_in(minutes).await;
    }
    let line: Value = serde_json::from_slice(&world.services.metrics.take_line()).unwrap();
    assert_eq!((&line["Paused"], &line["Ticks"]), (&json!(1), &json!(3)), "{line}");
    assert_eq!(calls, [Call::Create, Call::Get, Call::Upload].map(|call| world.api.count(call)));
    assert_eq!((world.all_items().await.len(), requeued(&world).len()), (records, 0));

    world.set_paused(false).await;
    world.poll().await;
    let line: Value = serde_json::from_slice(&world.services.metrics.take_line()).unwrap();
    assert_eq!(line["Paused"], json!(0));
    let messages = requeued(&world);
    assert_eq!(messages.len(), 1, "at the first tick");
    assert_eq!(submit(&world.services, &[&messages[0]], DAY).await, NONE);
    for (dropped, rows) in [(&before, 3), (&during, 4)] {
        assert_all_rows(&good_file(rows), world.end(dropped).await.results());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_moondrops_names_a_drop_and_never_has_an_object_evaluated() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    assert!(world.submit(&dropped).await);
    // The object once more, as another drop: without its sequencer.
    let mut event: Value = serde_json::from_str(&dropped.message).unwrap();
    event["source"] = json!("moondrop");
    event["detail"]["object"].as_object_mut().unwrap().remove("sequencer");
    assert_eq!(submit(&world.services, &[&event.to_string()], DAY).await, NONE);
    let unknown = DropId::from("0123456789abcdef0123456789abcdef");
    let detail = OutgoingEvent::DropStalled { drop: unknown }.detail();
    let event = json!({"source": "moondrop", "detail": detail}).to_string();
    assert_eq!(submit(&world.services, &[&event], DAY).await, NONE, "no record has it");
    assert_eq!(world.services.ledger.open_drops().await.unwrap().records.len(), 1);
    assert_eq!(world.api.jobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_bucket_is_no_drop() {
    let world = InProcess::start().await;
    let Dropped { id, message } = world.drop_file("incoming/posts.csv", good_file(2)).await;
    let request = world.request_cancel(&id).await;
    for (setting, taken) in [("other", false), ("other, drops", true)] {
        let services = world.cold_with("DROP_BUCKETS", setting);
        let back = submit(&services, &[&message, &request.message], DAY).await;
        assert_eq!(back.len(), if taken { 0 } else { 2 }, "it becomes a dead letter, and is kept");
        let record = world.ledger.drop_record(&id).await.unwrap();
        assert_eq!(record.is_some_and(|record| record.cancelled_at.is_some()), taken, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_over_the_stacks_limits_is_refused_before_anything_is_spent_on_it() {
    let world = InProcess::start().await;
    let long = format!("{}bad,video,x\n", String::from_utf8(good_file(3)).unwrap());
    let bytes = long.len().to_string();
    for (name, value, taken) in [
        ("MAX_ROWS_PER_DROP", "3", false),
        ("MAX_ROWS_PER_DROP", "4", true),
        ("MAX_BYTES_PER_DROP", "90", false),
        ("MAX_BYTES_PER_DROP", &bytes, true),
    ] {
        let services = world.cold_with(name, value);
        let dropped = world.drop_file(&format!("incoming/{name}{value}.csv"), long.clone()).await;
        let jobs = world.api.jobs().len();
        assert_eq!(submit(&services, &[&dropped.message], DAY).await, NONE);
        if taken {
            assert!(world.api.jobs().len() > jobs, "{name} {value}");
            continue;
        }
        assert_eq!(world.api.jobs().len(), jobs, "{name} {value}");
        let ended = world.ended(&dropped.id).await;
        let problem = ended.status.problem.as_ref().unwrap();
        assert_eq!((ended.status.state, problem.code.as_str()), (DropState::Rejected, "E_LIMIT"));
        assert!(
            problem.message.contains(name)
                && problem.message.contains(value)
                && problem.message.contains("several files"),
            "{problem:?}"
        );
        assert!(ended.rejected().contains("E_LIMIT"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_only_aliases_a_folder_of_another_name_is_refused() {
    let world = InProcess::start_with(&[
        ("POLICY_ALIASES", r#"{"hate":"policy-1"}"#),
        ("POLICY_FOLDERS", "aliases"),
    ])
    .await;
    for (key, policy) in [
        ("incoming/hate/a.csv", Some("policy-1")),
        ("incoming/a.csv", Some("policy")),
        ("incoming/policy-1/a.csv", None),
        ("incoming/Hate/a.csv", None),
    ] {
        let dropped = world.drop_file(key, good_file(2)).await;
        assert!(world.submit(&dropped).await);
        let record = world.record(&dropped.id).await;
        assert_eq!(record.policy.as_deref(), policy, "{key}");
        let Some(problem) = &record.problem else { continue };
        assert_eq!((policy, problem.code.as_str()), (None, "E_POLICY"));
        assert!(problem.message.contains("folder of an alias"), "{problem:?}");
    }
    assert_eq!(world.api.jobs().len(), 2, "the refused ones cost nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_cancel_a_drop_that_waits_for_the_end_of_a_pause() {
    let world = InProcess::start().await;
    world.set_paused(true).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert_eq!(submit(&world.services, &[&dropped.message], DAY).await, NONE);
    world.cancel(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.problem.as_ref().unwrap().code.as_str(), "C_CANCELLED");
    world.set_paused(false).await;
    world.poll_in(60).await;
    assert!(requeued(&world).is_empty() && world.api.jobs().is_empty(), "it stays ended");
}
