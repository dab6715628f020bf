//! Several faults at once, while submits, polls and collects overlap in an order that a seed draws.

use crate::asked;
use crate::case::{DropUnderFaults, JOB_TIMES, PARTS, run, undisturbed};
use fastrand::Rng;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use moondrop_tests::crash::{CrashHarness, Published};
use moondrop_tests::env::Dropped;
use moondrop_tests::fault_proxy::Fault;
use serde_json::json;
use std::time::Instant;

/// How many schedules are run unless `MOONDROP_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 24;
/// Faults are drawn among this many first requests: a way without faults makes about 160.
const REACH: u64 = 240;

#[derive(Debug, Clone, Copy)]
enum Act {
    /// The announcement is delivered.
    Submit,
    /// A tick, by a clock that is this many minutes on.
    Poll(i64),
    /// A part's end is announced, whether it is true or not.
    Collect(u32),
}

impl Act {
    fn drawn(rng: &mut Rng) -> Act {
        match rng.u8(0..3) {
            0 => Act::Submit,
            1 => Act::Poll(rng.i64(0..30)),
            _ => Act::Collect(rng.u32(1..=PARTS as u32)),
        }
    }

    async fn done(self, stage: &CrashHarness, dropped: &Dropped) {
        let process = stage.process(match self {
            Act::Submit => "submit",
            Act::Poll(_) => "poll",
            Act::Collect(_) => "collect",
        });
        // What fails, or dies, is what a schedule is about: the drop's end shows whether it was
        // made good.
        match self {
            Act::Submit => process.await.submit(&dropped.message).await,
            Act::Poll(minutes) => {
                let _ =
                    process.await.poll(Timestamp::now() + SignedDuration::from_mins(minutes)).await;
            }
            Act::Collect(part) => {
                let _ = process
                    .await
                    .collect(&json!({"detail": {"drop": dropped.id, "part": part}}))
                    .await;
            }
        }
    }
}

async fn perform(stage: &CrashHarness, name: &str, seed: u64, expected: &Published) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let faults: Vec<_> =
        (0..rng.usize(2..=6)).map(|_| (rng.u64(1..=REACH), Fault::ALL[rng.usize(0..8)])).collect();
    stage.plan.arm(&faults);
    stage.plan.note(format!("seed {seed}: {faults:?}"));
    let drop = DropUnderFaults::dropped(stage, name, Some(expected)).await;
    for _ in 0..rng.usize(3..=8) {
        let acts: Vec<Act> = (0..rng.usize(1..=3)).map(|_| Act::drawn(&mut rng)).collect();
        stage.plan.note(format!("at once: {acts:?}"));
        join_all(acts.iter().map(|act| Box::pin(act.done(stage, &drop.dropped)))).await;
        drop.look().await;
    }
    // The queue delivers until a submit has taken the drop into the ledger; from there on it is
    // driven to its end.
    loop {
        stage.plan.note("the announcement is delivered again".to_owned());
        stage.redeliver_at_once(&drop.dropped.message).await;
        if stage.ledger.drop_record(&drop.dropped.id).await.unwrap().is_some() {
            return drop.ended().await;
        }
    }
}

#[test]
fn whatever_faults_overlapping_functions_meet_the_drop_comes_to_the_same_end() {
    let begun = Instant::now();
    let (expected, _) = tokio::runtime::Runtime::new().unwrap().block_on(undisturbed());
    let seeds: Vec<u64> = match asked("MOONDROP_SEED") {
        Some(seed) => vec![seed],
        None => (0..asked("MOONDROP_SCHEDULES").unwrap_or(SCHEDULES)).collect(),
    };
    let ran = run(seeds, &expected, JOB_TIMES, async |stage, name, seed, expected| {
        perform(stage, name, *seed, expected).await
    });
    let met: usize = ran.iter().map(|ran| ran.met.len()).sum();
    println!("{} schedules, {met} faults met, {:.0?}", ran.len(), begun.elapsed());
    let failed: Vec<_> = ran.iter().filter(|ran| !ran.broken.is_empty()).collect();
    if let Some(first) = failed.first() {
        let seeds: Vec<u64> = failed.iter().map(|ran| ran.case).collect();
        let (seed, broken, steps) = (first.case, &first.broken, &first.steps);
        panic!("seeds {seeds:?} broke a promise; MOONDROP_SEED={seed}:\n{broken:#?}\n{steps:#?}");
    }
}
