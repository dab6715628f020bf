//! An update of Moondrop with drops in flight: what an earlier release wrote into the ledger is taken up and carried to its end.
//! The records are literal: `fixtures/records/form-1.json` is never changed, a later form gets a file of its own beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use moondrop_local::aws::{DROPS, RESULTS, TABLE};
use moondrop_shared::drop::DropState;
use moondrop_shared::event::{ObjectCreatedDetail, OutgoingEvent};
use moondrop_shared::form::SCHEMA;
use moondrop_shared::part::PartState;
use moondrop_shared::source::DropId;
use moondrop_tests::direct::{Direct, Dropped};
use moondrop_tests::logs;
use moondrop_tests::rows::good_file;
use moondrop_tests::scripted::{Call, ScriptedJob};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

const BINARY: &str = env!("CARGO_BIN_EXE_moondrop-under-test");
const FORM_1: &str = include_str!("../fixtures/records/form-1.json");
const FORM_2: &str = include_str!("../fixtures/records/form-2.json");
const DROP: &str = "4381ec1e5a8f0e98b6dad91765e17df2";
const KEY: &str = "incoming/hate/posts.csv";
const FOLDER: &str = "results/hate/posts/2026-11-24T01-56-54Z";

type Item = HashMap<String, AttributeValue>;

/// An attribute in DynamoDB's JSON.
fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text.clone()),
        ("N", Value::String(text)) => AttributeValue::N(text.clone()),
        ("BOOL", Value::Bool(is)) => AttributeValue::Bool(*is),
        ("M", Value::Object(map)) => AttributeValue::M(map.iter().map(|(name, v)| (name.clone(), attribute(v))).collect()),
        other => panic!("no attribute of a record: {other:?}"),
    }
}

fn records(text: &str) -> Vec<Item> {
    let items: Vec<serde_json::Map<String, Value>> = serde_json::from_str(text).unwrap();
    items.iter().map(|item| item.iter().map(|(name, v)| (name.clone(), attribute(v))).collect()).collect()
}

/// A drop in flight as an earlier release left it: a part collected, one with its job, one still to be sent.
async fn left_in_flight(change: impl Fn(&mut Item)) -> (Direct, Dropped) {
    left_in_flight_by(FORM_1, change).await
}

async fn left_in_flight_by(form: &str, change: impl Fn(&mut Item)) -> (Direct, Dropped) {
    let world = Direct::start(BINARY).await;
    for mut item in records(form) {
        change(&mut item);
        world.stack.dynamodb().put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }
    let objects = [
        (
            DROPS,
            KEY.to_owned(),
            "ref_id,type,content,lang\na,text,one,en\nb,text,two,de\nc,video,x,en\nd,text,three,fr\ne,text,four,it\n",
        ),
        (
            RESULTS,
            format!("{FOLDER}/rejected.csv"),
            "line,byte_offset,ref_id,class,reason\n4,53,c,E_TYPE,`type` is neither `text` nor `image_url`\n",
        ),
        (
            RESULTS,
            format!("work/{DROP}/00001-18ead878cbba072a.csv"),
            "a,text,\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",one,,en\nb,text,\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",two,,de\n",
        ),
    ];
    for (bucket, key, body) in objects {
        world
            .stack
            .s3()
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from_static(body.as_bytes()))
            .send()
            .await
            .unwrap();
    }
    world.api.put_job(ScriptedJob {
        id: "job-b".to_owned(),
        name: format!("moondrop:faults:{DROP}:00002"),
        state: "QUEUED".to_owned(),
        created_at: "2026-11-24T01:56:54.6Z".parse().unwrap(),
        uploads: vec![b"ref_id,type,content\nd,text,three\n".to_vec()],
        fields: BTreeMap::new(),
        results: None,
    });
    let detail: ObjectCreatedDetail = serde_json::from_value(json!({
        "bucket": {"name": "drops"},
        "object": {"key": KEY, "size": 97, "etag": "c4382bfbf56c655d9b893a27ccf55360", "sequencer": "18EAD878B3BEBE5A"},
    }))
    .unwrap();
    let source = detail.source().unwrap();
    assert_eq!(source.id().as_str(), DROP, "a drop is known by what it always was");
    let message = json!({"time": "2026-11-24T02:20:00Z", "detail": OutgoingEvent::DropStalled { source }.detail()});
    (world, Dropped { id: DropId::from(DROP), message: message.to_string() })
}

async fn is_carried_to_its_end(world: &Direct, dropped: &Dropped) {
    let states = world.states(&dropped.id).await;
    assert_eq!(states, [PartState::Collected, PartState::Uploaded, PartState::Planned]);
    assert!(world.submit(dropped).await);
    assert_eq!(world.meta(&dropped.id).await.state, DropState::Evaluating);
    let ended = world.end(dropped).await;
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
    let label = "\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\"";
    let expected = format!(
        "ref_id,type,labels,content,error,lang\na,text,{label},one,,en\nb,text,{label},two,,de\n\
         c,video,,x,rejected: E_TYPE `type` is neither `text` nor `image_url`,en\nd,text,{label},three,,fr\ne,text,{label},four,,it\n"
    );
    assert_eq!(String::from_utf8(ended.results().to_vec()).unwrap(), expected);
    assert_eq!(world.api.fed().len(), 2, "no row was sent again");
    assert!(ended.status.files.results.unwrap().starts_with(FOLDER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_in_flight_is_carried_to_its_end_from_records_of_form_1() {
    let (world, dropped) = left_in_flight(|_| {}).await;
    is_carried_to_its_end(&world, &dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_in_flight_is_carried_to_its_end_from_records_of_form_2() {
    let (world, dropped) = left_in_flight_by(FORM_2, |_| {}).await;
    is_carried_to_its_end(&world, &dropped).await;
}

/// The older release did not mark uploads: nothing says that none began.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_created_by_a_release_that_did_not_mark_uploads_is_not_taken_for_unsent() {
    let (world, dropped) = left_in_flight(|item| {
        if item["sk"] == AttributeValue::S("PART#00002".to_owned()) {
            item.insert("state".to_owned(), AttributeValue::S("CREATED".to_owned()));
            item.insert("job_rank".to_owned(), AttributeValue::N("1".to_owned()));
            item.insert("created_at".to_owned(), AttributeValue::S(Timestamp::now().to_string()));
            item.remove("uploaded_at");
        }
    })
    .await;
    world.api.set_state("job-b", "INITIALIZED");
    world.age_part(&dropped.id, 2, "created_at", 27 * 60).await;
    world.poll().await;
    assert_eq!((world.states(&dropped.id).await[1], world.api.count(Call::Cancel)), (PartState::Created, 0));
    world.api.set_state("job-b", "QUEUED");
    world.poll().await;
    assert_eq!(world.states(&dropped.id).await[1], PartState::Uploaded);
    is_carried_to_its_end(&world, &dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_do_not_say_their_form_are_of_the_first() {
    let (world, dropped) = left_in_flight(|item| drop(item.remove("schema"))).await;
    assert_eq!(world.meta(&dropped.id).await.schema, 1);
    is_carried_to_its_end(&world, &dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_form_is_refused_in_clear_words_and_left_as_it_is() {
    for newer in ["META", "PART#00002"] {
        let is = |item: &Item| item["sk"] == AttributeValue::S(newer.to_owned());
        let (world, dropped) = left_in_flight(|item| {
            if is(item) {
                item.insert("schema".to_owned(), AttributeValue::N((SCHEMA + 1).to_string()));
                item.insert("state".to_owned(), AttributeValue::S("of a newer release".to_owned()));
            }
        })
        .await;
        let before: Vec<Item> = world.dump().await.into_iter().filter(is).collect();
        let refused = format!("the record DROP#{DROP} {newer} has form 3, and this release reads forms up to 2");
        assert!(
            !world.submit(&dropped).await,
            "{newer}: its message goes back to the queue, and in the end to the dead letters"
        );
        let polled = world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(format!("{polled:#}").contains(&refused), "{polled:#}");
        let collected = world.collect(&dropped.id, 2).await.unwrap_err();
        assert!(format!("{collected:#}").contains(&refused), "{collected:#}");
        let after: Vec<Item> = world.dump().await.into_iter().filter(is).collect();
        assert_eq!(before, after, "{newer}");
        let told = logs::with(DROP).iter().any(|line| line.contains("goes back to the queue") && line.contains(&refused));
        assert!(told, "{newer}: the log says why");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_newer_form_hold_back_no_other_drop() {
    for newer in ["META", "PART#00002", "PART#00003"] {
        let (world, _) = left_in_flight(|item| {
            if item["sk"] == AttributeValue::S(newer.to_owned()) {
                item.insert("schema".to_owned(), AttributeValue::N((SCHEMA + 1).to_string()));
            }
        })
        .await;
        let other = world.drop_file("incoming/other.csv", good_file(3)).await;
        assert!(world.submit(&other).await);
        world.api.complete_all();
        let told = world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(format!("{told:#}").contains("has form 3"), "the tick fails all the same: {told:#}");
        world.collect_all(&other.id).await;
        assert_eq!(world.ended(&other.id).await.status.state, DropState::Completed, "{newer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_drop_and_of_a_part_says_its_form() {
    let world = Direct::start(BINARY).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(3)).await;
    assert!(world.submit(&dropped).await);
    let form = AttributeValue::N(SCHEMA.to_string());
    let mut seen = 0;
    for item in world.dump().await {
        let sk = item["sk"].as_s().unwrap();
        if sk == "META" || sk.starts_with("PART#") {
            assert_eq!(item.get("schema"), Some(&form), "{sk}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}
