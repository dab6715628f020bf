//! submit: the check of a file that takes longer than an invocation.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::config::SharedHttpClient;
use jiff::Timestamp;
use moondrop_local::aws::{Endpoints, RESULTS, TABLE};
use moondrop_shared::drop::{DropState, SavedCheck};
use moondrop_shared::object_key::work_folder;
use moondrop_shared::part::PartRecord;
use moondrop_shared::plan::PlannedPart;
use moondrop_shared::services::Services;
use moondrop_shared::services::s3::drops_bucket::DropsBucket;
use moondrop_tests::env::{DAY, Dropped, clients};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::rows::assert_all_rows;
use moondrop_tests::slow_proxy::{SlowProxy, Slowness};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Of a short invocation, a second and a bit is left to check in.
const SHORT: Duration = Duration::from_millis(31_100);
const NONE: [String; 0] = [];

/// Rows of every kind: valid ones, invalid ones, duplicates, and some that a notice is about.
fn file() -> String {
    let text = "lorem ipsum ".repeat(24);
    let row = |i: usize| match i % 500 {
        7 => format!("{i},video,{text}\n"),
        8 => format!("0,text,{text}\n"),
        9 => format!("{i},text,\"{text}\n{i},text,x\n\"\n"),
        _ => format!("{i},text,\"{text}\n{i}\"\n"),
    };
    let rows: String = (0..5_000).map(row).collect();
    format!("ref_id,type,content\n{rows}")
}

/// What submit works with where S3 is so slow that it needs several invocations for the file.
async fn slow(world: &InProcess, settings: &[(&str, &str)]) -> (Services, SlowProxy) {
    let slowness = Slowness { rate: 350_000, first_byte: Duration::ZERO, breaks_after: None };
    let proxy = SlowProxy::start(&world.aws().endpoints().s3, slowness).await;
    let http: SharedHttpClient = aws_smithy_http_client::Builder::new().build_http();
    let endpoints = Endpoints { s3: proxy.url.clone(), ..world.aws().endpoints().clone() };
    let drops = DropsBucket::new(clients(&endpoints, &http).s3);
    let usual = settings.first().map_or(("READS_AT_ONCE", "1"), |setting| *setting);
    (Services { drops, ..world.cold_with(usual.0, usual.1) }, proxy)
}

/// The invocations that submit has asked for itself.
fn asked(world: &InProcess) -> Vec<Value> {
    let events = world.aws().events().into_iter();
    events.filter(|event| event["detail-type"] == "Drop Stalled").collect()
}

async fn saved(world: &InProcess, dropped: &Dropped) -> Option<SavedCheck> {
    world.record(&dropped.id).await.check
}

fn plans(parts: &[PartRecord]) -> Vec<PlannedPart> {
    parts.iter().map(|part| part.plan.clone()).collect()
}

/// One short invocation, after which the check is not done.
async fn cut_off(world: &InProcess, services: &Services, message: &str) {
    let before = asked(world).len();
    assert_eq!(submit(services, &[message], SHORT).await, NONE, "no failure");
    assert_eq!(asked(world).len(), before + 1, "it asks for another invocation itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_cut_off_five_times_and_more_makes_the_same_plan_to_the_byte() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "300")]).await;
    let (slow, _proxy) = slow(&world, &[]).await;
    let (file, mut places) = (file(), Vec::new());
    let whole = world.drop_file("incoming/whole.csv", file.clone()).await;
    assert!(world.submit(&whole).await);
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    let mut message = dropped.message.clone();
    loop {
        let back = submit(&slow, &[&message], SHORT).await;
        let Some(saved) = saved(&world, &dropped).await else { break };
        assert_eq!(back, NONE, "no failure");
        assert!(places.last() < Some(&saved.place()), "only forward: {places:?}, {saved:?}");
        places.push(saved.place());
        assert_eq!(asked(&world).len(), places.len(), "it asks for another invocation itself");
        assert_eq!(world.record(&dropped.id).await.check_problem, None);
        assert!(world.api.jobs().len() == 17, "nothing is spent before the file is checked");
        message = asked(&world).last().unwrap().to_string();
    }
    assert!(places.len() >= 5 && places.iter().any(|place| place.pass == 2), "{places:?}");
    let (one, other) = (world.record(&whole.id).await, world.record(&dropped.id).await);
    assert_eq!((one.plan, one.errors, one.notices), (other.plan, other.errors, other.notices));
    assert_eq!(
        plans(&world.parts(&whole.id).await),
        plans(&world.parts(&dropped.id).await),
        "the same parts"
    );
    // What the last invocation had no time for.
    assert!(world.submit(&dropped).await);
    let (whole, ended) = (world.end(&whole).await, world.end(&dropped).await);
    assert_eq!(whole.rejected.as_deref(), ended.rejected.as_deref());
    assert_eq!(whole.results(), ended.results());
    assert_all_rows(file.as_bytes(), ended.results());
    let left = world.services.results.list(&work_folder(&dropped.id)).await.unwrap();
    assert!(left.is_empty(), "nothing is left of what was saved: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_saved_by_other_limits_or_that_is_gone_or_was_changed_begins_again() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "300")]).await;
    let (slow, _proxy) = slow(&world, &[]).await;
    let file = file();
    let whole = world.drop_file("incoming/whole.csv", file.clone()).await;
    assert!(world.submit(&whole).await);
    let by_others = world.drop_file("incoming/others.csv", file.clone()).await;
    let others = world.cold_with("ROWS_PER_JOB", "400");
    assert_eq!(submit(&others, &[&by_others.message], DAY).await, NONE);
    for (name, spoil) in [("limits", 0), ("gone", 1), ("changed", 2)] {
        let dropped = world.drop_file(&format!("incoming/{name}.csv"), file.clone()).await;
        cut_off(&world, &slow, &dropped.message).await;
        let folder = format!("{}check/", work_folder(&dropped.id));
        let keys = world.services.results.list(&folder).await.unwrap();
        let hashes = keys.iter().find(|key| key.as_str().contains("-hashes-")).unwrap();
        match spoil {
            0 => {
                let limits = serde_dynamo::to_attribute_value(
                    serde_json::json!({"rows": 400, "bytes": 32 * 1024 * 1024}),
                );
                let update = world.aws().dynamodb().update_item().table_name(TABLE);
                let update = update
                    .key("pk", AttributeValue::S(format!("DROP#{}", dropped.id)))
                    .key("sk", AttributeValue::S("META".to_owned()));
                let update = update.update_expression("SET limits = :limits");
                update
                    .expression_attribute_values(":limits", limits.unwrap())
                    .send()
                    .await
                    .unwrap();
            }
            1 => world.delete_object(RESULTS, hashes.as_str()).await,
            _ => {
                let mut bytes = world.read(hashes.as_str()).await.unwrap();
                bytes[0] ^= 1;
                world.put_object(RESULTS, hashes.as_str(), bytes).await;
            }
        }
        let event = asked(&world).last().unwrap().to_string();
        let back = submit(&world.services, &[&event], DAY).await;
        if spoil > 0 {
            assert_eq!(back, ["0"], "{name}: it is told as a failure");
            assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_CHECK"));
            assert_eq!(saved(&world, &dropped).await, None, "and forgotten");
            assert_eq!(submit(&world.services, &[&event], DAY).await, NONE);
        }
        // The plan of a check that began again, by the limits that are recorded now.
        let expected = if spoil > 0 { &whole } else { &by_others };
        let parts = world.parts(&dropped.id).await;
        assert!(plans(&parts) == plans(&world.parts(&expected.id).await), "{name}");
        let ended = world.finish(&dropped).await;
        assert_eq!(ended.status.state, DropState::CompletedWithErrors);
        assert_all_rows(file.as_bytes(), ended.results());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_comes_no_further_is_a_failure_and_the_next_one_goes_on() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "300")]).await;
    let (slow, _proxy) = slow(&world, &[]).await;
    // One row that takes longer than an invocation to read.
    let row = format!("1,text,\"{}\"\n", "long ".repeat(400_000));
    let file = format!("ref_id,type,content\n{row}");
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    assert_eq!(submit(&slow, &[&dropped.message], SHORT).await, NONE, "it read the header");
    let event = asked(&world).last().unwrap().to_string();
    assert_eq!(submit(&slow, &[&event], SHORT).await, ["0"]);
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_CHECK"));
    assert_eq!(asked(&world).len(), 1, "it would do no better at once");
    let ended = world.finish(&dropped).await;
    assert_eq!((ended.status.state, &ended.status.problem), (DropState::Completed, &None));
    assert_all_rows(file.as_bytes(), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_dies_goes_on_from_its_last_save_and_two_at_once_only_move_it_forward() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "300")]).await;
    let (slow, _proxy) = slow(&world, &[("SAVE_CHECK_EVERY_SECONDS", "0")]).await;
    let file = file();
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    let other = slow.clone();
    let messages = [dropped.message.as_str()];
    let killed = tokio::time::timeout(
        Duration::from_millis(1_500),
        futures_util::future::join(submit(&slow, &messages, DAY), submit(&other, &messages, DAY)),
    );
    assert!(killed.await.is_err(), "both were still at it");
    let first = saved(&world, &dropped).await.expect("it is saved all the time").place();
    assert_eq!(first.pass, 1);
    cut_off(&world, &slow, &dropped.message).await;
    let second = saved(&world, &dropped).await.unwrap().place();
    assert!(second > first, "{first:?} {second:?}");
    // An attempt that is behind changes nothing.
    let recorded = saved(&world, &dropped).await.unwrap();
    let behind = SavedCheck { offset: recorded.offset - 1, ..recorded.clone() };
    let ledger = &world.services.ledger;
    let refused = ledger.save_check(&dropped.id, &behind, Timestamp::now()).await.unwrap();
    assert_eq!((refused.ours, refused.record.check), (false, Some(recorded)));
    let ended = world.finish(&dropped).await;
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
    assert_all_rows(file.as_bytes(), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_drop_that_is_cancelled_or_planned_meanwhile_ends() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "300")]).await;
    let (slow, _proxy) = slow(&world, &[("SAVE_CHECK_EVERY_SECONDS", "0")]).await;
    for (is_cancelled, expected) in [(true, DropState::Failed), (false, DropState::Evaluating)] {
        let dropped = world.drop_file(&format!("incoming/{is_cancelled}.csv"), file()).await;
        let is_saved = async || {
            let record = world.ledger.drop_record(&dropped.id).await.unwrap();
            record.is_some_and(|record| record.check.is_some())
        };
        let meanwhile = async {
            while !is_saved().await {
                tokio::task::yield_now().await;
            }
            match is_cancelled {
                true => world.cancel(&dropped.id).await,
                false => assert!(world.submit(&dropped).await),
            }
        };
        let (began, messages) = (Instant::now(), [dropped.message.as_str()]);
        let (back, ()) = tokio::join!(submit(&slow, &messages, DAY), meanwhile);
        assert_eq!(back, NONE, "{is_cancelled}");
        assert!(began.elapsed() < Duration::from_secs(5), "it does not read on to the end");
        assert!(asked(&world).is_empty(), "no other invocation is needed");
        assert_eq!(world.record(&dropped.id).await.state, expected);
    }
}
