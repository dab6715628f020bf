use super::{Bench, HOUR, INPUT, KEY, answer};
use crate::batch_api::{JobState, Sandbox, SandboxConfig};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

fn rows(output: &[u8]) -> Vec<[String; 5]> {
    let mut reader = csv::Reader::from_reader(output);
    assert_eq!(reader.headers().unwrap(), vec!["ref_id", "type", "labels", "content", "error"]);
    reader.deserialize().map(Result::unwrap).collect()
}

#[tokio::test]
async fn passes_through_every_state_in_turn() {
    let bench = Bench::with(|config| config.job_time = 6 * HOUR).await;
    let id = bench.upload(INPUT).await;
    let mut updated = String::new();
    for state in [
        JobState::Queued,
        JobState::Preprocessing,
        JobState::Preprocessed,
        JobState::Submitted,
        JobState::Postprocessing,
        JobState::Postprocessed,
        JobState::Completed,
    ] {
        // Only the last step can lag behind the clock: it waits for the output.
        let record = match state {
            JobState::Completed => bench.reach(&id, state).await,
            _ => bench.record(&id).await,
        };
        assert_eq!(record["state"], state.name());
        assert_eq!(record.get("outputFileUrl").is_some(), state == JobState::Completed);
        let now = record["updatedAt"].as_str().unwrap().to_owned();
        assert!(now > updated, "{now} after {updated}");
        updated = now;
        bench.sandbox.advance_clock(HOUR);
    }
    assert_eq!(bench.record(&id).await["policyVersionId"], "p-v1");
}

#[tokio::test]
async fn the_clock_takes_a_job_to_its_end() {
    let bench = Bench::with(|config| {
        config.job_time = 24 * HOUR;
        config.clock_speed = 500_000.0;
    })
    .await;
    let id = bench.upload(INPUT).await;
    bench.reach(&id, JobState::Completed).await;
}

#[tokio::test]
async fn the_output_holds_each_row_once_and_not_in_order() {
    let bench = Bench::new().await;
    let mut input = "ref_id,type,content\n".to_owned();
    for n in 0..2_500 {
        writeln!(input, "r{n},text,\"note {n}, \"\"bomb\"\"\"").unwrap();
    }
    let id = bench.upload(&input).await;
    let output = bench.output(&id).await;
    let found = rows(&output);
    let order: Vec<String> = (0..2_500).map(|n| format!("r{n}")).collect();
    assert_ne!(found.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), order);
    let by_id: BTreeMap<_, _> = found.iter().map(|row| (row[0].as_str(), row)).collect();
    assert_eq!((found.len(), by_id.len()), (2_500, 2_500));
    for (n, id) in order.iter().enumerate() {
        assert_eq!(by_id[id.as_str()][3], format!("note {n}, \"bomb\""));
    }
    assert_eq!(bench.sandbox.jobs()[0].rows, Some(2_500));

    let again = bench.upload(&input).await;
    assert_eq!(bench.output(&again).await, output, "the same input gives the same bytes");
}

#[tokio::test]
async fn a_bad_input_is_an_error_with_a_reason() {
    let bench = Bench::new().await;
    for input in
        ["ref_id,type,content\n", "a,b\n1,2\n", "ref_id,type,content\n1,text,x\n1,text,y\n"]
    {
        let id = bench.upload(input).await;
        let record = bench.reach(&id, JobState::Error).await;
        assert_eq!(record["error"]["errorCode"], "BATCH_JOB_ERROR_INVALID_INPUT_FILE");
        assert!(record["error"]["errorMessage"].is_string());
        assert!(record.get("outputFileUrl").is_none());
    }
}

#[tokio::test]
async fn a_second_upload_counts_until_the_job_leaves_the_queue() {
    let bench = Bench::with(|config| config.job_time = 6 * HOUR).await;
    let (id, url) = bench.create().await;
    let upload = async |content: &str| {
        let input = format!("ref_id,type,content\n1,text,{content}\n");
        assert_eq!(bench.put(&url, input).await.status(), 200);
    };
    upload("first").await;
    upload("second").await;
    bench.sandbox.advance_clock(HOUR);
    upload("third").await;
    bench.sandbox.advance_clock(2 * HOUR);
    upload("fourth").await;
    bench.sandbox.advance_clock(3 * HOUR);
    let output = bench.output(&id).await;
    assert_eq!(rows(&output)[0][3], "second");
    assert_eq!(bench.sandbox.jobs()[0].uploads, 4);
}

#[tokio::test]
async fn a_cancelled_job_is_not_evaluated() {
    let bench = Bench::with(|config| config.job_time = 6 * HOUR).await;
    let id = bench.upload(INPUT).await;
    let cancel = bench.post(&format!("/v1/batch-jobs/{id}/cancel")).body("{}");
    assert_eq!(answer(cancel).await.0, 200);
    bench.sandbox.advance_clock(7 * HOUR);
    assert_eq!(bench.record(&id).await["state"], JobState::Cancelled.name());
    assert_eq!(bench.sandbox.jobs()[0].rows, None);
}

#[tokio::test]
async fn a_restart_keeps_jobs_and_signed_urls() {
    let bench = Bench::with(|config| config.job_time = 6 * HOUR).await;
    let done = bench.upload(INPUT).await;
    bench.sandbox.advance_clock(7 * HOUR);
    let output = bench.reach(&done, JobState::Completed).await["outputFileUrl"].clone();
    let (waiting, url) = bench.create().await;
    let in_flight = bench.upload(INPUT).await;
    bench.sandbox.advance_clock(HOUR * 5 / 2);
    let before = bench.record(&in_flight).await;
    assert_eq!(before["state"], JobState::Preprocessed.name());
    let old = bench.sandbox.url();
    let jobs = bench.sandbox.jobs();

    // As if killed: nobody tells it to finish anything.
    let Bench { dir, sandbox, http } = bench;
    std::mem::forget(sandbox);
    let mut config = SandboxConfig::new(dir.path(), KEY);
    config.job_time = Duration::from_secs(1);
    let sandbox = Sandbox::start(config).await.unwrap();
    let bench = Bench { dir, sandbox, http };

    assert_ne!(bench.sandbox.url(), old);
    assert_eq!(bench.sandbox.jobs().len(), jobs.len());
    let after = bench.record(&in_flight).await;
    assert_eq!((&after["state"], &after["updatedAt"]), (&before["state"], &before["updatedAt"]));
    let moved = output.as_str().unwrap().replace(&old, &bench.sandbox.url());
    assert_eq!(bench.http.get(moved).send().await.unwrap().status(), 200);
    let moved = url.replace(&old, &bench.sandbox.url());
    assert_eq!(bench.put(&moved, INPUT).await.status(), 200);
    bench.sandbox.advance_clock(7 * HOUR);
    for id in [&waiting, &in_flight] {
        assert_eq!(rows(&bench.output(id).await).len(), 3);
    }
}

#[tokio::test]
async fn asks_for_its_port_again_and_makes_do_with_another() {
    let bench = Bench::new().await;
    let port = bench.sandbox.port();
    let config = |dir: &std::path::Path| {
        let mut config = SandboxConfig::new(dir, KEY);
        config.port = port;
        config
    };
    let other = tempfile::tempdir().unwrap();
    let beside = Sandbox::start(config(other.path())).await.unwrap();
    assert_ne!(beside.port(), port);
    bench.create().await;
    bench.sandbox.stop().await;
    let again = Sandbox::start(config(bench.dir.path())).await.unwrap();
    assert_eq!(again.port(), port);
    assert_eq!(again.jobs().len(), 1);
}

#[tokio::test]
async fn a_dropped_sandbox_lets_go_of_its_port() {
    let bench = Bench::new().await;
    bench.create().await;
    let url = bench.sandbox.url();
    drop(bench.sandbox);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while bench.http.get(&url).send().await.is_ok() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn hundreds_of_jobs_at_once() {
    let bench = Bench::new().await;
    let uploads = (0..400).map(|_| bench.upload(INPUT));
    let ids = futures_util::StreamExt::collect::<Vec<_>>(
        futures_util::StreamExt::buffer_unordered(futures_util::stream::iter(uploads), 16),
    )
    .await;
    let query: String = ids.iter().map(|id| format!("&batchJobIds={id}")).collect();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let (status, body) = answer(bench.get(&format!("?{}", &query[1..]))).await;
        assert_eq!(status, 200);
        let jobs = body["batchJobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 400);
        if jobs.iter().all(|job| job["state"] == JobState::Completed.name()) {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
