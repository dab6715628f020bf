//! `moondrop run`, killed again and again, ends with the same bytes and one fed job a part.

use crate::{ALONE, BINARY};
use moondrop_tests::files::find_one;
use moondrop_tests::processes::{command, jobs_with_rows};
use moondrop_tests::rows::assert_all_rows;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const KILLS: usize = 12;
const PARTS: usize = 6;

/// A file of six parts with some bad rows.
fn source() -> Vec<u8> {
    let mut file = b"lang,ref_id,type,content\n".to_vec();
    for i in 0..600 {
        let kind = if i % 97 == 5 { "video" } else { "text" };
        file.extend_from_slice(
            format!("en,r{},{kind},\"post {i}\nbuy cheap pills\"\n", i % 590).as_bytes(),
        );
    }
    file
}

fn run_args(file: &str) -> Vec<String> {
    ["run", file, "--rows-per-job", "100", "--job-time", "500ms", "--poll-every", "50ms"]
        .map(str::to_owned)
        .to_vec()
}

/// Runs the command and kills it at a moment of the way; what it last said if it was still at work
/// then.
async fn run_and_kill(dir: &Path, args: &[String], moment: Duration) -> Option<String> {
    let said = dir.join("stderr");
    let mut run = Command::new(BINARY);
    let run =
        run.args(args).current_dir(dir).stdout(Stdio::null()).stderr(File::create(&said).unwrap());
    let mut run = run.spawn().unwrap();
    // The moment is the point of the test; there is nothing to wait for.
    tokio::time::sleep(moment).await;
    let ended = run.try_wait().unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    let said = std::fs::read_to_string(said).unwrap();
    assert!(ended.is_none_or(|ended| ended.success()), "a run failed by itself: {said}");
    ended.is_none().then(|| said.lines().last().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_a_dozen_times_a_run_ends_with_the_same_bytes_and_one_job_per_part() {
    let _alone = ALONE.lock().await;
    let (undisturbed, killed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = |number: usize| format!("posts-{number}.csv");
    std::fs::write(undisturbed.path().join(file(0)), source()).unwrap();
    let args = run_args(&file(0));
    let began = Instant::now();
    let (code, out, err) =
        command(BINARY, undisturbed.path(), &args.iter().map(String::as_str).collect::<Vec<_>>())
            .unwrap();
    assert_eq!(code, 0, "{out}{err}");
    let whole_way = began.elapsed();
    let expected = find_one(&undisturbed.path().join("moondrop-results"), "results.csv");
    assert_all_rows(&source(), &expected);

    // Each file is run, killed and run again until it is finished; then comes the next.
    let mut random = fastrand::Rng::with_seed(20_261_123);
    let (mut kills, mut files) = (Vec::new(), 0);
    while kills.len() < KILLS {
        std::fs::write(killed.path().join(file(files)), source()).unwrap();
        while kills.len() < KILLS {
            let moment = whole_way.mul_f64(0.05 + 0.95 * random.f64());
            match run_and_kill(killed.path(), &run_args(&file(files)), moment).await {
                Some(said) => kills.push(said),
                None => break,
            }
        }
        files += 1;
    }
    for number in 0..files {
        let args = run_args(&file(number));
        let (code, out, err) =
            command(BINARY, killed.path(), &args.iter().map(String::as_str).collect::<Vec<_>>())
                .unwrap();
        assert_eq!(code, 0, "{kills:#?}{out}{err}");
        let published = killed.path().join(format!("moondrop-results/results/posts-{number}"));
        assert!(
            find_one(&published, "results.csv") == expected,
            "the same bytes, after {kills:#?}"
        );
    }
    let fed = jobs_with_rows(&killed.path().join(".moondrop")).await;
    assert_eq!(fed.len(), PARTS * files, "each part was fed, after {kills:#?}");
    assert!(fed.values().all(|&jobs| jobs == 1), "no part was fed to two jobs: {fed:?}");
    println!("{files} files, killed at: {kills:#?}");
    let at_work = kills
        .iter()
        .filter(|said| said.contains("uploading") || said.contains("evaluating"))
        .count();
    assert!(at_work >= 3, "some kills fall into the middle of the work: {kills:#?}");
}
