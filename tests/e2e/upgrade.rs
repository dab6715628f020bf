//! Releases and the form of the ledger's records: a drop in flight whose records have this
//! release's form is brought to its end; a record of any other form is refused by name, and left as
//! it is. The records are literal: a file of `fixtures/records` is never changed, a later form gets
//! a file of its own beside it.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use moondrop_local::aws::{DROPS, RESULTS};
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::drop::{DropRecord, DropState, Terms};
use moondrop_shared::event::{ObjectCreatedDetail, OutgoingEvent};
use moondrop_shared::form::SCHEMA;
use moondrop_shared::part::PartState;
use moondrop_shared::source::DropId;
use moondrop_tests::env::{Dropped, Item};
use moondrop_tests::fake_batch_api::FakeJob;
use moondrop_tests::in_process::InProcess;
use moondrop_tests::logs;
use moondrop_tests::rows::good_file;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FORM_1: &str = include_str!("../fixtures/records/form-1.json");
const FORM_2: &str = include_str!("../fixtures/records/form-2.json");
const FORM_3: &str = include_str!("../fixtures/records/form-3.json");
const DROP: &str = "4381ec1e5a8f0e98b6dad91765e17df2";
const KEY: &str = "incoming/hate/posts.csv";
const FOLDER: &str = "results/hate/posts/2026-11-24T01-56-54Z";

/// An attribute in DynamoDB's JSON.
fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text.clone()),
        ("N", Value::String(text)) => AttributeValue::N(text.clone()),
        ("BOOL", Value::Bool(is)) => AttributeValue::Bool(*is),
        ("M", Value::Object(map)) => {
            AttributeValue::M(map.iter().map(|(name, v)| (name.clone(), attribute(v))).collect())
        }
        other => panic!("no attribute of a record: {other:?}"),
    }
}

fn records(text: &str) -> Vec<Item> {
    let items: Vec<serde_json::Map<String, Value>> = serde_json::from_str(text).unwrap();
    items
        .iter()
        .map(|item| item.iter().map(|(name, v)| (name.clone(), attribute(v))).collect())
        .collect()
}

/// A drop in flight, by these records: a part collected, one with its job, one still to be sent.
async fn left_in_flight(form: &str, change: impl Fn(&mut Item)) -> (InProcess, Dropped) {
    let world = InProcess::start().await;
    for mut item in records(form) {
        change(&mut item);
        world.put_item(item).await;
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
            "line,byte_offset,ref_id,code,message\n4,53,c,E_TYPE,`type` is neither `text` nor `image_url`\n",
        ),
        (
            RESULTS,
            format!("work/{DROP}/00001-18ead878cbba072a.csv"),
            "a,text,\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",one,,en\nb,text,\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",two,,de\n",
        ),
    ];
    for (bucket, key, body) in objects {
        world.put_object(bucket, &key, body).await;
    }
    world.api.put_job(FakeJob {
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
    let detail = OutgoingEvent::DropStalled { drop: source.id() }.detail();
    let message = json!({"source": "moondrop", "time": "2026-11-24T02:20:00Z", "detail": detail});
    (world, Dropped { id: DropId::from(DROP), message: message.to_string() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_in_flight_is_brought_to_its_end_from_records_of_this_form() {
    let (world, dropped) = left_in_flight(FORM_3, |_| {}).await;
    let states = world.states(&dropped.id).await;
    assert_eq!(states, [PartState::Collected, PartState::Uploaded, PartState::Planned]);
    assert!(world.submit(&dropped).await);
    assert_eq!(world.record(&dropped.id).await.state, DropState::Evaluating);
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
    let label = "\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\"";
    let expected = format!(
        "ref_id,type,labels,content,error,lang\na,text,{label},one,,en\nb,text,{label},two,,de\n\
         c,video,,x,rejected: E_TYPE `type` is neither `text` nor `image_url`,en\nd,text,{label},three,,fr\ne,text,{label},four,,it\n"
    );
    assert_eq!(String::from_utf8(ended.results().to_vec()).unwrap(), expected);
    assert_eq!(world.api.fed().len(), 2, "no row was sent again");
    assert!(ended.status.files.results.unwrap().as_str().starts_with(FOLDER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_is_checked_uploaded_and_collected_by_the_rules_of_its_record() {
    let file = "\u{feff}ref_id,type, content\n1,text,  a\n1\u{a0},text,b\nref_id,type,content\n";
    let rejected = "rejected: E_TYPE `type` is neither `text` nor `image_url`";
    let again =
        "rejected: E_REF_ID the `ref_id` stands on line 2 already; the first row with it is kept";
    let label = "\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\"";
    let head = "ref_id,type,labels,content,error\n";
    let by_first = format!(
        "{head}1,text,{label},a,\n1\u{a0},text,{label},b,\nref_id,type,,content,{rejected}\n"
    );
    let by_second = format!("\u{feff}{head}1,text,{label},  a,\n1\u{a0},text,,b,{again}\n");
    for (rules, results) in [(Rules::One, by_first), (Rules::Two, by_second)] {
        let world = InProcess::start().await;
        let dropped = world.drop_file(KEY, file).await;
        let settings = &world.services.settings;
        let policy = settings.policy_for(Some("hate"));
        let terms = Terms {
            policy,
            limits: settings.limits,
            on_bad_rows: settings.on_bad_rows,
            wants_safe: false,
        };
        let now = Timestamp::now();
        let mut record = DropRecord::new(world.source(KEY).await, now, terms, now);
        assert_eq!(record.id, dropped.id);
        record.rules = rules;
        world.services.ledger.accept(record).await.unwrap();
        let ended = world.finish(&dropped).await;
        assert_eq!(String::from_utf8(ended.results().to_vec()).unwrap(), results, "{rules:?}");
    }
}

/// Of what poll remembers nothing is lost if it is written again, and a sweep is the same in every
/// form.
fn has_form(item: &Item) -> bool {
    item["pk"] != AttributeValue::S("POLL".to_owned()) && !is_sweep(item)
}

fn is_sweep(item: &Item) -> bool {
    item["sk"] == AttributeValue::S("SWEEP".to_owned())
}

/// Records of another form: which, how the error names it, and what makes a record such a one.
type OtherForm = (&'static str, &'static str, fn(&mut Item));

fn other_forms() -> Vec<OtherForm> {
    let newer = |item: &mut Item| {
        item.insert("schema".to_owned(), AttributeValue::N((SCHEMA + 1).to_string()));
        item.insert("state".to_owned(), AttributeValue::S("of a newer release".to_owned()));
    };
    vec![
        (FORM_1, "1", |_| {}),
        (FORM_1, "1", |item| drop(item.remove("schema"))),
        (FORM_2, "2", |_| {}),
        (FORM_3, "4", newer),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_form_is_refused_by_name_and_left_as_it_is() {
    for (records, form, change) in other_forms() {
        let (world, dropped) = left_in_flight(records, change).await;
        let before = world.all_items().await;
        let refused = |record: &str| {
            format!(
                "the record DROP#{DROP} {record} has form {form}, and this release reads form 3"
            )
        };
        let message = "its message goes back to the queue, and in the end to the dead letters";
        assert!(!world.submit(&dropped).await, "{form}: {message}");
        let polled = world.poll_at(Timestamp::now()).await.unwrap_err();
        assert!(format!("{polled:#}").contains("has form"), "{polled:#}");
        assert!(world.collect(&dropped.id, 2).await.is_err(), "{form}: {message}");
        let kept = |items: Vec<Item>| items.into_iter().filter(has_form);
        let after = world.all_items().await;
        assert!(kept(before).eq(kept(after)), "{form}");
        let told = logs::with(DROP)
            .iter()
            .any(|line| line.contains("goes back to the queue") && line.contains(&refused("META")));
        assert!(told, "{form}: the log says why");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_form_hold_back_no_other_drop() {
    for (records, form, change) in other_forms() {
        for one in ["META", "PART#00002", "PART#00003"] {
            let (world, _) = left_in_flight(records, |item| {
                item.insert("schema".to_owned(), AttributeValue::N(SCHEMA.to_string()));
                if item["sk"] == AttributeValue::S(one.to_owned()) {
                    item.insert("schema".to_owned(), AttributeValue::N(form.to_owned()));
                    change(item);
                }
            })
            .await;
            let other = world.drop_file("incoming/other.csv", good_file(3)).await;
            assert!(world.submit(&other).await);
            world.api.complete_all();
            let polled = world.poll_at(Timestamp::now()).await.unwrap_err();
            assert!(
                format!("{polled:#}").contains("has form"),
                "the tick fails all the same: {polled:#}"
            );
            world.collect_all(&other.id).await;
            assert_eq!(
                world.ended(&other.id).await.status.state,
                DropState::Completed,
                "{form} {one}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_drop_and_of_a_part_says_its_form() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(3)).await;
    assert!(world.submit(&dropped).await);
    let form = AttributeValue::N(SCHEMA.to_string());
    let mut seen = 0;
    for item in world.all_items().await {
        let sk = item["sk"].as_s().unwrap();
        if sk == "META" || sk.starts_with("PART#") {
            assert_eq!(item.get("schema"), Some(&form), "{sk}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_another_release_scheduled_is_done() {
    for form in [FORM_1, FORM_2, FORM_3] {
        let world = InProcess::start().await;
        for item in records(form).into_iter().filter(is_sweep) {
            world.put_item(item).await;
        }
        assert!(world.all_items().await.iter().any(is_sweep));
        world.poll_at(Timestamp::now()).await.unwrap();
        assert!(!world.all_items().await.iter().any(is_sweep));
    }
}
