//! A drop of three parts with rows of every outcome, how it comes out undisturbed, and cases of it
//! run side by side.

use crate::asked;
use moondrop_shared::drop::DropState;
use moondrop_shared::source::DropId;
use moondrop_tests::crash::{CrashHarness, Published};
use moondrop_tests::env::Dropped;
use moondrop_tests::fault_proxy::Fault;
use moondrop_tests::rows::assert_all_rows;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The parts of the drop.
pub(crate) const PARTS: usize = 3;
/// How far a check is, is saved all the time.
pub(crate) const SETTINGS: [(&str, &str); 3] =
    [("ROWS_PER_JOB", "3"), ("UPLOADS_AT_ONCE", "2"), ("SAVE_CHECK_EVERY_SECONDS", "0")];
/// Harnesses used side by side: much of a case is waiting.
const STAGES: usize = 6;
/// Cases on one harness: its servers remember every one of them.
const CASES_A_STAGE: usize = 20;
/// How long a job takes: on every other harness it is done at once; on the rest, its states are
/// seen one after the other.
pub(crate) const JOB_TIMES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(120)];

pub(crate) const SOURCE: &str = "note,ref_id,type,content\n\
    a,r1,text,buy cheap pills\n\
    b,r2,video,x\n\
    c,r3,text,\"two\nlines, \"\"quoted\"\"\"\n\
    d,r4,text,[[error]]\n\
    e,r1,text,again\n\
    f,r6,image_url,https://example.com/a.png\n\
    g,r7,text,last but one\n\
    h,r8,text,last\n";

/// A drop that is processed, and what was seen of it that should not be.
pub(crate) struct DropUnderFaults<'a> {
    stage: &'a CrashHarness,
    expected: Option<&'a Published>,
    pub(crate) dropped: Dropped,
    half_visible: Mutex<Vec<String>>,
}

impl<'a> DropUnderFaults<'a> {
    /// Drops the file.
    pub(crate) async fn dropped(
        stage: &'a CrashHarness,
        name: &str,
        expected: Option<&'a Published>,
    ) -> DropUnderFaults<'a> {
        Self::of(SOURCE, stage, name, expected).await
    }

    /// Drops this file.
    pub(crate) async fn of(
        source: &str,
        stage: &'a CrashHarness,
        name: &str,
        expected: Option<&'a Published>,
    ) -> DropUnderFaults<'a> {
        let dropped = stage.drop_file(&format!("incoming/{name}.csv"), source).await;
        DropUnderFaults { stage, expected, dropped, half_visible: Mutex::new(Vec::new()) }
    }

    /// Looks whether results can be seen that are not the whole of them.
    pub(crate) async fn look(&self) {
        let Some(expected) = self.expected else { return };
        if let Some(record) = self.stage.ledger.drop_record(&self.dropped.id).await.unwrap()
            && let Some(results) = self.stage.read(record.results_key().as_str()).await
            && results != expected.results
        {
            self.half_visible
                .lock()
                .unwrap()
                .push("results.csv was seen with other bytes".to_owned());
        }
    }

    /// Drives the drop to its end and sweeps; gives every promise that was broken on the way or is
    /// now.
    pub(crate) async fn ended(self) -> Vec<String> {
        let ticks = self.stage.drive(&self.dropped.id, async || self.look().await).await;
        self.stage.sweep().await;
        let mut broken = self.half_visible.into_inner().unwrap();
        if ticks.is_none() {
            broken.push("the drop did not come to its end".to_owned());
        }
        if let Some(expected) = self.expected {
            broken.extend(self.stage.broken_promises(&self.dropped.id, PARTS, expected).await);
        }
        broken
    }
}

/// One whole way of a drop: delivered, delivered again to two at once, driven to its end, swept.
pub(crate) async fn process(
    stage: &CrashHarness,
    name: &str,
    expected: Option<&Published>,
) -> (DropId, Vec<String>) {
    let drop = DropUnderFaults::dropped(stage, name, expected).await;
    stage.process("submit").await.submit(&drop.dropped.message).await;
    drop.look().await;
    stage.redeliver_at_once(&drop.dropped.message).await;
    drop.look().await;
    (drop.dropped.id.clone(), drop.ended().await)
}

/// How a drop comes out when nothing goes wrong, and how many requests that takes.
pub(crate) async fn undisturbed() -> (Published, u64) {
    let stage = CrashHarness::start(&SETTINGS, Duration::ZERO).await;
    stage.plan.arm(&[]);
    let (id, broken) = process(&stage, "drop", None).await;
    assert!(broken.is_empty(), "{broken:?} {:#?}", stage.plan.steps());
    (came_out(&stage, &id, SOURCE).await, stage.plan.count())
}

/// How a drop of a file with rejected rows came out, when nothing went wrong.
pub(crate) async fn came_out(stage: &CrashHarness, id: &DropId, source: &str) -> Published {
    let record = stage.record(id).await;
    let results = stage.read(record.results_key().as_str()).await.unwrap();
    assert_all_rows(source.as_bytes(), &results);
    let rejected = stage.read(record.rejected_key().as_str()).await.unwrap();
    let published = Published { state: DropState::CompletedWithErrors, results, rejected };
    let broken = stage.broken_promises(id, PARTS, &published).await;
    assert!(broken.is_empty(), "{broken:#?}");
    published
}

/// How a case went.
pub(crate) struct Ran<Case> {
    /// The case.
    pub(crate) case: Case,
    /// The promises it broke.
    pub(crate) broken: Vec<String>,
    /// What was sent, and what that met.
    pub(crate) steps: Vec<String>,
    /// The faults that were met, each with its step.
    pub(crate) met: Vec<(String, Fault)>,
}

/// Every request with every fault.
pub(crate) fn every(requests: u64) -> Vec<(u64, Fault)> {
    (1..=requests).flat_map(|at| Fault::ALL.map(|fault| (at, fault))).collect()
}

/// Of as many of the cases as `MOONDROP_CRASH_CASES` asks for one in `share`, or else `default`, spread
/// evenly over requests and faults.
pub(crate) fn sample(all: &[(u64, Fault)], default: usize, share: usize) -> Vec<(u64, Fault)> {
    let wanted = match std::env::var("MOONDROP_CRASH_CASES").as_deref() {
        Ok("all") => all.len(),
        _ => asked("MOONDROP_CRASH_CASES").map_or(default, |asked: usize| asked / share),
    };
    let wanted = wanted.min(all.len());
    (0..wanted).map(|i| all[i * all.len() / wanted]).collect()
}

/// Fails the test if a case broke a promise, and shows the first.
pub(crate) fn assert_kept(ran: &[Ran<(u64, Fault)>]) {
    let failed: Vec<_> = ran.iter().filter(|ran| !ran.broken.is_empty()).collect();
    if let Some(first) = failed.first() {
        let (case, broken, steps) = (first.case, &first.broken, &first.steps);
        panic!(
            "{} of {} cases broke a promise; the first: {case:?}\n{broken:#?}\n{steps:#?}",
            failed.len(),
            ran.len()
        );
    }
}

/// Runs cases side by side, on harnesses whose jobs take these times in turn: `perform` arms the plan, processes a drop of this name, and gives the
/// promises it broke.
pub(crate) fn run<Case, Perform>(
    cases: Vec<Case>,
    expected: &Published,
    job_times: [Duration; 2],
    perform: Perform,
) -> Vec<Ran<Case>>
where
    Case: Clone + Send + Sync + 'static,
    Perform: AsyncFn(&CrashHarness, &str, &Case, &Published) -> Vec<String> + Copy + Send + 'static,
{
    let (cases, ran) = (Arc::new(cases), Arc::new(Mutex::new(Vec::new())));
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..STAGES)
        .map(|worker| {
            let (cases, ran, next, expected) =
                (Arc::clone(&cases), Arc::clone(&ran), Arc::clone(&next), expected.clone());
            let job_time = job_times[worker % 2];
            std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut stage = CrashHarness::start(&SETTINGS, job_time).await;
                    let mut used = 0;
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        let Some(case) = cases.get(number) else { break };
                        if used == CASES_A_STAGE {
                            (stage, used) = (CrashHarness::start(&SETTINGS, job_time).await, 0);
                        }
                        used += 1;
                        let broken =
                            perform(&stage, &format!("case-{number}"), case, &expected).await;
                        if !broken.is_empty() {
                            // What it left open would disturb the next case.
                            used = CASES_A_STAGE;
                        }
                        let (steps, met) = (stage.plan.steps(), stage.plan.met());
                        ran.lock().unwrap().push(Ran { case: case.clone(), broken, steps, met });
                    }
                });
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    std::mem::take(&mut *ran.lock().unwrap())
}
