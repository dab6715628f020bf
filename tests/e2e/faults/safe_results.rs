//! `results.safe.csv`: beside `results.csv`, before the end is announced, and never in its way.

use moondrop_local::aws::RESULTS;
use moondrop_shared::drop::DropState;
use moondrop_tests::env::Dropped;
use moondrop_tests::in_process::InProcess;
use moondrop_tests::rows::assert_all_rows;

const FILE: &str = "ref_id,type,content,note\n\
    1,text,=1+1,\"@x, \"\"y\"\"\"\n2,text,plain,-4\n3,video,+bad,a=b\n";

/// A drop that wants both files, whose job has completed and is not collected.
async fn completed(formats: &str) -> (InProcess, Dropped) {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "9"), ("RESULTS_FORMATS", formats)]).await;
    let dropped = world.drop_file("incoming/posts.csv", FILE).await;
    assert!(world.submit(&dropped).await);
    world.api.complete_all();
    world.poll().await;
    (world, dropped)
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_that_look_like_formulas_are_prefixed_and_all_else_is_the_same() {
    let (world, dropped) = completed("csv,csv-safe").await;
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    assert_all_rows(FILE.as_bytes(), ended.results());
    let key = ended.status.files.safe.clone().expect("the key of results.safe.csv");
    assert!(key.as_str().ends_with("/results.safe.csv"));
    let safe = String::from_utf8(world.read(key.as_str()).await.unwrap()).unwrap();
    let expected = String::from_utf8(ended.results().to_vec()).unwrap();
    let expected = expected
        .replace(",=1+1,", ",'=1+1,")
        .replace(",\"@x", ",\"'@x")
        .replace(",-4\n", ",'-4\n")
        .replace(",+bad,", ",'+bad,");
    assert_eq!(safe, expected);
    let event = world.events("Drop Completed", &dropped.id).remove(0);
    assert_eq!(event["files"]["safe"], key.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_there_is_no_such_file() {
    let (world, dropped) = completed("csv").await;
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.files.safe, None);
    assert!(world.keys("results/").await.iter().all(|key| !key.ends_with("safe.csv")));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_attempts_that_fail_the_drop_ends_with_a_warning() {
    let (world, dropped) = completed("csv,csv-safe").await;
    // Another object is in its place, and is not overwritten.
    let key = world.record(&dropped.id).await.safe_key();
    world.put_object(RESULTS, key.as_str(), "another's").await;
    for attempt in 1..=2 {
        assert!(world.collect(&dropped.id, 1).await.is_err());
        let record = world.record(&dropped.id).await;
        assert_eq!((record.safe_attempts, record.closed_at), (attempt, None));
        assert!(world.events("Drop Completed", &dropped.id).is_empty(), "not announced yet");
    }
    world.collect(&dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    ended.assert_state(DropState::CompletedWithErrors);
    assert_all_rows(FILE.as_bytes(), ended.results());
    assert_eq!(ended.status.problem.unwrap().code.as_str(), "W_FORMAT");
    assert_eq!(world.read(key.as_str()).await.unwrap(), b"another's");
    let event = world.events("Drop Completed", &dropped.id).remove(0);
    assert_eq!(event["warnings"][0]["code"], "W_FORMAT");
    assert!(world.keys("work/").await.is_empty(), "tidied all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_whose_attempt_was_killed_is_found_by_poll_and_ends() {
    let (world, dropped) = completed("csv,csv-safe").await;
    let key = world.record(&dropped.id).await.safe_key();
    world.put_object(RESULTS, key.as_str(), "another's").await;
    assert!(world.collect(&dropped.id, 1).await.is_err());
    world.delete_object(RESULTS, key.as_str()).await;
    // No one calls collect any more, and submit does not conclude it.
    assert!(world.submit(&dropped).await);
    assert_eq!(world.record(&dropped.id).await.closed_at, None);
    let before = world.events("Job Completed", &dropped.id).len();
    world.poll_in(21).await;
    assert_eq!(world.events("Job Completed", &dropped.id).len(), before + 1);
    world.collect(&dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    assert!(ended.status.files.safe.is_some());
}
