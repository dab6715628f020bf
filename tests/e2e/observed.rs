//! What can be seen of the functions from outside: their metrics and the fields of their lines of
//! log.

use crate::BINARY;
use jiff::Timestamp;
use moondrop_local::aws::RESULTS;
use moondrop_local::local_stack::LocalStackConfig;
use moondrop_shared::drop::DropState;
use moondrop_shared::object_key::ObjectKey;
use moondrop_tests::emf;
use moondrop_tests::env::DAY;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::logs;
use moondrop_tests::processes::Deployment;
use moondrop_tests::rows::good_file;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Metrics as on AWS, and parts of five rows.
fn observed(config: &mut LocalStackConfig) {
    config.settings.insert("METRICS".to_owned(), "emf".to_owned());
    config.rows_per_job = 5;
}

/// The functions' log, once it says this: an invocation's metrics are written after all else it
/// does.
async fn log_with(world: &Deployment, is: impl Fn(&str) -> bool) -> String {
    let since = Instant::now();
    loop {
        let log = world.logs();
        if is(&log) {
            return log;
        }
        let lines: Vec<&str> = log.lines().collect();
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{}",
            lines[lines.len().saturating_sub(20)..].join("\n")
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn sum(log: &str, metric: &str) -> u64 {
    emf::sums(log).get(metric).copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_add_up_to_the_drops_their_rows_and_their_jobs() {
    let world = Deployment::start_with(BINARY, observed).await;
    let good = world.drop_file("incoming/good.csv", good_file(12)).await.id;
    // Announced again and again: counted once.
    for _ in 0..5 {
        world.aws().announce("drops", "incoming/good.csv").await.unwrap();
    }
    let good = world.end_of(&good).await;
    let mut mixed = good_file(7);
    mixed.extend_from_slice(b"x,video,of no known type\n,text,of no name\n");
    let mixed = world.process("incoming/mixed.csv", mixed).await;
    let bad = world.process("incoming/bad.csv", "ref_id,type,content\n1,text,\"open\n").await;
    good.assert_state(DropState::Completed);
    mixed.assert_state(DropState::CompletedWithErrors);
    bad.assert_state(DropState::Rejected);

    let ends = ["DropsCompleted", "DropsCompletedWithErrors", "DropsRejected"];
    let log = log_with(&world, |log| ends.iter().all(|name| sum(log, name) >= 1)).await;
    for (metric, expected) in [
        ("DropsAccepted", 2),
        ("RowsAccepted", 19),
        ("RowsRejected", 2),
        ("JobsCreated", 5),
        ("DropsCompleted", 1),
        ("DropsCompletedWithErrors", 1),
        ("DropsRejected", 1),
        ("DropsFailed", 0),
        ("RowsEvaluated", 19),
        ("RowsFailed", 0),
        ("RowsMissing", 0),
        ("JobsFailed", 0),
        ("ApiThrottled", 0),
        ("ResultsUnreadable", 0),
    ] {
        assert_eq!(sum(&log, metric), expected, "{metric}");
    }
    let outcomes = [&good, &mixed].map(|ended| ended.status.rows.outcomes.evaluated);
    assert_eq!(outcomes.iter().sum::<u64>(), sum(&log, "RowsEvaluated"), "as status.json has it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tick_says_what_is_open_and_how_old_it_is() {
    let world = Deployment::start_with(BINARY, |config| {
        observed(config);
        config.api =
            moondrop_local::local_stack::Api::Sandbox { job_time: Duration::from_secs(3600) };
    })
    .await;
    let id = world.drop_file("incoming/posts.csv", good_file(12)).await.id;
    let open = |line: &emf::Line| line.values.get("OpenJobs") == Some(&3);
    let log = log_with(&world, |log| {
        emf::lines(log).iter().any(|l| open(l) && l.values["OldestJobAge"] >= 1)
    })
    .await;
    let lines = emf::lines(&log);
    let tick = lines.iter().rfind(|line| open(line)).unwrap();
    assert_eq!(
        (tick.values["Ticks"], tick.values["OpenDrops"], tick.values["JobsOver48h"]),
        (1, 1, 0)
    );
    assert!((1..300).contains(&tick.values["OldestDropAge"]), "{tick:?}");
    for (metric, unit) in
        [("OldestDropAge", "Seconds"), ("OldestJobAge", "Seconds"), ("OpenJobs", "Count")]
    {
        assert_eq!(tick.units[metric], unit);
    }
    for line in lines.iter().filter(|line| line.values.contains_key("Ticks")) {
        for metric in
            ["OpenDrops", "OldestDropAge", "JobsOver72h", "JobsFailed", "JobsLost", "DropsStalled"]
        {
            assert!(line.values.contains_key(metric), "{metric} is in every tick's line: {line:?}");
        }
    }
    world.sandbox().advance_clock(Duration::from_secs(7200));
    world.end_of(&id).await;
    let last_tick =
        |log: &str| emf::lines(log).into_iter().rfind(|line| line.values.contains_key("Ticks"));
    log_with(&world, |log| last_tick(log).is_some_and(|tick| tick.values["OpenDrops"] == 0)).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_log_have_the_request_the_drop_the_part_and_the_job_at_their_root() {
    let world = Deployment::start_with(BINARY, observed).await;
    let id = world.drop_file("incoming/posts.csv", good_file(12)).await.id;
    world.end_of(&id).await;
    let log = log_with(&world, |log| sum(log, "DropsCompleted") == 1).await;
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let with = |message: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["message"] == message).collect()
    };
    for message in ["the part is uploaded", "the part is collected"] {
        let found = with(message);
        assert_eq!(found.len(), 3, "{message}");
        for line in found {
            assert_eq!(line["drop"], id.as_str(), "{line}");
            assert!(line["part"].is_u64() && line["job"].is_string(), "{line}");
        }
    }
    assert_eq!(with("the drop has reached its end")[0]["drop"], id.as_str());
    let invoked = lines.iter().filter(|line| {
        line["target"].as_str().is_some_and(|target| target.starts_with("moondrop"))
    });
    let mut requests = BTreeSet::new();
    for line in invoked {
        let request = line["request_id"].as_str().unwrap_or_else(|| panic!("a request id: {line}"));
        requests.insert(request);
        assert!(
            line.get("span").is_none() && line.get("requestId").is_none(),
            "one name, at one place: {line}"
        );
    }
    assert!(
        requests.len() >= 4,
        "an invocation of submit, and one of collect for each part: {requests:?}"
    );
    let measured = lines.iter().find(|line| line.get("DropsCompleted").is_some()).unwrap();
    assert!(
        requests.contains(measured["request_id"].as_str().unwrap()),
        "a metric leads to its invocation's lines"
    );
    world.stop().await;
}

/// What was measured since the last time, with the functions called in this process.
fn measured(world: &InProcess) -> emf::Line {
    let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
    emf::lines(&line).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_counted_where_it_is_decided() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
    world.api.next(Call::Create, [Answer::status(429), Answer::status(429)]);
    assert!(world.submit(&dropped).await);
    assert!(world.submit(&dropped).await, "delivered twice");
    let line = measured(&world);
    assert_eq!(line.values["ApiThrottled"], 2);
    assert_eq!(
        (line.values["DropsAccepted"], line.values["RowsAccepted"], line.values["JobsCreated"]),
        (1, 6, 3)
    );

    world.api.next(Call::Get, [Answer::status(401), Answer::status(401)]);
    assert!(world.poll_at(Timestamp::now()).await.is_err());
    assert_eq!(measured(&world).values["ApiKeyRefused"], 1);

    let jobs: Vec<String> =
        world.parts(&dropped.id).await.iter().map(|part| part.job_id.clone().unwrap()).collect();
    world.api.set_state(&jobs[0], "ERROR");
    world.api.forget(&jobs[1]);
    world.api.change(&jobs[2], |job| job.results = Some(b"<html>no results</html>\n".to_vec()));
    world.api.set_state(&jobs[2], "COMPLETED");
    world.poll().await;
    world.absent_for(&dropped.id, 2, 24).await;
    world.age_part((&dropped.id, 2), "created_at", 49 * 60).await;
    world.poll().await;
    world.poll().await;
    let line = measured(&world);
    let of = |metric: &str| line.values[metric];
    assert_eq!((of("Ticks"), of("JobsFailed"), of("JobsLost"), of("OpenJobs")), (3, 1, 1, 0));

    for part in [1, 2] {
        world.collect(&dropped.id, part).await.unwrap();
    }
    world.collect(&dropped.id, 3).await.unwrap();
    assert_eq!(measured(&world).values["ResultsUnreadable"], 1);
    world.api.change(&jobs[2], |job| job.results = None);

    let key = ObjectKey::results(&world.record(&dropped.id).await.folder).to_string();
    world.put_object(RESULTS, &key, b"another's").await;
    for _ in 0..2 {
        world.collect(&dropped.id, 3).await.unwrap();
    }
    let line = measured(&world);
    assert_eq!(line.values.get("ResultsConflicts"), Some(&1));
    assert_eq!(line.values.get("DropsFailed"), None);
    // Moved away, the drop is published.
    world.delete_object(RESULTS, &key).await;
    world.collect(&dropped.id, 3).await.unwrap();
    let line = measured(&world);
    for (metric, expected) in [("RowsEvaluated", 2), ("RowsFailed", 2), ("RowsMissing", 2)] {
        assert_eq!(line.values.get(metric), Some(&expected), "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_could_not_be_sent_count_as_a_failed_job_and_once() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    let refusal = || Answer::refusal(400, 3, "no such policy");
    world.api.next(Call::Create, [Answer::faithful(), refusal(), refusal()]);
    assert!(!world.submit(&dropped).await);
    world.age_drop(&dropped.id, "invalid_since", 11).await;
    for _ in 0..2 {
        assert!(world.submit(&dropped).await);
    }
    world.poll().await;
    let line = measured(&world);
    assert_eq!(
        (line.values["JobsFailed"], line.values["JobsCreated"]),
        (1, 1),
        "the API refused one job"
    );

    let gone = world.drop_file("incoming/gone.csv", good_file(4)).await;
    assert_eq!(
        submit(&world.services, &[&gone.message], std::time::Duration::from_secs(20)).await,
        ["0"],
        "only planned"
    );
    world.drop_file("incoming/gone.csv", good_file(2)).await;
    for _ in 0..2 {
        assert!(world.submit(&gone).await);
    }
    world.collect_all(&dropped.id).await;
    world.poll().await;
    assert_eq!(measured(&world).values["JobsFailed"], 2, "the rows of two parts are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_whose_end_could_not_be_announced_counts_as_open_until_it_is() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/bad.csv", "ref_id,type,content\n1,text,\"open\n").await;
    // Nothing listens there.
    let deaf = world.with_bus_at("http://127.0.0.1:1");
    assert_eq!(submit(&deaf, &[&dropped.message], DAY).await.len(), 1);
    assert_eq!(world.record(&dropped.id).await.state, DropState::Rejected, "its end is recorded");
    world.poll_in(73 * 60).await;
    let line = measured(&world);
    assert_eq!(
        (line.values["OpenDrops"], line.values["OldestDropAge"] / 3600),
        (1, 73),
        "the 72 h alarm sees it"
    );
    assert!(world.submit(&dropped).await);
    world.poll_in(73 * 60).await;
    let line = measured(&world);
    assert_eq!(
        (line.values["OpenDrops"], line.values["OldestDropAge"], line.values["DropsRejected"]),
        (0, 0, 1)
    );
}

/// The fields that the stack's saved queries show, of the first line with a drop's identity and
/// this message.
fn line_of(dropped: &str, message: &str) -> Value {
    let lines =
        logs::with(dropped).into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines
        .into_iter()
        .find(|line| line["message"] == message)
        .unwrap_or_else(|| panic!("no line {message:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_log_name_the_file_its_results_and_what_is_wrong() {
    let world = InProcess::start().await;
    let bad =
        world.drop_file("incoming/forum/bad.csv", "ref_id,type,content\n1,text,\"open\n").await;
    assert!(world.submit(&bad).await);
    let line = line_of(bad.id.as_str(), "the drop has reached its end");
    let meta = world.record(&bad.id).await;
    let problem = meta.problem.unwrap();
    assert_eq!(
        (&line["key"], &line["folder"]),
        (&"incoming/forum/bad.csv".into(), &meta.folder.into())
    );
    assert_eq!(
        (&line["state"], &line["code"], &line["error"]),
        (&"rejected".into(), &"E_QUOTE".into(), &problem.message.into())
    );

    let late = world.drop_file("incoming/late.csv", good_file(2)).await;
    assert!(world.submit(&late).await);
    world.poll_in(73 * 60).await;
    let line = line_of(late.id.as_str(), "the drop is not finished");
    assert_eq!(
        (&line["key"], &line["state"], &line["hours"]),
        (&"incoming/late.csv".into(), &"evaluating".into(), &73.into())
    );
    world.api.change("job-1", |job| {
        job.state = "ERROR".to_owned();
        job.fields.insert(
            "error".to_owned(),
            serde_json::json!({"errorCode": "BATCH_JOB_ERROR_INTERNAL"}),
        );
    });
    world.poll().await;
    let line = line_of(late.id.as_str(), "a job ended without results");
    assert_eq!(
        (&line["alarm"], &line["error"]),
        (&"job_failed".into(), &"the job failed: INTERNAL".into())
    );
    world.collect_all(&late.id).await;
    let line = line_of(late.id.as_str(), "the drop has reached its end");
    assert_eq!((&line["state"], &line["code"]), (&"failed".into(), &"E_NOTHING".into()));
}
