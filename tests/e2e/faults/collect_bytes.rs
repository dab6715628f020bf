//! collect: what the way of the results' bytes may do to them.

use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::env::Dropped;
use moondrop_tests::fake_batch_api::{Answer, Call, results_of};
use moondrop_tests::in_process::{InProcess, collect};
use moondrop_tests::logs;
use moondrop_tests::rows::{assert_all_rows, good_file};

/// A drop of one part, whose job has completed.
async fn completed() -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    assert!(world.submit(&dropped).await);
    world.api.complete_all();
    world.poll().await;
    (world, dropped)
}

async fn assert_whole(world: &InProcess, dropped: &Dropped, why: &str) {
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::Completed, "{why}: {:?}", ended.status.rows);
    assert_eq!(ended.status.results, moondrop_shared::drop::status::Anomalies::default(), "{why}");
    let rows = assert_all_rows(&good_file(4), ended.results());
    assert!(rows.iter().all(|row| row["labels"].contains("spam")), "{why}");
}

/// These downloads are of no use; the part stays to be collected, and the next attempt has it
/// whole.
async fn assert_fetched_later(downloads: Vec<Answer>, why: &str) {
    let (world, dropped) = completed().await;
    world.api.next(Call::Download, downloads);
    world.collect(&dropped.id, 1).await.unwrap();
    let part = world.parts(&dropped.id).await.remove(0);
    assert_eq!((part.state, part.attempts, part.held), (PartState::Completed, 1, None), "{why}");
    assert!(
        part.retry_at.is_some_and(|at| at > Timestamp::now()),
        "{why}: its record says when it is tried again"
    );
    assert_eq!(world.keys("work/").await, Vec::<String>::new(), "nothing half-written is left");
    world.collect(&dropped.id, 1).await.unwrap();
    assert_whole(&world, &dropped, why).await;
    let fetched: Vec<String> =
        world.api.requests(Call::Download).into_iter().map(|request| request.query).collect();
    assert!(
        fetched.windows(2).all(|pair| pair[0] != pair[1]),
        "each fetch has a fresh address: {fetched:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_results_url_that_has_expired_is_replaced_at_the_next_try() {
    assert_fetched_later(vec![Answer::status(403)], "403").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_fails_is_made_again() {
    for status in [400, 404, 500, 503, 302] {
        assert_fetched_later(vec![Answer::status(status)], &status.to_string()).await;
    }
    assert_fetched_later(vec![Answer::lost()], "lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_place_of_results_is_never_taken_for_results() {
    let html = "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n";
    let xml = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>\n";
    for page in [html, xml] {
        assert_fetched_later(vec![Answer::body(page)], page).await;
    }
    // These may be the beginnings of results, cut short: they are fetched again at once, too.
    for page in ["", "\n", "{}", "ref_id"] {
        assert_fetched_later(vec![Answer::body(page), Answer::body(page)], page).await;
    }
}

/// The places where a body can be cut, a dozen of them, the last ones at the end.
fn cuts(length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..length).step_by(length / 8).collect();
    cuts.extend([length - 20, length - 3, length - 2, length - 1]);
    cuts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_short_of_its_length_is_never_joined() {
    let length = results_of(&good_file(4)).len();
    for cut in cuts(length) {
        assert_fetched_later(
            vec![Answer::faithful().cut(cut)],
            &format!("cut at {cut} of {length}"),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_cut_anywhere_costs_no_row() {
    let length = results_of(&good_file(4)).len();
    // From behind the header on: before, it is no results at all, and fetched later.
    for cut in cuts(length).into_iter().filter(|cut| *cut > 40) {
        let (world, dropped) = completed().await;
        world.api.next(Call::Download, [Answer::faithful().without_length().cut(cut)]);
        world.collect(&dropped.id, 1).await.unwrap();
        assert_whole(&world, &dropped, &format!("cut at {cut} of {length}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_a_length_cut_twice_in_different_places_are_fetched_later() {
    let cut = |at: usize| Answer::faithful().without_length().cut(at);
    let row = results_of(&good_file(1)).len();
    assert_fetched_later(vec![cut(row), cut(row + 30)], "at a row's end, and within a row").await;
    assert_fetched_later(vec![cut(90), cut(75)], "twice within a row").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_body_without_a_length_or_a_final_newline_is_taken() {
    let (world, dropped) = completed().await;
    let mut body = results_of(world.api.job("job-1").uploads[0].as_slice());
    body.pop();
    world.api.change("job-1", |job| job.results = Some(body));
    world.api.always(Call::Download, Some(Answer::faithful().without_length()));
    world.collect(&dropped.id, 1).await.unwrap();
    assert_whole(&world, &dropped, "no final newline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_take_more_than_half_of_collects_memory_wait_for_more_of_it() {
    const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
    let label = "x".repeat(200_000);
    // The last row first: the others wait for their row.
    let huge: String = (0..4)
        .rev()
        .map(|i| format!("r{i},text,\"[{{\"\"label\"\":\"\"{label}\"\",\"\"score\"\":1}}]\",x,\n"))
        .collect();
    let endless = format!("r0,text,\"{}", label.repeat(3));
    for (rows, what) in [(huge.clone(), "labels"), (endless, "a quote without an end")] {
        let world = InProcess::start_with(&[("ROWS_PER_JOB", "4")]).await;
        let small = world.cold_with(MEMORY, "1");
        let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
        assert!(world.submit(&dropped).await);
        let results =
            |rows: &str| Some(format!("ref_id,type,labels,content,error\n{rows}").into_bytes());
        world.api.change("job-1", |job| job.results = results(&rows));
        world.api.complete_all();
        world.poll().await;
        collect(&small, &dropped.id, 1).await.unwrap();
        let logged = logs::with(dropped.id.as_str());
        let told =
            logged.iter().any(|line| line.contains("take more than the 524288 bytes of memory"));
        assert!(told, "{what}: {logged:?}");
        let problem = world.status(&dropped.id).await.problem.expect(what);
        assert_eq!(problem.code.as_str(), "E_RESULTS_SIZE", "{what}");
        assert!(problem.next_step.contains("give collect more memory"), "{what}: {problem:?}");
        assert_eq!(world.keys("work/").await, Vec::<String>::new(), "nothing half-written is left");
        assert_eq!(
            world.states(&dropped.id).await,
            [PartState::Completed],
            "{what}: the rows are not given up"
        );
        // With more memory, it is what it would have been.
        world.api.change("job-1", |job| job.results = results(&huge));
        collect(&world.cold_with(MEMORY, "4"), &dropped.id, 1).await.unwrap();
        let ended = world.ended(&dropped.id).await;
        assert_eq!(ended.status.state, DropState::Completed, "{what}");
        let rows = assert_all_rows(&good_file(4), ended.results());
        assert!(rows.iter().all(|row| row["labels"].len() > 200_000), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_in_the_order_of_the_rows_may_be_larger_than_collects_memory() {
    let label = "x".repeat(200_000);
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "12")]).await;
    let small = world.cold_with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2");
    let dropped = world.drop_file("incoming/posts.csv", good_file(12)).await;
    assert!(world.submit(&dropped).await);
    let rows: String = (0..12)
        .map(|i| format!("r{i},text,\"[{{\"\"label\"\":\"\"{label}\"\",\"\"score\"\":1}}]\",x,\n"))
        .collect();
    let results = format!("ref_id,type,labels,content,error\n{rows}");
    world.api.change("job-1", |job| job.results = Some(results.into_bytes()));
    world.api.complete_all();
    world.poll().await;
    let before = world.api.count(Call::Download);
    collect(&small, &dropped.id, 1).await.unwrap();
    assert_eq!(world.api.count(Call::Download) - before, 1, "one fetch is enough");
    let ended = world.ended(&dropped.id).await;
    assert_eq!(
        (ended.status.state, ended.status.rows.outcomes.evaluated),
        (DropState::Completed, 12)
    );
    assert_all_rows(&good_file(12), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_better_answer_far_behind_an_empty_one_counts_as_if_both_came_at_once() {
    const ROWS: usize = 4_000;
    let labels = format!("\"[{{\"\"label\"\":\"\"{}\"\",\"\"score\"\":1}}]\"", "x".repeat(500));
    let (blank, evaluated) = ("r0,text,,x,\n".to_owned(), format!("r0,text,{labels},x,\n"));
    for (first, last) in [(&blank, &evaluated), (&evaluated, &blank)] {
        let world =
            InProcess::start_with(&[("ROWS_PER_JOB", "4000"), ("RESULTS_CONTENT_CHECK", "warn")])
                .await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(ROWS)).await;
        assert!(world.submit(&dropped).await);
        let others: String = (1..ROWS).map(|i| format!("r{i},text,{labels},x,\n")).collect();
        let results = format!("ref_id,type,labels,content,error\n{first}{others}{last}");
        world.api.change("job-1", |job| job.results = Some(results.into_bytes()));
        world.api.complete_all();
        world.poll().await;
        world.collect(&dropped.id, 1).await.unwrap();
        let ended = world.ended(&dropped.id).await;
        let (rows, results) = (ended.status.rows.outcomes, &ended.status.results);
        assert_eq!((rows.evaluated, results.duplicates, results.blank), (ROWS as u64, 1, 0));
        assert_all_rows(&good_file(ROWS), ended.results());
    }
}
