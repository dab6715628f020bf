//! Crash anywhere: for every request that a drop's way makes, and every fault it can meet, the drop comes to the same end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use moondrop_shared::drop::DropId;
use moondrop_shared::record::DropState;
use moondrop_tests::front::Fault;
use moondrop_tests::rows::assert_all_rows;
use moondrop_tests::stage::{Published, Stage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const PARTS: usize = 3;
const SETTINGS: [(&str, &str); 2] = [("ROWS_PER_JOB", "3"), ("UPLOADS_AT_ONCE", "2")];
/// How many cases are run unless `MOONDROP_CRASH_CASES` says otherwise. An odd number meets every fault.
const SAMPLE: usize = 41;
/// Stages used side by side: most of a case is waiting.
const STAGES: usize = 6;

/// Three parts, with rows of every outcome.
const SOURCE: &str = "note,ref_id,type,content\n\
    a,r1,text,buy cheap pills\n\
    b,r2,video,x\n\
    c,r3,text,\"two\nlines, \"\"quoted\"\"\"\n\
    d,r4,text,[[error]]\n\
    e,r1,text,again\n\
    f,r6,image_url,https://example.com/a.png\n\
    g,r7,text,last but one\n\
    h,r8,text,last\n";

/// One whole way of a drop: delivered, delivered again to two at once, driven to its end, swept; with the faults that are armed.
async fn carry(stage: &Stage, name: &str, expected: Option<&Published>) -> (DropId, Vec<String>) {
    let (event, id) = stage.put(&format!("incoming/{name}.csv"), SOURCE.as_bytes()).await;
    let half_visible = Mutex::new(Vec::new());
    let check = async || {
        let Some(expected) = expected else { return };
        let meta = stage.ledger.meta(&id).await.unwrap();
        if let Some(meta) = meta
            && let Some(results) = stage.published(&meta).await
            && results != expected.results
        {
            half_visible.lock().unwrap().push("results.csv was seen with other bytes".to_owned());
        }
    };
    stage.process("submit").await.submit(&event).await;
    check().await;
    stage.redeliver_at_once(&event).await;
    check().await;
    let ticks = stage.drive(&id, check).await;
    stage.sweep().await;
    let mut broken = half_visible.into_inner().unwrap();
    if ticks.is_none() {
        broken.push("the drop did not come to its end".to_owned());
    }
    (id, broken)
}

/// How a drop comes out when nothing goes wrong, and how many requests that takes.
async fn undisturbed() -> (Published, u64) {
    let stage = Stage::set(&SETTINGS).await;
    stage.plan.arm(&[]);
    let (id, broken) = carry(&stage, "drop", None).await;
    assert!(broken.is_empty(), "{broken:?} {:#?}", stage.plan.steps());
    let requests = stage.plan.count();
    let meta = stage.ledger.meta(&id).await.unwrap().unwrap();
    let results = stage.published(&meta).await.unwrap();
    assert_all_rows(SOURCE.as_bytes(), &results);
    let rejected = stage.read(&format!("{}/rejected.csv", meta.folder)).await.unwrap();
    let published = Published { state: DropState::CompletedWithErrors, results, rejected };
    let broken = stage.broken_promises(&id, PARTS, &published).await;
    assert!(broken.is_empty(), "{broken:#?}");
    (published, requests)
}

/// A case, the promises it broke, and its steps.
type Failed = (Vec<(u64, Fault)>, Vec<String>, Vec<String>);

async fn work(cases: &[Vec<(u64, Fault)>], expected: &Published, next: &AtomicUsize, failed: &Mutex<Vec<Failed>>) {
    let mut stage = Stage::set(&SETTINGS).await;
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let Some(case) = cases.get(number) else { break };
        stage.plan.arm(case);
        let (id, mut broken) = carry(&stage, &format!("case-{number}"), Some(expected)).await;
        let steps = stage.plan.steps();
        broken.extend(stage.broken_promises(&id, PARTS, expected).await);
        if !broken.is_empty() {
            failed.lock().unwrap().push((case.clone(), broken, steps));
            // What it left open would disturb the next case.
            stage = Stage::set(&SETTINGS).await;
        }
    }
}

/// Runs cases side by side; each is a list of requests and the faults they meet.
fn run(cases: Vec<Vec<(u64, Fault)>>, expected: Published) -> Vec<Failed> {
    let (cases, expected) = (Arc::new(cases), Arc::new(expected));
    let (next, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let workers: Vec<_> = (0..STAGES)
        .map(|_| {
            let (cases, expected, next, failed) = (cases.clone(), expected.clone(), next.clone(), failed.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(work(&cases, &expected, &next, &failed));
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    std::mem::take(&mut *failed.lock().unwrap())
}

#[test]
fn whatever_fault_any_one_request_meets_the_drop_comes_to_the_same_end() {
    let (expected, requests) = tokio::runtime::Runtime::new().unwrap().block_on(undisturbed());
    // All of them take many minutes; by default a sample is run, spread evenly over requests and faults.
    let sample = std::env::var("MOONDROP_CRASH_CASES").map_or(SAMPLE, |text| text.parse().unwrap());
    let all: Vec<(u64, Fault)> = (1..=requests).flat_map(|at| Fault::ALL.map(|fault| (at, fault))).collect();
    let cases: Vec<Vec<(u64, Fault)>> =
        (0..sample.min(all.len())).map(|i| vec![all[i * all.len() / sample.min(all.len())]]).collect();
    let ran = cases.len();
    let failed = run(cases, expected);
    let mut by_fault: BTreeMap<Fault, usize> = BTreeMap::new();
    for (case, ..) in &failed {
        *by_fault.entry(case[0].1).or_default() += 1;
    }
    println!("{requests} requests, {ran} cases, {} failed: {by_fault:?}", failed.len());
    if let Some((case, broken, steps)) = failed.first() {
        panic!("{} of {ran} cases broke a promise; the first: {case:?}\n{broken:#?}\n{steps:#?}", failed.len());
    }
}
