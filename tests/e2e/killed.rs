//! `moondrop run`, killed again and again, ends with the same bytes and one fed job a part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use moondrop_tests::rows::assert_all_rows;
use moondrop_tests::world::{command, fed_jobs, find_one};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_moondrop-under-test");
const KILLS: u32 = 12;
const PARTS: usize = 6;

/// A file of six parts with some bad rows.
fn source() -> Vec<u8> {
    let mut file = b"lang,ref_id,type,content\n".to_vec();
    for i in 0..600 {
        let kind = if i % 97 == 5 { "video" } else { "text" };
        file.extend_from_slice(format!("en,r{},{kind},\"post {i}\nbuy cheap pills\"\n", i % 590).as_bytes());
    }
    file
}

fn run_args(state: &str) -> [&str; 9] {
    ["run", "posts.csv", "--rows-per-job", "100", "--job-time", "700ms", "--poll-every", "50ms", state]
}

/// What is left of a run: its results, and how often each part was fed.
async fn look(dir: &Path) -> (Vec<u8>, BTreeMap<String, u32>) {
    let fed = fed_jobs(&dir.join(".moondrop")).await;
    (find_one(&dir.join("moondrop-results"), "results.csv"), fed)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_a_dozen_times_at_random_moments_a_run_ends_with_the_same_bytes_and_one_started_job_a_part() {
    let (undisturbed, killed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for dir in [&undisturbed, &killed] {
        std::fs::write(dir.path().join("posts.csv"), source()).unwrap();
    }
    let args = run_args("--state=.moondrop");
    let (code, out, err) = command(BINARY, undisturbed.path(), &args).unwrap();
    assert_eq!(code, 0, "{out}{err}");
    let (expected, fed) = look(undisturbed.path()).await;
    assert_eq!(fed.len(), PARTS);
    assert_all_rows(&source(), &expected);

    let mut random = fastrand::Rng::with_seed(20_261_123);
    for kill in 0..KILLS {
        let mut run = Command::new(BINARY);
        let run = run.args(args).current_dir(killed.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = run.spawn().unwrap();
        // The moment is the point of the test; there is nothing to wait for.
        tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
        run.kill().unwrap();
        let ended = run.wait().unwrap();
        assert!(ended.code().is_none_or(|code| code == 0), "kill {kill}: the run failed by itself: {ended}");
    }
    let (code, out, err) = command(BINARY, killed.path(), &args).unwrap();
    assert_eq!(code, 0, "{out}{err}");
    let (results, fed) = look(killed.path()).await;
    assert!(results == expected, "the same bytes");
    assert_eq!(fed.len(), PARTS, "each part was fed");
    assert!(fed.values().all(|&jobs| jobs == 1), "no part was fed to two jobs: {fed:?}");
}
