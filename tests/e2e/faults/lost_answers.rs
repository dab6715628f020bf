//! The ledger's answer to a write is lost, and the AWS client sends the write again: what was done
//! counts as done, once.

use moondrop_shared::part::PartState;
use moondrop_tests::crash::CrashHarness;
use moondrop_tests::env::Dropped;
use moondrop_tests::fault_proxy::Fault;
use moondrop_tests::rows::good_file;
use serde_json::{Value, json};
use std::time::Duration;

/// Runs `act` again and again, each time with the answer to another of its writes lost; gives each
/// write, and what was measured. `act` says when its writes begin.
async fn with_each_lost_answer(
    act: impl AsyncFn(&CrashHarness, &dyn Fn(&CrashHarness)) -> Value,
) -> Vec<(String, Value)> {
    let stage = || {
        CrashHarness::start(
            &[("ROWS_PER_JOB", "4"), ("UPLOADS_AT_ONCE", "1")],
            Duration::from_secs(3_600),
        )
    };
    let whole = stage().await;
    act(&whole, &|stage| stage.plan.arm(&[])).await;
    let steps = whole.plan.steps();
    let writes = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.contains("UpdateItem"))
        .map(|(i, _)| i as u64 + 1);
    let mut seen = Vec::new();
    for number in writes {
        let stage = stage().await;
        let measured = act(&stage, &|stage| stage.plan.arm(&[(number, Fault::LoseAnswer)])).await;
        seen.extend(stage.plan.met().into_iter().map(|(step, _)| (step, measured.clone())));
    }
    seen
}

fn count(measured: &Value, metric: &str) -> u64 {
    measured[metric].as_u64().unwrap_or(0)
}

async fn dropped(stage: &CrashHarness) -> Dropped {
    stage.drop_file("incoming/posts.csv", good_file(4)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_recording_is_not_answered_is_counted_once_and_not_cancelled() {
    let all = with_each_lost_answer(async |stage, arm| {
        let dropped = dropped(stage).await;
        let submit = stage.process("submit").await;
        arm(stage);
        submit.submit(&dropped.message).await;
        let parts = stage.parts(&dropped.id).await;
        assert_eq!(
            parts.iter().map(|part| part.state).collect::<Vec<_>>(),
            [PartState::Uploaded],
            "{:?}",
            stage.plan.steps()
        );
        assert_eq!(
            stage.sandbox.jobs().len(),
            1,
            "no job is cancelled or made twice: {:?}",
            stage.plan.steps()
        );
        submit.measured()
    })
    .await;
    assert!(all.len() >= 4, "{all:?}");
    for (step, measured) in all {
        assert_eq!(
            (count(&measured, "JobsCreated"), count(&measured, "DropsAccepted")),
            (1, 1),
            "{step}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_and_of_a_drop_is_counted_once() {
    let all = with_each_lost_answer(async |stage, arm| {
        let dropped = dropped(stage).await;
        stage.process("submit").await.submit(&dropped.message).await;
        let job = stage.parts(&dropped.id).await.remove(0).job_id.unwrap();
        stage.cancel_job(&job).await;
        let poll = stage.process("poll").await;
        arm(stage);
        poll.poll(jiff::Timestamp::now()).await.unwrap().unwrap();
        poll.measured()
    })
    .await;
    assert!(all.len() >= 2, "{all:?}");
    for (step, measured) in all {
        assert_eq!(count(&measured, "JobsFailed"), 1, "{step}");
    }
    let all = with_each_lost_answer(async |stage, arm| {
        let dropped = dropped(stage).await;
        stage.process("submit").await.submit(&dropped.message).await;
        let job = stage.parts(&dropped.id).await.remove(0).job_id.unwrap();
        stage.cancel_job(&job).await;
        stage.process("poll").await.poll(jiff::Timestamp::now()).await.unwrap().unwrap();
        let collect = stage.process("collect").await;
        arm(stage);
        collect
            .collect(&json!({"detail": {"drop": dropped.id, "part": 1}}))
            .await
            .unwrap()
            .unwrap();
        assert!(stage.record(&dropped.id).await.closed_at.is_some());
        collect.measured()
    })
    .await;
    assert!(all.len() >= 3, "{all:?}");
    for (step, measured) in all {
        assert_eq!(
            (count(&measured, "DropsFailed"), count(&measured, "RowsFailed")),
            (1, 4),
            "{step}"
        );
    }
}
