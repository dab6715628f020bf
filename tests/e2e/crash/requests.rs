//! What collecting one part of a drop asks for: as much whatever the number of its parts.

use crate::case::{SETTINGS, SOURCE};
use moondrop_tests::crash::CrashHarness;
use serde_json::json;
use std::time::Duration;

/// What collect sends for one part, before the last one is collected.
async fn steps_of_a_part(file: &str) -> Vec<String> {
    let stage = CrashHarness::start(&SETTINGS, Duration::ZERO).await;
    let dropped = stage.drop_file("incoming/posts.csv", file).await;
    stage.process("submit").await.submit(&dropped.message).await;
    stage.process("poll").await.poll(jiff::Timestamp::now()).await.unwrap().unwrap();
    let event = json!({"detail": {"drop": dropped.id, "part": 2}});
    let collect = async || stage.process("collect").await.collect(&event).await.unwrap().unwrap();
    stage.plan.arm(&[]);
    collect().await;
    let steps = stage.plan.steps();
    stage.plan.arm(&[]);
    collect().await;
    assert!(stage.plan.count() <= 3, "announced again: {:#?}", stage.plan.steps());
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_collected_without_reading_any_other() {
    let more = (0..60).map(|i| format!("m,m{i},text,more\n")).collect::<String>();
    let (few, many) =
        (steps_of_a_part(SOURCE).await, steps_of_a_part(&format!("{SOURCE}{more}")).await);
    assert_eq!(few.len(), many.len(), "{few:#?} {many:#?}");
    for step in many {
        assert!(!step.contains(".Query") && !step.contains("status.json"), "{step}");
    }
}
