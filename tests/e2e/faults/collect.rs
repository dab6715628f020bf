//! collect: what results may say, and who publishes them.

use moondrop_local::aws::{DROPS, RESULTS};
use moondrop_shared::drop::DropState;
use moondrop_shared::object_key::ObjectKey;
use moondrop_shared::part::PartState;
use moondrop_shared::services::lambda::Deadline;
use moondrop_tests::env::{DAY, Dropped, Ended};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, collect, deliver_end};
use moondrop_tests::logs;
use moondrop_tests::raw_http::Gate;
use moondrop_tests::rows::{Row, assert_all_rows, good_file, read};
use serde_json::json;

const GOOD: &str = r#"[{"label":"spam","score":0.5}]"#;

/// A drop of one part of four rows, fed.
async fn fed() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    (world, dropped)
}

/// The drop's end, if these are its job's results.
async fn end_with(results: &str) -> (Ended, Vec<Row>) {
    let (world, dropped) = fed().await;
    world.api.change("job-1", |job| job.results = Some(results.as_bytes().to_vec()));
    let ended = world.end(&dropped).await;
    let rows = assert_all_rows(&good_file(4), ended.results());
    (ended, rows)
}

fn field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Results in the API's own columns.
fn results(rows: &[(&str, &str, &str)]) -> String {
    let rows = rows
        .iter()
        .map(|(id, labels, error)| format!("{id},text,{},x,{}\n", field(labels), field(error)));
    format!("ref_id,type,labels,content,error\n{}", rows.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_in_another_order_with_more_beside_them_are_read_by_name() {
    let rows: String = (0..4).map(|i| format!("x,,{},r{i},text,y\n", field(GOOD))).collect();
    let (ended, rows) =
        end_with(&format!("\u{feff}content,error, labels ,ref_id,type,new\n{rows}")).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert!(rows.iter().all(|row| row["labels"] == GOOD));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_read_under_each_tolerated_key() {
    for key in ["label", "name", "label_name", "labelName"] {
        let labels = format!(r#"[{{"{key}":"spam","score":0.93}}]"#);
        let (ended, rows) =
            end_with(&results(&["r0", "r1", "r2", "r3"].map(|id| (id, labels.as_str(), "")))).await;
        assert_eq!(ended.status.labels["spam"].histogram[9], 4, "{key}");
        assert!(rows.iter().all(|row| row["labels"] == labels), "labels go out as they came");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_empty_or_not_json_go_out_as_they_came_and_are_counted() {
    let (ended, rows) = end_with(&results(&[
        ("r0", "", ""),
        ("r1", "spam 0.9", ""),
        ("r2", r#"{"label":"spam"}"#, ""),
        ("r3", "[]", ""),
    ]))
    .await;
    assert_eq!(
        (ended.status.state, ended.status.results.unreadable_labels),
        (DropState::CompletedWithErrors, 2)
    );
    let labels: Vec<&str> = rows.iter().map(|row| row["labels"].as_str()).collect();
    assert_eq!(labels, ["", "spam 0.9", r#"{"label":"spam"}"#, "[]"]);
    assert_eq!(rows[0]["error"], "missing: the API's answer has neither labels nor error");
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_labels_go_out_whole_and_do_not_outgrow_the_ledger() {
    // Six hundred labels with names of two kilobytes: more than a record may hold.
    let many: Vec<String> = (0..600)
        .map(|i| format!(r#"{{"label":"{}{i}","score":0.1}}"#, "x".repeat(2_000)))
        .collect();
    let huge = format!("[{}]", many.join(","));
    let control = format!(r#"[{{"label":"{}","score":0.1}}]"#, "\\u0001".repeat(150));
    let (ended, rows) = end_with(&results(&[
        ("r0", &huge, ""),
        ("r1", GOOD, ""),
        ("r2", &control, ""),
        ("r3", GOOD, ""),
    ]))
    .await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_eq!(
        (rows[0]["labels"].as_str(), rows[2]["labels"].as_str()),
        (huge.as_str(), control.as_str())
    );
    assert_eq!(ended.status.labels["spam"].rows, 2);
    assert!(ended.status.labels.contains_key("(other labels)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_unexpected_duplicate_and_shuffled_rows_come_out_once_each_in_order() {
    let (ended, rows) = end_with(&results(&[
        ("r3", "[]", ""),
        ("stranger", GOOD, ""),
        ("r0", GOOD, ""),
        ("r3", GOOD, "again"),
        ("r1", "", "the image is gone"),
    ]))
    .await;
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
    let outcomes = ended.status.rows.outcomes;
    assert_eq!((outcomes.evaluated, outcomes.failed, outcomes.missing), (2, 1, 1));
    assert_eq!((ended.status.results.unexpected, ended.status.results.duplicates), (1, 1));
    let errors: Vec<&str> = rows.iter().map(|row| row["error"].as_str()).collect();
    assert_eq!(
        errors,
        ["", "the image is gone", "missing: the API's results have no row for this ref_id", ""]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_collects_of_one_part_at_once_store_it_once_and_publish_once() {
    let (world, dropped) = fed().await;
    world.api.complete_all();
    world.poll().await;
    let (gate, other) = (Gate::default(), world.cold());
    world
        .api
        .next(Call::Download, [Answer::faithful().behind(&gate), Answer::faithful().behind(&gate)]);
    let both_are_reading = async {
        gate.arrived().await;
        gate.arrived().await;
        gate.open();
        gate.open();
    };
    let (one, two, ()) = tokio::join!(
        world.collect(&dropped.id, 1),
        collect(&other, &dropped.id, 1),
        both_are_reading
    );
    one.unwrap();
    two.unwrap();
    assert_published_once(&world, &dropped, &good_file(4)).await;
}

async fn assert_published_once(world: &InProcess, dropped: &Dropped, source: &[u8]) {
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(source, ended.results());
    let published = world.keys("results/").await;
    assert_eq!(
        published.iter().filter(|key| key.ends_with("results.csv")).count(),
        1,
        "{published:?}"
    );
    assert_eq!(world.keys("work/").await, Vec::<String>::new(), "no work file is left");
    assert!(!world.events("Drop Completed", &dropped.id).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_collects_finishing_the_last_two_parts_at_once_publish_one_file() {
    for _ in 0..5 {
        let world = InProcess::start_with(&[("ROWS_PER_JOB", "2")]).await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
        assert!(world.submit(&dropped).await);
        world.api.complete_all();
        world.poll().await;
        let (a, b, c) = (world.cold(), world.cold(), world.cold());
        let done = tokio::join!(
            collect(&a, &dropped.id, 1),
            collect(&b, &dropped.id, 2),
            collect(&c, &dropped.id, 2)
        );
        for done in [done.0, done.1, done.2] {
            done.unwrap();
        }
        assert_published_once(&world, &dropped, &good_file(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_source_gone_results_come_out_in_the_apis_order_and_are_flagged() {
    let (world, dropped) = fed().await;
    world.delete_object(DROPS, "incoming/posts.csv").await;
    let shuffled =
        results(&[("r3", GOOD, ""), ("r0", GOOD, ""), ("r1", "", "bad"), ("r2", GOOD, "")]);
    world.api.change("job-1", |job| job.results = Some(shuffled.into_bytes()));
    let ended = world.end(&dropped).await;
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
    assert!(ended.status.parts[0].source_missing);
    let ids: Vec<String> =
        read(ended.results()).into_iter().map(|row| row["ref_id"].clone()).collect();
    assert_eq!(ids, ["r3", "r0", "r1", "r2"]);
    assert_eq!((ended.status.rows.outcomes.evaluated, ended.status.rows.outcomes.failed), (3, 1));
    assert!(logs::with(dropped.id.as_str()).iter().any(|line| line.contains("source_missing")));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_source_missing_odd_results_still_let_the_drop_end() {
    let (world, dropped) = fed().await;
    world.drop_file("incoming/posts.csv", good_file(1)).await;
    let odd = results(&[
        ("r3", GOOD, ""),
        ("r0", GOOD, ""),
        ("r0", GOOD, ""),
        ("r1", GOOD, ""),
        ("r2", GOOD, ""),
        ("s", GOOD, ""),
    ]);
    world.api.change("job-1", |job| job.results = Some(odd.into_bytes()));
    let ended = world.end(&dropped).await;
    assert_eq!((ended.status.rows.outcomes.evaluated, ended.status.rows.outcomes.total()), (4, 4));
    assert_eq!((ended.status.results.unexpected, ended.status.results.duplicates), (1, 1));

    let (world, dropped) = fed().await;
    world.drop_file("incoming/posts.csv", good_file(1)).await;
    world.api.change("job-1", |job| job.results = Some(results(&[("r3", GOOD, "")]).into_bytes()));
    let ended = world.end(&dropped).await;
    assert_eq!((ended.status.rows.outcomes.evaluated, ended.status.rows.outcomes.missing), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_source_gone_a_body_cut_short_costs_no_row() {
    let (world, dropped) = fed().await;
    world.drop_file("incoming/posts.csv", good_file(1)).await;
    let whole = results(&[("r3", GOOD, ""), ("r0", GOOD, ""), ("r1", GOOD, ""), ("r2", GOOD, "")]);
    let after_a_row = whole.find("r1,").unwrap();
    world.api.change("job-1", |job| job.results = Some(whole.into_bytes()));
    world.api.next(
        Call::Download,
        [Answer::faithful(), Answer::faithful().without_length().cut(after_a_row)],
    );
    let ended = world.end(&dropped).await;
    assert_eq!((ended.status.rows.outcomes.evaluated, ended.status.rows.outcomes.missing), (4, 0));
    assert!(ended.status.parts[0].source_missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_results_csv_in_the_drops_place_is_never_overwritten_and_alarmed() {
    let (world, dropped) = fed().await;
    let key = ObjectKey::results(&world.record(&dropped.id).await.folder).to_string();
    world.put_object(RESULTS, &key, b"someone's").await;
    world.api.complete_all();
    world.poll().await;
    world.collect_all(&dropped.id).await;
    let status = world.status(&dropped.id).await;
    assert_eq!(
        (status.state, status.problem.as_ref().unwrap().code.as_str()),
        (DropState::Evaluating, "E_CONFLICT")
    );
    assert_eq!(world.read(&key).await.unwrap(), b"someone's");
    assert!(status.files.results.is_none(), "it is not told as ours");
    assert!(logs::with(dropped.id.as_str()).iter().any(|line| line.contains("results_conflict")));
    assert_eq!(world.keys("work/").await.len(), 1, "the rows are kept");
    // Moved away: the drop goes on by itself.
    world.delete_object(RESULTS, &key).await;
    world.poll_in(3).await;
    let events = world.events("Job Completed", &dropped.id);
    let again = json!({"detail": events.last().unwrap()});
    assert_eq!(again["detail"]["publish"], true);
    deliver_end(&world.services, &again, Deadline::after(DAY)).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    assert_eq!((ended.status.state, &ended.status.problem), (DropState::Completed, &None));
    assert_all_rows(&good_file(4), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_announced_again_after_its_drops_end_changes_nothing() {
    let (world, dropped) = fed().await;
    world.end(&dropped).await;
    let again = world.collect(&dropped.id, 1).await;
    again.unwrap();
    assert_eq!(world.states(&dropped.id).await, [PartState::Collected]);
    assert_published_once(&world, &dropped, &good_file(4)).await;
}
