//! The events as a user's rule receives them: the whole detail, so that no field changes unseen.

use crate::BINARY;
use moondrop_shared::drop::DropState;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::InProcess;
use moondrop_tests::processes::Deployment;
use moondrop_tests::rows::good_file;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The events of one kind about a drop. One said twice has to be the same word for word.
fn events(all: &[Value], kind: &str, drop: &str) -> Vec<Value> {
    let of =
        all.iter().filter(|event| event["detail-type"] == kind && event["detail"]["drop"] == drop);
    let details: BTreeSet<String> = of.clone().map(|event| event["detail"].to_string()).collect();
    assert!(of.clone().all(|event| event["source"] == "moondrop"));
    details.iter().map(|detail| serde_json::from_str(detail).unwrap()).collect()
}

/// The only event of one kind about a drop.
fn event(all: &[Value], kind: &str, drop: &str) -> Value {
    let found = events(all, kind, drop);
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    found.into_iter().next().unwrap()
}

fn source(key: &str, file: &[u8], seen: &Value) -> Value {
    let mut source =
        json!({"bucket": "drops", "key": key, "size": file.len(), "etag": seen["etag"]});
    if let Some(sequencer) = seen.get("sequencer") {
        source["sequencer"] = sequencer.clone();
    }
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_is_announced_when_it_is_accepted_and_when_it_is_done() {
    let world = Deployment::start(BINARY).await;
    let key = "incoming/hate/mixed.csv";
    let mut file = good_file(3);
    file.extend_from_slice(b"x,video,of no known type\n");
    let ended = world.process(key, file.clone()).await;
    ended.assert_state(DropState::CompletedWithErrors);
    let status = serde_json::to_value(&ended.status).unwrap();
    let all = world.aws().events();
    let folder = ended.status.files.status.as_str().strip_suffix("status.json").unwrap();
    assert!(folder.starts_with("results/hate/mixed/"), "{folder}");

    let accepted = event(&all, "Drop Accepted", &ended.status.drop);
    let expected = json!({
        "schema": "moondrop.event/2",
        "drop": ended.status.drop,
        "source": source(key, &file, &accepted["source"]),
        "dropped_at": status["dropped_at"],
        "policy": "hate",
        "state": "uploading",
        "rows": {"total": 4, "evaluated": 0, "failed": 0, "rejected": 1, "missing": 0},
        "files": {
            "bucket": "results",
            "folder": accepted["files"]["folder"],
            "rejected": format!("{folder}rejected.csv"),
            "status": format!("{folder}status.json"),
        },
    });
    assert_eq!(accepted, expected);

    let completed = event(&all, "Drop Completed", &ended.status.drop);
    let mut expected = expected;
    expected["state"] = json!("completed_with_errors");
    expected["rows"]["evaluated"] = json!(3);
    expected["files"]["results"] = json!(format!("{folder}results.csv"));
    expected["policy_versions"] = json!(["hate-v1"]);
    expected["ended_at"] = status["times"]["ended_at"].clone();
    assert!(expected["ended_at"].is_string());
    assert_eq!(completed, expected);
    assert!(
        world.read(completed["files"]["results"].as_str().unwrap()).await.is_some(),
        "the key is the object's"
    );
    assert!(folder.starts_with(completed["files"]["folder"].as_str().unwrap()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_drop_is_announced_with_its_problem() {
    let world = Deployment::start(BINARY).await;
    let (key, file) = ("incoming/bad.csv", b"ref_id,type,content\n1,text,\"MARKER\n");
    let ended = world.process(key, file).await;
    let all = world.aws().events();
    let rejected = event(&all, "Drop Rejected", &ended.status.drop);
    let folder = ended.status.files.status.as_str().strip_suffix("status.json").unwrap();
    let expected = json!({
        "schema": "moondrop.event/2",
        "drop": ended.status.drop,
        "source": source(key, file, &rejected["source"]),
        "dropped_at": rejected["dropped_at"],
        "ended_at": rejected["ended_at"],
        "policy": "sandbox",
        "state": "rejected",
        "problem": {
            "code": "E_QUOTE",
            "message": ended.status.problem.as_ref().unwrap().message,
            "next_step": "Fix the file and drop it again. Nothing was sent.",
        },
        "rows": {"total": null, "evaluated": 0, "failed": 0, "rejected": 0, "missing": 0},
        "files": {
            "bucket": "results",
            "folder": rejected["files"]["folder"],
            "rejected": format!("{folder}rejected.csv"),
            "status": format!("{folder}status.json"),
        },
    });
    assert_eq!(rejected, expected);
    for kind in ["Drop Accepted", "Drop Completed"] {
        assert!(events(&all, kind, &ended.status.drop).is_empty(), "{kind}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_that_failed_is_announced_with_its_file_and_its_rows() {
    let world = InProcess::start().await;
    let file = good_file(6);
    let refusal = || Answer::refusal(400, 3, "scripted");
    world.api.next(Call::Create, [Answer::faithful(), Answer::faithful(), refusal(), refusal()]);
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    assert!(!world.submit(&dropped).await);
    world.age_drop(&dropped.id, "invalid_since", 11).await;
    assert!(world.submit(&dropped).await);
    let parts = world.parts(&dropped.id).await;
    let failed = parts.iter().find(|part| part.job_id.is_some()).unwrap();
    let refused = parts.iter().find(|part| part.job_id.is_none()).unwrap();
    world.api.set_state(failed.job_id.as_deref().unwrap(), "ERROR");
    world.poll().await;

    let told = events(&world.aws().events(), "Job Failed", dropped.id.as_str());
    assert_eq!(told.len(), 2, "{told:?}");
    for (part, state, reason) in [
        (failed, json!("ERROR"), "the job failed"),
        (refused, Value::Null, "the API refuses to create a job: 400 scripted"),
    ] {
        let event = told.iter().find(|event| event["part"] == part.plan.number).unwrap();
        let mut expected = json!({
            "schema": "moondrop.event/2",
            "drop": dropped.id,
            "source": source("incoming/posts.csv", &file, &event["source"]),
            "policy": "policy",
            "part": part.plan.number,
            "first_line": part.plan.first_line,
            "rows": 2,
            "job": part.job_id,
            "lost": false,
            "reason": reason,
        });
        if !state.is_null() {
            expected["job_state"] = state;
        }
        assert_eq!(*event, expected);
    }
}
