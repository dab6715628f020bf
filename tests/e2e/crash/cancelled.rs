//! A drop that is cancelled while each request on its way meets each fault.

use crate::case::{
    DropUnderFaults, PARTS, SETTINGS, SOURCE, assert_kept, every, run, sample, undisturbed,
};
use moondrop_local::batch_api::JobState;
use moondrop_shared::drop::DropState;
use moondrop_shared::source::DropId;
use moondrop_tests::crash::CrashHarness;
use moondrop_tests::env::STACK;
use moondrop_tests::rows::read;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How many cases are run unless `MOONDROP_CRASH_CASES` says otherwise. An odd number meets every
/// fault.
const SAMPLE: usize = 15;
/// Longer than a case: the jobs end by being cancelled.
const JOB_TIME: Duration = Duration::from_secs(600);

/// One whole way: dropped, ticked, cancelled, both again at once, driven to its end, swept.
async fn process(stage: &CrashHarness, name: &str) -> Vec<String> {
    let drop = DropUnderFaults::dropped(stage, name, None).await;
    let (id, message) = (drop.dropped.id.clone(), drop.dropped.message.clone());
    stage.process("submit").await.submit(&message).await;
    let _ = stage.process("poll").await.poll(jiff::Timestamp::now()).await;
    let request = stage.request_cancel(&id).await.message;
    stage.process("submit").await.submit(&request).await;
    // The queue delivers both until they are done.
    loop {
        let (a, b) = (stage.process("submit A").await, stage.process("submit B").await);
        tokio::join!(a.submit(&message), b.submit(&request));
        let record = stage.ledger.drop_record(&id).await.unwrap();
        if record.is_some_and(|record| record.cancelled_at.is_some() || record.state.is_final()) {
            break;
        }
    }
    let broken = drop.ended().await;
    broken.into_iter().chain(broken_promises(stage, &id).await).collect()
}

/// Holds the promises against what there is, for a cancelled drop at its end.
async fn broken_promises(stage: &CrashHarness, id: &DropId) -> Vec<String> {
    let mut broken = Vec::new();
    let mut promise = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    let record = stage.record(id).await;
    let code = record.problem.as_ref().map(|problem| problem.code.as_str());
    promise(record.closed_at.is_some(), "the drop is not closed".to_owned());
    promise(code == Some("C_CANCELLED"), format!("the drop ended with {code:?}"));
    let results = stage.published(&record).await;
    match record.state {
        DropState::Failed => promise(results.is_none(), "results of an unplanned drop".to_owned()),
        DropState::CompletedWithErrors => {
            let (source, results) = (read(SOURCE.as_bytes()), read(&results.unwrap_or_default()));
            let ids = |rows: &[moondrop_tests::rows::Row]| -> Vec<String> {
                rows.iter().map(|row| row["ref_id"].clone()).collect()
            };
            promise(ids(&source) == ids(&results), format!("rows {:?}", ids(&results)));
            let told = results
                .iter()
                .all(|row| row["labels"].starts_with('[') || !row["error"].is_empty());
            promise(told, format!("rows without an outcome: {results:?}"));
        }
        state => promise(false, format!("the drop ended as {state:?}")),
    }
    let own = format!("moondrop:{STACK}:{id}:");
    let mut with_rows = BTreeSet::new();
    for job in stage.sandbox.jobs().into_iter().filter(|job| job.name.starts_with(&own)) {
        let over = matches!(job.state, JobState::Cancelled | JobState::Completed);
        promise(over, format!("a job of {} is left {:?}", job.name, job.state));
        let first = job.uploads == 0 || with_rows.insert(job.name.clone());
        promise(first, format!("two jobs of {} have its rows", job.name));
    }
    let completed = stage.events("Drop Completed", id);
    let completed: BTreeSet<String> = completed.iter().map(Value::to_string).collect();
    promise(completed.len() == 1, format!("Drop Completed: {completed:?}"));
    let open = stage.ledger.open_parts().await.unwrap().records.len()
        + stage.ledger.open_drops().await.unwrap().records.len();
    promise(open == 0, format!("{open} records are left open"));
    let parts = stage.parts(id).await.len();
    promise(parts == PARTS || record.state == DropState::Failed, format!("{parts} parts"));
    broken
}

#[test]
fn whatever_fault_any_one_request_meets_a_cancelled_drop_comes_to_its_end() {
    let begun = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (expected, requests) = runtime.block_on(async {
        let (expected, _) = undisturbed().await;
        let stage = CrashHarness::start(&SETTINGS, JOB_TIME).await;
        stage.plan.arm(&[]);
        let broken = Box::pin(process(&stage, "cancelled")).await;
        assert!(broken.is_empty(), "{broken:#?} {:#?}", stage.plan.steps());
        (expected, stage.plan.count())
    });
    let all = every(requests);
    let ran =
        run(sample(&all, SAMPLE, 1), &expected, [JOB_TIME; 2], async |stage, name, case, _| {
            stage.plan.arm(&[*case]);
            Box::pin(process(stage, name)).await
        });
    println!("{requests} requests, {} of {} cases, {:.0?}", ran.len(), all.len(), begun.elapsed());
    // What overlaps makes a few requests more or less.
    let met = ran.iter().filter(|ran| !ran.met.is_empty()).count();
    assert!(met * 100 >= ran.len() * 95, "{met} of {} cases met their fault", ran.len());
    assert_kept(&ran);
}
