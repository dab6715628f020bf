//! `moondrop cancel`, as a user meets it.

use crate::BINARY;
use crate::inbox::{Up, wait_for};
use moondrop_tests::files::{find_all, find_one};
use moondrop_tests::processes::command;
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Jobs that end by being cancelled.
const LONG: [&str; 4] = ["--job-time", "1h", "--poll-every", "50ms"];

/// The id of the one drop of a state folder, once its rows are with the API.
fn evaluating(state: &Path) -> String {
    wait_for("the drop's rows are with the API", || {
        let path = find_all(&state.join("s3/results/results"), "status.json").pop()?;
        let status: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let is = status["state"] == "evaluating";
        is.then(|| status["drop"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_drop_whose_run_was_killed_is_cancelled_and_its_results_are_left() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("posts.csv"), good_file(7)).unwrap();
    let mut run = Command::new(BINARY);
    let run = run.args(["run", "posts.csv", "--rows-per-job", "3"]).args(LONG);
    let run = run.current_dir(dir.path()).stderr(Stdio::null()).stdout(Stdio::null());
    let mut run = run.spawn().unwrap();
    let id = evaluating(&dir.path().join(".moondrop"));
    run.kill().unwrap();
    run.wait().unwrap();

    let args = [&["cancel", &id, "--rows-per-job", "3"][..], &LONG].concat();
    let (code, out, err) = command(BINARY, dir.path(), &args).unwrap();
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("0 of 7 rows were evaluated"), "{out}");
    let results = find_one(&dir.path().join("moondrop-results"), "results.csv");
    let rows = assert_all_rows(&good_file(7), &results);
    assert!(rows.iter().all(|row| row["error"] == "failed: cancelled on request"), "{rows:?}");

    let (code, out, _) = command(BINARY, dir.path(), &args).unwrap();
    assert!(code == 0 && out.contains("has ended as completed with errors"), "{out}");
}

#[test]
fn a_drop_of_a_running_stack_is_cancelled_by_it() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &["--quiet-for", "300ms", "--job-time", "1h"]);
    std::fs::write(dir.path().join(".moondrop/inbox/posts.csv"), good_file(3)).unwrap();
    let id = evaluating(&dir.path().join(".moondrop"));
    let (code, out, err) = command(BINARY, dir.path(), &["cancel", &id]).unwrap();
    assert!(code == 0 && out.contains("is being cancelled"), "{out}{err}");
    let rows = assert_all_rows(&good_file(3), &up.results("posts"));
    assert!(rows.iter().all(|row| row["error"] == "failed: cancelled on request"), "{rows:?}");
}

#[test]
fn an_id_that_is_no_drops_gives_exit_code_2() {
    let dir = TempDir::new().unwrap();
    for (id, why) in [
        ("posts.csv", "32 digits"),
        ("0123456789abcdef0123456789abcdef", "no drop of this state folder"),
    ] {
        let (code, _, err) = command(BINARY, dir.path(), &["cancel", id]).unwrap();
        assert!(code == 2 && err.contains(why), "{err}");
    }
}
