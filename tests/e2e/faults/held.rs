//! collect: results that cannot be used are fetched again, held as they came, and let go by a
//! setting or by better results.

use jiff::Timestamp;
use moondrop_local::aws::RESULTS;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::{HeldResults, PartState};
use moondrop_shared::services::ledger::FailedAttempt;
use moondrop_tests::env::Dropped;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, collect};
use moondrop_tests::logs;
use moondrop_tests::rows::{assert_all_rows, good_file, with_error};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};

static DROPS_HELD: AtomicU32 = AtomicU32::new(0);
pub(crate) const HEADER: &str = "ref_id,type,labels,content,error\n";
pub(crate) const LABELS: &str = "\"[{\"\"label\"\":\"\"spam\"\",\"\"score\"\":0.5}]\"";

/// A drop of one part of four rows whose job has completed with these results.
pub(crate) async fn completed(results: &str) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    // A name of its own: the log is every test's, and two drops of the same file in one moment would
    // have the same id.
    let name = format!("incoming/held-{}.csv", DROPS_HELD.fetch_add(1, Ordering::Relaxed));
    let dropped = world.drop_file(&name, good_file(4)).await;
    assert!(world.submit(&dropped).await);
    world.api.change("job-1", |job| job.results = Some(results.as_bytes().to_vec()));
    world.api.complete_all();
    world.poll().await;
    (world, dropped)
}

/// Its part, held.
pub(crate) async fn held(results: &str) -> (InProcess, Dropped, HeldResults) {
    let (world, dropped) = completed(results).await;
    world.collect(&dropped.id, 1).await.unwrap();
    let part = world.parts(&dropped.id).await.remove(0);
    let mut doubtful = part
        .unconfirmed
        .unwrap_or_else(|| panic!("{results}: not doubtful: {:?} {:?}", part.state, part.held));
    assert!(part.held.is_none(), "one fetch holds nothing");
    // The same again at once is no second witness.
    world.collect(&dropped.id, 1).await.unwrap();
    assert!(world.parts(&dropped.id).await[0].held.is_none());
    doubtful.since -= jiff::SignedDuration::from_mins(11);
    let part = world.parts(&dropped.id).await.remove(0);
    let problem = part.problem.clone().expect("its record says why");
    let attempt = FailedAttempt {
        retry_at: Timestamp::now(),
        problem: Some(problem),
        unconfirmed: Some(doubtful),
    };
    assert!(world.services.ledger.record_attempt(&part, &attempt).await.unwrap().ours);
    world.collect(&dropped.id, 1).await.unwrap();
    let part = world.parts(&dropped.id).await.remove(0);
    let held = part.held.unwrap_or_else(|| panic!("{results}: not held: {:?}", part.state));
    assert_eq!(part.state, PartState::Completed);
    (world, dropped, held)
}

pub(crate) fn rows(rows: &[&str]) -> String {
    format!("{HEADER}{}\n", rows.join("\n"))
}

/// Four rows, one of them other than the rest.
pub(crate) fn with(odd: &str) -> String {
    let good = |i: usize| format!("r{i},text,{LABELS},\"post {i}, with a comma\",");
    rows(&[&good(0), odd, &good(2), &good(3)])
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_not_well_formed_are_held_whole_and_reported() {
    let cases = [
        (with("r1,text,,\"x,the image is gone"), 4, "an unclosed quote"),
        (with("r1,text,[],x \"y\" z,"), 3, "a stray quote"),
        (with("r1,text,[],x"), 3, "a record that is too short"),
        (with("r1,text,[],x,y,z"), 3, "a record that is too long"),
        (with("r1,text,[],x,").replace(",error\n", ",failure\n"), 1, "no error column"),
        (with("r1,text,[],x,").replace("labels", "label_matches"), 1, "no labels column"),
        ("<html>\n<body>no results</body>\n".to_owned(), 1, "a page"),
    ];
    for (results, line, what) in cases {
        let (world, dropped, held) = held(&results).await;
        assert_eq!(
            (held.code.as_str(), held.line),
            ("E_RESULTS_UNREADABLE", Some(line)),
            "{what}: {}",
            held.message
        );
        assert_eq!(
            world.read(held.key.as_str()).await.as_deref(),
            Some(results.as_bytes()),
            "{what}: kept as they came"
        );
        assert!(
            held.key.as_str().starts_with(&format!("work/{}/held/", dropped.id)),
            "{}",
            held.key
        );
        let status = world.status(&dropped.id).await;
        let problem = status.problem.unwrap();
        assert!(
            problem.code.as_str() == "E_RESULTS_UNREADABLE"
                && problem.message.contains(held.key.as_str()),
            "{what}: {problem:?}"
        );
        assert!(
            problem.next_step.contains("With RESULTS_UNREADABLE=rows the drop continues"),
            "{what}: {problem:?}"
        );
        assert_eq!(status.parts[0].held.as_ref(), Some(&held.key), "{what}");
        let events = world.events("Drop Needs Action", &dropped.id);
        assert_eq!(events.len(), 1, "{what}");
        assert_eq!(
            events[0]["held"],
            json!({"bucket": RESULTS, "key": held.key, "line": line, "setting": "RESULTS_UNREADABLE=rows"}),
            "{what}"
        );
        let lines = logs::with(dropped.id.as_str());
        assert_eq!(
            lines.iter().filter(|line| line.contains(r#""alarm":"results_held""#)).count(),
            1,
            "{what}"
        );
        assert!(!logs::all().contains("the image is gone"), "{what}: no content");
        assert!(
            world.keys("results/").await.iter().all(|key| !key.ends_with("results.csv")),
            "{what}: nothing is published"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_rows_the_well_formed_records_are_used_and_the_rest_are_missing() {
    let (world, dropped, held) = held(&with("r1,text,[],x")).await;
    let rows = world.cold_with("RESULTS_UNREADABLE", "rows");
    let fetched = world.api.count(Call::Download);
    // poll, too, has the setting, and announces the part at once.
    world.age_part((&dropped.id, 1), "announced_at", 3).await;
    let announced = world.events("Job Completed", &dropped.id).len();
    let tick = moondrop_poll::handle(
        &rows,
        Timestamp::now(),
        moondrop_shared::services::lambda::Deadline::after(moondrop_tests::env::DAY),
    );
    Box::pin(tick).await.unwrap();
    assert_eq!(world.events("Job Completed", &dropped.id).len(), announced + 1);
    collect(&rows, &dropped.id, 1).await.unwrap();
    assert_eq!(world.api.count(Call::Download), fetched, "the kept copy is read");
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
    let rows = assert_all_rows(&good_file(4), ended.results());
    let errors: Vec<&str> = rows.iter().map(|row| row["error"].as_str()).collect();
    assert_eq!(errors, ["", "missing: unreadable", "", ""]);
    assert!(ended.status.problem.is_none());
    assert!(world.read(held.key.as_str()).await.is_none(), "the copy is deleted at the end");
    assert_eq!(world.keys("work/").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_rows_a_page_in_place_of_results_for_a_minute_ends_no_row() {
    for page in ["<html>\n<body>\n", "", "ref_id,type,labels,content,error\nr1,text,[]\nr2\n"] {
        let (world, dropped) = completed(page).await;
        let rows = world.cold_with("RESULTS_UNREADABLE", "rows");
        for _ in 0..2 {
            collect(&rows, &dropped.id, 1).await.unwrap();
            assert_eq!(world.states(&dropped.id).await, [PartState::Completed], "{page:?}");
        }
        assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_RESULTS"));
        world.api.change("job-1", |job| job.results = None);
        collect(&rows, &dropped.id, 1).await.unwrap();
        assert_eq!(world.ended(&dropped.id).await.status.state, DropState::Completed, "{page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worse_answer_of_the_api_does_not_take_the_place_of_the_kept_one() {
    let (world, dropped, mut held) = held(&with("r1,text,[],x")).await;
    held.fetched_at -= jiff::SignedDuration::from_hours(25);
    let part = world.parts(&dropped.id).await.remove(0);
    assert!(world.ledger.hold(&part, &held, Timestamp::now()).await.unwrap().ours);
    world.api.change("job-1", |job| job.results = Some(b"<html>\n<body>\n".to_vec()));
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(world.states(&dropped.id).await, [PartState::Completed]);
    collect(&world.cold_with("RESULTS_UNREADABLE", "rows"), &dropped.id, 1).await.unwrap();
    assert_eq!(world.ended(&dropped.id).await.status.rows.outcomes.evaluated, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_come_otherwise_each_time_are_held_after_a_day() {
    let (world, dropped) = completed(&with("r1,text,[],x")).await;
    world.collect(&dropped.id, 1).await.unwrap();
    let part = world.parts(&dropped.id).await.remove(0);
    let (mut doubtful, problem) =
        (part.unconfirmed.clone().unwrap(), part.problem.clone().unwrap());
    doubtful.first -= jiff::SignedDuration::from_hours(25);
    let attempt = FailedAttempt {
        retry_at: Timestamp::now(),
        problem: Some(problem),
        unconfirmed: Some(doubtful),
    };
    assert!(world.services.ledger.record_attempt(&part, &attempt).await.unwrap().ours);
    world.api.change("job-1", |job| job.results = Some(with("r1,text,[],y").into_bytes()));
    world.collect(&dropped.id, 1).await.unwrap();
    let held = world.parts(&dropped.id).await.remove(0).held.expect("what came last is kept");
    assert_eq!(
        world.read(held.key.as_str()).await.as_deref(),
        Some(with("r1,text,[],y").as_bytes())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_record_without_a_line_end_that_may_lack_its_error_is_no_evaluation() {
    let good = |i: usize| format!("r{i},text,{LABELS},x,");
    let results = format!("{HEADER}{}\n{}\n{}\nr3,text,[],x,", good(0), good(1), good(2));
    let (world, dropped, held) = held(&results).await;
    assert_eq!(
        (held.code.as_str(), held.line),
        ("E_RESULTS_UNREADABLE", Some(5)),
        "{}",
        held.message
    );
    collect(&world.cold_with("RESULTS_UNREADABLE", "rows"), &dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    let rows = assert_all_rows(&good_file(4), ended.results());
    assert_eq!(
        (rows[3]["error"].as_str(), ended.status.rows.outcomes.evaluated),
        ("missing: unreadable", 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_rows_without_an_error_column_only_labels_are_evaluations() {
    let results = with("r1,text,[],x,").replace(",error\n", ",failure\n");
    let (world, dropped, _) = held(&results).await;
    collect(&world.cold_with("RESULTS_UNREADABLE", "rows"), &dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    let rows = assert_all_rows(&good_file(4), ended.results());
    assert_eq!(
        (ended.status.rows.outcomes.evaluated, with_error(&rows, "missing: unreadable").len()),
        (3, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn better_results_of_the_api_replace_the_held_ones_once_a_day() {
    let (world, dropped, _) = held(&with("r1,text,[],x")).await;
    world.api.change("job-1", |job| job.results = None);
    let fetched = world.api.count(Call::Download);
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(world.api.count(Call::Download), fetched, "not before a day");
    let part = world.parts(&dropped.id).await.remove(0);
    let mut held = part.held.clone().unwrap();
    held.fetched_at -= jiff::SignedDuration::from_hours(25);
    assert!(world.ledger.hold(&part, &held, Timestamp::now()).await.unwrap().ours);
    // First the API is away: the copy stays.
    world.api.next(Call::Download, [Answer::status(500)]);
    world.collect(&dropped.id, 1).await.unwrap();
    assert!(world.parts(&dropped.id).await[0].held.is_some());
    let part = world.parts(&dropped.id).await.remove(0);
    assert!(world.ledger.hold(&part, &held, Timestamp::now()).await.unwrap().ours);
    world.collect(&dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&good_file(4), ended.results());
    assert_eq!(world.keys("work/").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_part_is_never_lost_or_failed_and_alarms_after_twenty_days() {
    let (world, dropped, held) = held(&with("r1,text,[],x")).await;
    world.api.forget("job-1");
    for days in [1, 19] {
        let _ = world.poll_at(Timestamp::now() + jiff::SignedDuration::from_hours(days * 24)).await;
    }
    let told = || logs::with(dropped.id.as_str()).iter().any(|line| line.contains("held_20_days"));
    assert!(!told());
    for days in [20, 36, 40] {
        let _ =
            world.poll_at(Timestamp::now() + jiff::SignedDuration::from_hours(days * 24 + 1)).await;
    }
    assert!(told());
    let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
    assert!(line.contains(r#""PartsHeld":1"#) && !line.contains(r#""OldestHeldAge":0"#), "{line}");
    // The daily fetch finds no job any more; the copy is all there is, and enough.
    assert_eq!(world.states(&dropped.id).await, [PartState::Completed]);
    assert!(world.read(held.key.as_str()).await.is_some());
    collect(&world.cold_with("RESULTS_UNREADABLE", "rows"), &dropped.id, 1).await.unwrap();
    assert_eq!(world.ended(&dropped.id).await.status.rows.outcomes.evaluated, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_come_otherwise_the_second_time_are_not_held() {
    let (world, dropped) = completed(&with("r1,text,[],x")).await;
    for odd in ["r1,text,[],x", "r1,text,[],y", "r1,text,[],z"] {
        world.api.change("job-1", |job| job.results = Some(with(odd).into_bytes()));
        world.collect(&dropped.id, 1).await.unwrap();
        assert!(world.parts(&dropped.id).await[0].held.is_none());
    }
    assert_eq!(world.parts(&dropped.id).await[0].attempts, 3);
    world.api.change("job-1", |job| job.results = None);
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(world.ended(&dropped.id).await.status.state, DropState::Completed);
}
