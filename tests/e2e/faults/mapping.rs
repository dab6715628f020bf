//! `_moondrop.json`: taken once, when a drop is accepted; an invalid one refuses the drop by name.

use moondrop_local::aws::DROPS;
use moondrop_shared::drop::{DropState, OnBadRows};
use moondrop_shared::problem::Code;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::InProcess;
use moondrop_tests::logs;

const FILE: &str = "id,body\nx1,a\nx2,b\nx3,c\n";
const MAPPING: &str = r#"{"columns": {"ref_id": "id", "content": "body"}, "type": "text"}"#;
const NUMBERED: &str =
    r#"{"columns": {"content": "body"}, "ref_id": "row_number", "type": "text"}"#;

/// The `ref_id`s of the results.
fn ref_ids(results: &[u8]) -> Vec<String> {
    moondrop_tests::rows::read(results).iter().map(|row| row["ref_id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_mapping_is_taken_and_its_version_kept() {
    let world = InProcess::start().await;
    world.put_object(DROPS, "incoming/_moondrop.json", "not for folders").await;
    world.put_object(DROPS, "incoming/hate/_moondrop.json", MAPPING).await;
    world.put_object(DROPS, "incoming/hate/deep/_moondrop.json", "not read").await;
    let dropped = world.drop_file("incoming/hate/deep/posts.csv", FILE).await;
    let ended = world.finish(&dropped).await;
    ended.assert_state(DropState::Completed);
    assert_eq!(ref_ids(ended.results()), ["x1", "x2", "x3"]);
    assert!(ended.results().starts_with(b"ref_id,type,labels,content,error,id,body\n"));
    let kept = world.record(&dropped.id).await.mapping.unwrap();
    let object = kept.object.unwrap();
    let now = world.source("incoming/hate/_moondrop.json").await;
    assert_eq!((object.key.as_str(), object.etag), ("incoming/hate/_moondrop.json", now.etag));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_the_three_columns_are_needed_and_nothing_is_kept() {
    let world = InProcess::start().await;
    world.put_object(DROPS, "incoming/hate/_moondrop.json", MAPPING).await;
    let dropped = world.drop_file("incoming/posts.csv", FILE).await;
    assert!(world.submit(&dropped).await);
    let record = world.record(&dropped.id).await;
    assert_eq!((record.state, record.mapping), (DropState::Rejected, None));
    assert_eq!(record.problem.unwrap().code, Code::Header);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_one_refuses_the_drop_by_name_and_field_and_the_next_is_taken() {
    let world = InProcess::start().await;
    let long = " ".repeat(20_000);
    let cases = [
        ("{\"seperator\": \"tab\"}", "there is no field `seperator`: "),
        ("{\n\"type\": \"film\"}", "`type` is none of `text`, `image_url`"),
        (
            "{\"columns\": {\"content\": \"body\",}}",
            "it is no valid JSON: trailing comma at line 1 column 32",
        ),
        ("", "it is no valid JSON: EOF while parsing a value at line 1 column 0"),
        (&long, "it is longer than 16384 bytes, which is the most"),
    ];
    for (i, (json, says)) in cases.into_iter().enumerate() {
        world.put_object(DROPS, "incoming/_moondrop.json", json).await;
        let dropped = world.drop_file(&format!("incoming/posts{i}.csv"), FILE).await;
        assert!(world.submit(&dropped).await, "again does not help");
        let ended = world.ended(&dropped.id).await;
        ended.assert_state(DropState::Rejected);
        let problem = ended.status.problem.clone().unwrap();
        assert_eq!(problem.code, Code::Mapping);
        let begins = format!("`incoming/_moondrop.json` is invalid: {says}");
        assert!(problem.message.starts_with(&begins), "{}", problem.message);
        assert!(ended.rejected().contains(",E_MAPPING,"), "{}", ended.rejected());
        assert_eq!(world.events("Drop Rejected", &dropped.id).len(), 1);
    }
    assert!(world.api.jobs().is_empty());
    world.put_object(DROPS, "incoming/_moondrop.json", MAPPING).await;
    let dropped = world.drop_file("incoming/posts.csv", FILE).await;
    world.finish(&dropped).await.assert_state(DropState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_is_accepted_keeps_its_mapping_and_is_not_asked_again() {
    let world = InProcess::start().await;
    world.put_object(DROPS, "incoming/_moondrop.json", NUMBERED).await;
    let dropped = world.drop_file("incoming/posts.csv", FILE).await;
    // Accepted, checked and planned; no job is created yet.
    world.api.always(Call::Create, Some(Answer::status(503)));
    assert!(!world.submit(&dropped).await);
    let before = world.record(&dropped.id).await.mapping;
    assert!(before.is_some());
    world.put_object(DROPS, "incoming/_moondrop.json", "{").await;
    world.api.always(Call::Create, None);
    let ended = world.finish(&dropped).await;
    ended.assert_state(DropState::Completed);
    assert_eq!(world.parts(&dropped.id).await.len(), 2, "two rows per job");
    assert_eq!(ref_ids(ended.results()), ["1", "2", "3"]);
    assert_eq!(world.record(&dropped.id).await.mapping, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_comes_after_a_drop_does_not_touch_it() {
    let world = InProcess::start().await;
    let file = "ref_id,type,content,id\n1,text,a,z\n2,text,b,y\n";
    let dropped = world.drop_file("incoming/posts.csv", file).await;
    assert!(world.submit(&dropped).await);
    world.put_object(DROPS, "incoming/_moondrop.json", NUMBERED).await;
    assert!(world.submit(&dropped).await);
    let ended = world.end(&dropped).await;
    ended.assert_state(DropState::Completed);
    assert!(ended.results().starts_with(b"ref_id,type,labels,content,error,id\n1,text,"));
    assert_eq!(world.record(&dropped.id).await.mapping, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_on_bad_rows_and_the_setting_go_before_what_else_is_said() {
    let world = InProcess::start().await;
    let strict = MAPPING.replace("\"type\"", "\"on_bad_rows\": \"reject_file\", \"type\"");
    world.put_object(DROPS, "incoming/_moondrop.json", strict).await;
    let dropped = world.drop_file("incoming/posts.csv", "id,body\n1,a\n2,\n").await;
    assert!(world.submit(&dropped).await);
    let record = world.record(&dropped.id).await;
    assert_eq!((record.state, record.on_bad_rows), (DropState::Rejected, OnBadRows::RejectFile));

    let world = InProcess::start_with(&[("FILE_MAPPING", MAPPING)]).await;
    world.put_object(DROPS, "incoming/_moondrop.json", "not read").await;
    let dropped = world.drop_file("incoming/posts.csv", FILE).await;
    assert_eq!(ref_ids(world.finish(&dropped).await.results()), ["x1", "x2", "x3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_begin_with_an_underscore_or_a_dot_are_logged_counted_and_no_drops() {
    let world = InProcess::start().await;
    let keys = [
        "incoming/ignored/_SUCCESS",
        "incoming/ignored/_temporary/0/a.csv",
        "incoming/.ignored.csv",
    ];
    for key in keys {
        let dropped = world.drop_file(key, "ref_id,type,content\n1,text,a\n").await;
        assert!(world.submit(&dropped).await);
        assert!(world.ledger.drop_record(&dropped.id).await.unwrap().is_none());
        let lines = logs::with(&format!("{key}\""));
        let lines = lines.iter().filter(|line| line.contains("the object is no drop"));
        assert_eq!(lines.count(), 1, "{key}");
    }
    let measured: serde_json::Value =
        serde_json::from_slice(&world.services.metrics.take_line()).unwrap();
    assert_eq!(measured["DropsIgnored"], keys.len());
    let mapping = world.drop_file("incoming/ignored/_moondrop.json", MAPPING).await;
    assert!(world.submit(&mapping).await);
    assert!(world.services.metrics.take_line().is_empty(), "a mapping is not counted");
    assert!(world.api.jobs().is_empty());
}
