//! Every request that a drop's way makes, with every fault it can meet.

use crate::case::{JOB_TIMES, Ran, assert_kept, every, process, run, sample, undisturbed};
use moondrop_tests::fault_proxy::Fault;
use std::collections::BTreeMap;
use std::time::Instant;

/// How many cases are run unless `MOONDROP_CRASH_CASES` says otherwise. An odd number meets every
/// fault.
const SAMPLE: usize = 31;

#[test]
fn whatever_fault_any_one_request_meets_the_drop_comes_to_the_same_end() {
    let begun = Instant::now();
    let (expected, requests) = tokio::runtime::Runtime::new().unwrap().block_on(undisturbed());
    let all = every(requests);
    let ran =
        run(sample(&all, SAMPLE, 1), &expected, JOB_TIMES, async |stage, name, case, expected| {
            stage.plan.arm(&[*case]);
            process(stage, name, Some(expected)).await.1
        });
    println!("{requests} requests, {} of {} cases, {:.0?}", ran.len(), all.len(), begun.elapsed());
    println!("{}", table(&ran));
    assert_kept(&ran);
}

/// Cases that held, of how many were run, by step and fault, in Markdown.
fn table(ran: &[Ran<(u64, Fault)>]) -> String {
    let mut cells: BTreeMap<&str, BTreeMap<Fault, (usize, usize)>> = BTreeMap::new();
    for ran in ran {
        for (step, fault) in &ran.met {
            let cell = cells.entry(step).or_default().entry(*fault).or_default();
            cell.0 += usize::from(ran.broken.is_empty());
            cell.1 += 1;
        }
    }
    let mut text = format!(
        "| step |{}\n|---|{}\n",
        Fault::ALL.map(|f| format!(" {f:?} |")).concat(),
        "--:|".repeat(8)
    );
    for (step, row) in cells {
        let cell =
            |fault| row.get(&fault).map_or(String::new(), |(held, ran)| format!("{held} of {ran}"));
        text += &format!(
            "| {step} |{}\n",
            Fault::ALL.map(|fault| format!(" {} |", cell(fault))).concat()
        );
    }
    text
}
