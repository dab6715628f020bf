//! The command line, as a user meets it: exit codes, what is printed, what is left in the folders.

use crate::BINARY;
use crate::inbox::Up;
use moondrop_local::batch_api::{Sandbox, SandboxConfig};
use moondrop_tests::POSTS;
use moondrop_tests::files::{find_all, find_one};
use moondrop_tests::processes::{command, jobs_with_rows};
use moondrop_tests::rows::{assert_all_rows, good_file};
use secrecy::SecretString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const QUICK: [&str; 4] = ["--job-time", "300ms", "--poll-every", "50ms"];

/// Runs `moondrop run` in a folder, quickly.
fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&str> = ["run"].into_iter().chain(args.iter().copied()).chain(QUICK).collect();
    command(BINARY, dir, &args).unwrap()
}

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, body) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    }
    dir
}

#[test]
fn the_example_file_comes_out_row_for_row_with_a_summary_and_exit_code_0() {
    let dir = folder_with(&[]);
    let (code, out, err) = run(dir.path(), &[POSTS]);
    assert_eq!(code, 0, "{out}{err}");
    let source = std::fs::read(POSTS).unwrap();
    let results = find_one(&dir.path().join("moondrop-results/results/posts"), "results.csv");
    let rows = assert_all_rows(&source, &results);
    let rejected = rows.iter().filter(|row| row["error"].starts_with("rejected: ")).count();
    let list = find_one(&dir.path().join("moondrop-results"), "rejected.csv");
    assert!(rejected > 0 && moondrop_tests::rows::read(&list).len() == rejected);
    for word in [
        "completed with errors",
        "evaluated",
        "rejected",
        "results.csv",
        "status.json",
        "sandbox",
        "spam",
    ] {
        assert!(out.contains(word), "the summary lacks {word}: {out}");
    }
    assert!(
        err.contains("evaluating") && err.contains("rows collected"),
        "plain lines tell the progress: {err}"
    );
    assert!(
        !err.contains('\r') && !err.contains('\u{1b}'),
        "no bars where there is no terminal: {err}"
    );
}

#[test]
fn a_refused_file_gives_exit_code_3_and_the_other_file_is_processed() {
    let dir = folder_with(&[("good.csv", &good_file(3)), ("bad.csv", b"ref_id,type\n1,text\n")]);
    let (code, out, err) = run(dir.path(), &["good.csv", "bad.csv"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("E_HEADER") && out.contains("`content` is missing"), "{out}");
    assert_all_rows(&good_file(3), &find_one(&dir.path().join("moondrop-results"), "results.csv"));
}

#[test]
fn bad_rows_hold_the_file_back_where_the_option_says_so() {
    let dir = folder_with(&[("bad.csv", b"ref_id,type,content\n1,text,x\n2,video,y\n")]);
    let (code, out, _) = run(dir.path(), &["bad.csv", "--on-bad-rows", "reject-file"]);
    assert_eq!(code, 3);
    assert!(out.contains("E_ROWS") && out.contains("1 of 2 rows"), "{out}");
    assert!(find_all(&dir.path().join("moondrop-results"), "results.csv").is_empty());
}

#[test]
fn what_cannot_be_done_gives_exit_code_2_and_says_why() {
    let long = format!("{}.csv", "n".repeat(78));
    let dir = folder_with(&[
        ("a/x.csv", &good_file(1)),
        ("b/x.csv", &good_file(1)),
        (&long, &good_file(1)),
    ]);
    let cases: [(&[&str], &str); 10] = [
        (
            &["run", &long],
            "has 82 bytes, with its policy; the local S3 keeps the results of names of up to 81",
        ),
        (&["run"], "FILE"),
        (&["run", "absent.csv"], "absent.csv"),
        (&["run", "a"], "a is not a file"),
        (&["run", "a/x.csv", "b/x.csv"], "same name"),
        (&["run", "a/x.csv", "--policy", "p/q"], "slash"),
        (&["run", "a/x.csv", "--rows-per-job", "0"], "rows-per-job"),
        (&["run", "a/x.csv", "--job-time", "soon"], "2s"),
        (
            &[
                "run",
                "a/x.csv",
                "--api-url",
                "http://example.com",
                "--api-key-env",
                "K",
                "--policy",
                "p",
            ],
            "https://",
        ),
        (
            &[
                "run",
                "a/x.csv",
                "--api-url",
                "https://example.com",
                "--api-key-env",
                "ABSENT_KEY",
                "--policy",
                "p",
            ],
            "ABSENT_KEY",
        ),
    ];
    for (args, words) in cases {
        let (code, out, err) = command(BINARY, dir.path(), args).unwrap();
        assert_eq!(code, 2, "{args:?}: {out}{err}");
        assert!(err.contains(words), "{args:?}: {err}");
    }
    assert!(!dir.path().join("moondrop-results").exists());
}

#[test]
fn a_finished_file_is_a_new_drop_if_bytes_or_policy_changed_or_with_again() {
    let dir = folder_with(&[("posts.csv", &good_file(3))]);
    let drops = |path: &Path| find_all(&path.join(".moondrop/s3/results"), "results.csv").len();
    let state = dir.path();
    let (code, ..) = run(state, &["posts.csv"]);
    assert_eq!((code, drops(state)), (0, 1));
    let (code, out, _) = run(state, &["posts.csv"]);
    assert_eq!((code, drops(state)), (0, 1));
    assert!(out.contains("finished before"), "{out}");
    let (code, ..) = run(state, &["posts.csv", "--policy", "other"]);
    assert_eq!((code, drops(state)), (0, 2));
    let (code, out, _) = run(state, &["posts.csv", "--again"]);
    assert_eq!((code, drops(state)), (0, 3), "{out}");
    std::fs::write(state.join("posts.csv"), good_file(4)).unwrap();
    let (code, ..) = run(state, &["posts.csv"]);
    assert_eq!((code, drops(state)), (0, 4));
}

#[test]
fn two_runs_do_not_share_a_state_folder() {
    let dir = folder_with(&[("posts.csv", &good_file(3))]);
    let up = Up::start(dir.path(), &[]);
    let (code, _, err) = run(dir.path(), &["posts.csv"]);
    drop(up);
    assert_eq!(code, 1);
    assert!(err.contains(".moondrop"), "{err}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_by_ctrl_c_the_same_command_goes_on_and_feeds_no_part_twice() {
    let dir = folder_with(&[("posts.csv", &good_file(60))]);
    let args =
        ["run", "posts.csv", "--rows-per-job", "20", "--job-time", "3s", "--poll-every", "50ms"];
    let mut run = Command::new(BINARY);
    let mut run = run
        .args(args)
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("evaluating")), "the jobs are fed");
    let interrupted = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert!(said.iter().any(|line| line.contains("the same command goes on")), "{said:?}");
    let (code, out, err) = command(BINARY, dir.path(), &args).unwrap();
    assert_eq!(code, 0, "{out}{err}");
    assert_all_rows(&good_file(60), &find_one(&dir.path().join("moondrop-results"), "results.csv"));
    let fed = jobs_with_rows(&dir.path().join(".moondrop")).await;
    assert!(fed.len() == 3 && fed.values().all(|&jobs| jobs == 1), "{fed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_batch_api_is_used_with_its_key_and_a_wrong_key_is_named() {
    let dir = folder_with(&[("posts.csv", &good_file(5))]);
    let mut config =
        SandboxConfig::new(dir.path().join("api"), SecretString::from("the-right-key"));
    config.job_time = Duration::from_millis(200);
    let api = Sandbox::start(config).await.unwrap();
    let start = |key: &'static str| {
        let mut command = Command::new(BINARY);
        command.args([
            "run",
            "posts.csv",
            "--policy",
            "p1",
            "--api-key-env",
            "KEY",
            "--poll-every",
            "50ms",
            "--api-url",
        ]);
        command
            .arg(api.url())
            .env("KEY", key)
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut refused = start("a-wrong-key");
    let mut lines = BufReader::new(refused.stderr.take().unwrap()).lines();
    let told = lines.find(|line| line.as_ref().unwrap().contains("E_API_KEY")).unwrap().unwrap();
    assert!(told.contains("does not take the API key") && !told.contains("a-wrong-key"), "{told}");
    assert_eq!(refused.wait().unwrap().code(), Some(1), "it ends, since its key will not change");
    let done = tokio::task::block_in_place(|| start("the-right-key").wait_with_output().unwrap());
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_all_rows(&good_file(5), &find_one(&dir.path().join("moondrop-results"), "results.csv"));
    let jobs = api.jobs();
    assert_eq!(
        jobs.iter().map(|job| (job.policy_id.as_str(), job.uploads)).collect::<Vec<_>>(),
        [("p1", 1)]
    );
    assert!(
        !String::from_utf8_lossy(&done.stdout).contains("sandbox"),
        "no word of the sandbox where it was not used"
    );
    api.stop().await;
}

#[cfg(unix)]
#[test]
fn the_sandbox_alone_serves_functions_that_run_elsewhere_until_ctrl_c() {
    let dir = folder_with(&[("posts.csv", &good_file(5))]);
    let mut sandbox = Command::new(BINARY);
    let sandbox = sandbox
        .args(["sandbox", "--api-key-env", "KEY", "--job-time", "300ms"])
        .env("KEY", "the-key");
    let mut sandbox = sandbox.current_dir(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(sandbox.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let mut run = Command::new(BINARY);
    let run = run.args([
        "run",
        "posts.csv",
        "--policy",
        "p1",
        "--poll-every",
        "50ms",
        "--api-key-env",
        "KEY",
        "--api-url",
    ]);
    let done = run.arg(url.trim()).env("KEY", "the-key").current_dir(dir.path()).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_all_rows(&good_file(5), &find_one(&dir.path().join("moondrop-results"), "results.csv"));
    assert!(dir.path().join(".moondrop-sandbox").is_dir(), "its jobs are kept there");
    assert!(
        Command::new("kill").args(["-INT", &sandbox.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(sandbox.wait().unwrap().code(), Some(0));
}
