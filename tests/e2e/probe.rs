//! `moondrop probe`, against the sandbox: each assumption as it stands, and broken by one quirk.

use crate::BINARY;
use moondrop_local::batch_api::{Sandbox, SandboxConfig};
use moondrop_tests::fake_batch_api::{Answer, Call, FakeBatchApi, SIGNATURE};
use moondrop_tests::files::find_all_ending;
use moondrop_tests::processes::command;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

const QUICK: [&str; 4] = ["--job-time", "600ms", "--poll-every", "50ms"];
const KEY: &str = "a-key-that-nobody-prints";
/// A piece of each row's content, and what gives a pre-signed URL away.
const NEVER_PRINTED: [&str; 14] = [
    "bakery",
    "giveaway",
    "idiot",
    "not today",
    "second",
    "spaces",
    "おはよう",
    "1+1",
    "w3c_home",
    "moondrop-probe.invalid",
    "X-Amz",
    "/upload/",
    "/download/",
    KEY,
];

/// What breaks each assumption. The order of rows cannot be wrong: it is seen or not.
const QUIRKS: [(&str, &str); 28] = [
    ("no-upload-url", "create-url"),
    ("no-name", "job-name"),
    ("no-created-at", "created-at"),
    ("cancel-ignored", "cancel-initialized"),
    ("unknown-id-fails", "unknown-id"),
    ("unknown-id-fails-beside", "unknown-id-beside"),
    ("upload-elsewhere", "upload-host"),
    ("signed-content-type", "upload-put"),
    ("starts-late", "job-starts"),
    ("unknown-states", "known-states"),
    ("no-policy-version", "policy-version"),
    ("fails-whole-job", "job-completes"),
    ("same-results-url", "fresh-results-url"),
    ("results-elsewhere", "results-host"),
    ("other-bytes", "same-results-twice"),
    ("loose-quotes", "strict-csv"),
    ("no-type-column", "columns"),
    ("row-twice", "one-row-per-ref-id"),
    ("same-order", "row-order"),
    ("no-content", "content-returned"),
    ("other-content", "content-equal"),
    ("labels-as-text", "labels-json"),
    ("other-name-key", "label-name"),
    ("other-score-key", "label-score"),
    ("scores-in-percent", "score-range"),
    ("blank-labels", "blank-labels"),
    ("error-on-success", "error-on-success"),
    ("no-error-on-failure", "error-on-failure"),
];

/// Runs a probe of the embedded sandbox.
fn probe(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&str> = ["probe"].into_iter().chain(args.iter().copied()).chain(QUICK).collect();
    let (code, out, err) = command(BINARY, dir, &args).unwrap();
    assert_nothing_is_printed(&out, &err);
    (code, out, err)
}

fn assert_nothing_is_printed(out: &str, err: &str) {
    for secret in NEVER_PRINTED {
        assert!(!out.contains(secret) && !err.contains(secret), "{secret} is printed: {out}{err}");
    }
}

/// The verdicts of a report as JSON.
fn verdicts(out: &str) -> BTreeMap<String, String> {
    let report: Value = serde_json::from_str(out).unwrap();
    let all = report["assumptions"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter().map(|one| (text(&one["id"]), text(&one["verdict"]))).collect()
}

#[test]
fn the_sandbox_as_it_is_meets_every_assumption() {
    let dir = TempDir::new().unwrap();
    let (code, out, err) = probe(dir.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    for (_, id) in QUIRKS {
        let line = out.lines().find(|line| line.contains(&format!("  {id} "))).unwrap();
        assert!(line.starts_with("met  "), "{line}");
    }
    assert!(out.contains("28 met, 0 not met, 0 not seen: the sandbox"), "{out}");
    // A second time it only reports, in the other form.
    let (code, json, err) = probe(dir.path(), &["--json"]);
    assert!(code == 0 && err.contains("probed before"), "{json}{err}");
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["form"], "moondrop.probe/1");
    assert_eq!((&report["complete"], &report["counts"]["met"]), (&true.into(), &28.into()));
    assert!(verdicts(&json).values().all(|verdict| verdict == "met"));
    let uploads =
        || find_all_ending(&dir.path().join(".moondrop-probe/sandbox/input"), ".csv").len();
    assert_eq!(uploads(), 1);
    let (code, ..) = probe(dir.path(), &["--again"]);
    assert_eq!((code, uploads()), (0, 2), "the rows are sent again");
}

#[test]
fn each_quirk_of_the_sandbox_breaks_its_own_assumption_alone() {
    let all = verdicts(&probe(TempDir::new().unwrap().path(), &["--json"]).1);
    let broken: Vec<&str> = QUIRKS.iter().map(|(_, id)| *id).collect();
    assert!(all.keys().all(|id| broken.contains(&id.as_str())), "each assumption has a quirk");
    // Most of the time of a probe is waiting.
    let rest = Mutex::new(QUIRKS.to_vec());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((quirk, id)) = rest.lock().unwrap().pop() else { return };
                    assert_breaks(quirk, id);
                }
            });
        }
    });
}

fn assert_breaks(quirk: &str, id: &str) {
    let dir = TempDir::new().unwrap();
    let limits = ["--starts-within", "2s", "--cancelled-within", "2s"];
    let args = [&["--misbehave", quirk, "--json"][..], &limits].concat();
    let (code, out, err) = probe(dir.path(), &args);
    let verdicts = verdicts(&out);
    let not_met: Vec<&String> =
        verdicts.iter().filter(|(_, verdict)| *verdict == "not_met").map(|(id, _)| id).collect();
    if id == "row-order" {
        assert_eq!((code, verdicts[id].as_str(), not_met.len()), (0, "not_seen", 0), "{out}{err}");
        return;
    }
    assert_eq!((code, not_met), (3, vec![&id.to_owned()]), "{quirk}: {out}{err}");
    // The report for people says what follows of it.
    let (code, out, err) = probe(dir.path(), &args[..2]);
    assert_eq!(code, 3, "{out}{err}");
    let mut lines = out.lines().skip_while(|line| !line.starts_with("not met"));
    assert!(lines.next().unwrap().contains(&format!("not met   {id} ")), "{out}");
    assert!(lines.next().unwrap().contains("Moondrop assumes: "), "{out}");
    assert!(lines.next().unwrap().contains("If it is not so: "), "{out}");
    assert!(!lines.any(|line| line.starts_with("not met")), "{out}");
}

/// A sandbox of its own, with the key that is never printed.
async fn sandbox(dir: &Path, job_time: Duration) -> Sandbox {
    let mut config = SandboxConfig::new(dir.join("api"), SecretString::from(KEY));
    config.job_time = job_time;
    Sandbox::start(config).await.unwrap()
}

/// A probe of this sandbox, which is started and not waited for.
fn start(dir: &Path, api: &Sandbox, args: &[&str]) -> Child {
    start_at(dir, &api.url(), args)
}

fn start_at(dir: &Path, url: &str, args: &[&str]) -> Child {
    let mut probe = Command::new(BINARY);
    probe.args(["probe", "--api-url", url, "--api-key-env", "KEY", "--poll-every", "50ms"]);
    probe.args(args).env("KEY", KEY).current_dir(dir);
    probe.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(probe: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        tokio::task::block_in_place(|| probe.wait_with_output().unwrap());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(stdout), text(stderr));
    assert_nothing_is_printed(&out, &err);
    (status.code(), out, err)
}

const P1: [&str; 2] = ["--policy", "p1"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_waits_the_same_command_follows_the_same_job() {
    let dir = TempDir::new().unwrap();
    let api = sandbox(dir.path(), Duration::from_secs(3)).await;
    let mut killed = start(dir.path(), &api, &P1);
    let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("10 rows are uploaded")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let state = std::fs::read_to_string(dir.path().join(".moondrop-probe/probe.json")).unwrap();
    assert!(!state.contains("X-Amz") && !state.contains(KEY), "{state}");
    let (code, out, err) = end(start(dir.path(), &api, &P1));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("28 met, 0 not met, 0 not seen: http://127.0.0.1:"), "{out}");
    let jobs: Vec<_> = api.jobs().iter().map(|job| (job.uploads, job.fetches)).collect();
    assert_eq!(jobs, [(1, 2), (0, 0)], "one job has the rows, and one was cancelled");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_answer_was_lost_is_not_repeated_if_the_job_has_started() {
    let dir = TempDir::new().unwrap();
    let api = sandbox(dir.path(), Duration::from_secs(2)).await;
    let mut killed = start(dir.path(), &api, &P1);
    let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("the job is QUEUED")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    // As it stands from the moment before the upload on.
    let file = dir.path().join(".moondrop-probe/probe.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    state["job"]["uploaded_at"] = Value::Null;
    state["job"]["upload_url"] = format!("{}/upload/nowhere", api.url()).into();
    std::fs::write(&file, state.to_string()).unwrap();
    let (code, out, err) = end(start(dir.path(), &api, &P1));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("met       upload-put "), "{out}");
    let uploads: Vec<_> = api.jobs().iter().map(|job| job.uploads).collect();
    assert_eq!(uploads, [1, 0]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_rows_are_evaluated_once() {
    let dir = TempDir::new().unwrap();
    let api = sandbox(dir.path(), Duration::from_millis(500)).await;
    let mut random = fastrand::Rng::with_seed(20_261_129);
    for _ in 0..12 {
        let mut probe = start(dir.path(), &api, &P1);
        // The moment is the point of the test; there is nothing to wait for.
        tokio::time::sleep(Duration::from_millis(random.u64(10..250))).await;
        probe.kill().unwrap();
        probe.wait().unwrap();
    }
    let (code, out, err) = end(start(dir.path(), &api, &P1));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("0 not met"), "{out}");
    let with_rows = api.jobs().iter().filter(|job| job.uploads > 0).count();
    assert_eq!(with_rows, 1, "{:?}", api.jobs());
    api.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_by_ctrl_c_it_prints_what_it_has_learnt() {
    let dir = TempDir::new().unwrap();
    let api = sandbox(dir.path(), Duration::from_secs(60)).await;
    let mut probe = start(dir.path(), &api, &P1);
    let mut lines = BufReader::new(probe.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("the job is QUEUED")));
    let interrupted = Command::new("kill").args(["-INT", &probe.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let (code, out, _) = end(probe);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("met       unknown-id ") && out.contains("not seen  strict-csv"), "{out}");
    assert!(out.contains("The same command continues it"), "{out}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_refuses_and_what_cannot_be_done_is_said() {
    let dir = TempDir::new().unwrap();
    let api = sandbox(dir.path(), Duration::from_millis(300)).await;
    let url = api.url();
    let (code, out, err) = end(start(dir.path(), &api, &["--policy", "invalid-policy"]));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("refuses to create a job: INVALID_POLICY"), "{err}");
    let mut wrong = Command::new(BINARY);
    wrong.args(["probe", "--api-url", &url, "--api-key-env", "KEY", "--policy", "p1", "--again"]);
    let wrong = wrong.env("KEY", "another").current_dir(dir.path()).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("does not take the API key"));
    // The folder belongs to the other policy now.
    let (code, _, err) = end(start(dir.path(), &api, &["--policy", "p2"]));
    assert!(code == Some(2) && err.contains("--again"), "{err}");
    let (code, _, err) = end(start(dir.path(), &api, &[]));
    assert!(code == Some(2) && err.contains("--policy"), "{err}");
    assert_eq!(api.jobs(), [], "no job comes of any of it");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_allowed_afterwards_lets_the_same_probe_continue() {
    let dir = TempDir::new().unwrap();
    let (code, out, err) = probe(dir.path(), &["--misbehave", "results-elsewhere"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("results.invalid, which is not allowed"), "{out}");
    assert!(out.contains("The same command continues it"), "{out}");
    let (code, out, err) = probe(dir.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("28 met"), "{out}");
    let inputs = find_all_ending(&dir.path().join(".moondrop-probe/sandbox/input"), ".csv");
    assert_eq!(inputs.len(), 1, "the rows were sent once");
}

#[test]
fn a_sandbox_of_its_own_misbehaves_on_request() {
    let dir = TempDir::new().unwrap();
    let mut sandbox = Command::new(BINARY);
    sandbox.args(["sandbox", "--api-key-env", "KEY", "--misbehave", "no-name"]);
    sandbox.args(["--job-time", "300ms"]).env("KEY", KEY).current_dir(dir.path());
    let mut sandbox = sandbox.stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(sandbox.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let mut probe = Command::new(BINARY);
    probe.args(["probe", "--json", "--api-key-env", "KEY", "--policy", "p1", "--api-url"]);
    let done = probe.arg(url.trim()).env("KEY", KEY).current_dir(dir.path()).output().unwrap();
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(3), "{out}");
    assert_eq!(verdicts(&out)["job-name"], "not_met");
}

/// An API that completes every job that has rows.
async fn fake() -> FakeBatchApi {
    let api = FakeBatchApi::start(KEY).await;
    let completing = api.clone();
    tokio::spawn(async move {
        loop {
            completing.complete_all();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    api
}

fn probe_of(api: &FakeBatchApi, dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    end(start_at(dir, api.url(), &[&P1[..], args].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_transient_is_tried_again_and_is_no_finding() {
    let (dir, api) = (TempDir::new().unwrap(), fake().await);
    // The job, the other one before and after its cancel, and then an unknown one.
    let mut queries = vec![Answer::faithful(); 3];
    queries.extend(vec![Answer::status(503); 4]);
    api.next(Call::Get, queries);
    api.next(Call::Cancel, [Answer::lost(), Answer::refusal(400, 9, "it is cancelled")]);
    let uploads =
        [Answer::status(503), Answer::status(429), Answer::break_after(9), Answer::lost()];
    api.next(Call::Upload, uploads);
    let (_, out, err) = probe_of(&api, dir.path(), &["--json"]);
    let verdicts = verdicts(&out);
    for id in ["cancel-initialized", "unknown-id", "upload-put", "strict-csv"] {
        assert_eq!(verdicts[id], "met", "{id}: {out}{err}");
    }
    assert_eq!(api.count(Call::Upload), 4);
    assert_eq!(api.fed()[0].uploads.len(), 1, "the one without an answer is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_printed_before_the_error_that_ends_the_probe() {
    let (dir, api) = (TempDir::new().unwrap(), fake().await);
    api.always(Call::Upload, Some(Answer::status(503)));
    let (code, out, err) = probe_of(&api, dir.path(), &[]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("met       unknown-id ") && out.contains("not seen  upload-put"), "{out}");
    assert!(err.contains("the upload is answered with 503, 5 times"), "{err}");
    let state = std::fs::read_to_string(dir.path().join(".moondrop-probe/probe.json")).unwrap();
    assert!(state.contains(SIGNATURE), "the upload URL is still needed");
    api.always(Call::Upload, None);
    api.always(Call::Download, Some(Answer::status(403)));
    let (code, out, err) = probe_of(&api, dir.path(), &["--json"]);
    assert!(code == Some(1) && err.contains("the pre-signed URL was refused"), "{out}{err}");
    assert_eq!(verdicts(&out)["job-completes"], "met", "{out}");
    api.always(Call::Download, None);
    let (_, out, err) = probe_of(&api, dir.path(), &["--json"]);
    assert_eq!(verdicts(&out)["strict-csv"], "met", "{out}{err}");
    assert_eq!(api.jobs().len(), 2, "no job is created again");
}

/// What is found of the cancel if it takes no effect at once, and the job is in this state later.
async fn found_of_a_cancel(later: &'static str) -> String {
    let (dir, api) = (TempDir::new().unwrap(), FakeBatchApi::start(KEY).await);
    api.next(Call::Cancel, [Answer::body("{}")]);
    let mut probe = start_at(dir.path(), api.url(), &["--policy", "p1", "--json"]);
    let mut lines = BufReader::new(probe.stderr.take().unwrap()).lines();
    let is_uploaded = || lines.any(|line| line.unwrap().contains("10 rows are uploaded"));
    assert!(tokio::task::block_in_place(is_uploaded));
    api.set_state("job-2", later);
    tokio::time::sleep(Duration::from_secs(1)).await;
    api.complete_all();
    verdicts(&end(probe).1)["cancel-initialized"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_takes_effect_late_is_seen_while_the_other_job_is_followed() {
    let other = tokio::spawn(found_of_a_cancel("INITIALIZED"));
    assert_eq!(tokio::spawn(found_of_a_cancel("CANCELLED")).await.unwrap(), "met");
    assert_eq!(other.await.unwrap(), "not_seen");
}
