//! A drop whose results are put together from work files of 5 MiB and more, while each request of
//! its publication meets each fault. What comes before is as for any other drop, and `every` has it.

use crate::case::{DropUnderFaults, SETTINGS, assert_kept, came_out, every, run, sample};
use moondrop_shared::source::DropId;
use moondrop_tests::crash::{CrashHarness, Published};
use std::time::{Duration, Instant};

/// How many cases are run unless `MOONDROP_CRASH_CASES` says otherwise. An odd number meets every
/// fault.
const SAMPLE: usize = 7;
/// Of as many as that says a fifth is run: each case takes as long as five of another drop's.
const SHARE: usize = 5;
/// The jobs are done at once.
const JOB_TIMES: [Duration; 2] = [Duration::ZERO; 2];

/// Three parts, each with a row of more than 5 MiB, and one that is rejected.
fn source() -> String {
    let mut file = "ref_id,type,content\n0,video,x\n".to_owned();
    for number in 1..8 {
        let long =
            if number % 3 == 1 { "lorem ipsum ".repeat(460_000) } else { "short".to_owned() };
        file.push_str(&format!("{number},text,{long}\n"));
    }
    file
}

async fn process(
    stage: &CrashHarness,
    name: &str,
    expected: Option<&Published>,
    arm: impl FnOnce(),
) -> (DropId, Vec<String>) {
    let drop = DropUnderFaults::of(&source(), stage, name, expected).await;
    let id = drop.dropped.id.clone();
    stage.plan.arm(&[]);
    stage.process("submit").await.submit(&drop.dropped.message).await;
    // All parts but the last are collected: what is left publishes.
    stage.collect_but_last(&id).await;
    arm();
    (id, drop.ended().await)
}

#[test]
fn whatever_fault_a_request_of_its_publication_meets_a_large_drop_is_published_once() {
    let begun = Instant::now();
    let (expected, requests) = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let stage = CrashHarness::start(&SETTINGS, Duration::ZERO).await;
        let (id, broken) = Box::pin(process(&stage, "drop", None, || stage.plan.arm(&[]))).await;
        assert!(broken.is_empty(), "{broken:?} {:#?}", stage.plan.steps());
        let steps = stage.plan.steps();
        let sent = |method| {
            let is_it = |step: &&String| step.contains(method) && step.contains("results.csv");
            steps.iter().filter(is_it).count()
        };
        assert_eq!((sent("POST"), sent("PUT")), (2, 3), "an upload of three pieces: {steps:#?}");
        let requests = stage.plan.count();
        (came_out(&stage, &id, &source()).await, requests)
    });
    let all = every(requests);
    let ran = run(
        sample(&all, SAMPLE, SHARE),
        &expected,
        JOB_TIMES,
        async |stage, name, case, expected| {
            let arm = || stage.plan.arm(&[*case]);
            Box::pin(process(stage, name, Some(expected), arm)).await.1
        },
    );
    println!("{requests} requests, {} of {} cases, {:.0?}", ran.len(), all.len(), begun.elapsed());
    assert_kept(&ran);
}
