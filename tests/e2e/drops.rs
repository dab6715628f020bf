//! Files dropped into the bucket come out row for row.

use crate::BINARY;
use moondrop_local::local_stack::{Api, LocalStackConfig};
use moondrop_shared::drop::DropState;
use moondrop_tests::processes::Deployment;
use moondrop_tests::rows::{assert_all_rows, good_file, read, with_error};
use std::collections::BTreeSet;
use std::time::Duration;

/// Jobs that take an hour, until the sandbox's clock is advanced.
fn slow_jobs(config: &mut LocalStackConfig) {
    config.rows_per_job = 10;
    config.api = Api::Sandbox { job_time: Duration::from_secs(3600) };
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_dropped_at_once_come_out_in_order_with_one_job_per_part() {
    let world = Deployment::start_with(BINARY, |config| config.rows_per_job = 40).await;
    let (a, b) = (good_file(100), good_file(130));
    let one = world.drop_file("incoming/one.csv", a.clone()).await.id;
    let two = world.drop_file("incoming/hate-policy/two.csv", b.clone()).await.id;
    let (one, two) = (world.end_of(&one).await, world.end_of(&two).await);
    for (ended, source, parts) in [(&one, &a, 3), (&two, &b, 4)] {
        ended.assert_state(DropState::Completed);
        assert_all_rows(source, ended.results());
        world.assert_answers(ended.results());
        assert_eq!(ended.status.parts.len(), parts);
        assert_eq!(ended.status.rows.outcomes.evaluated, ended.status.rows.total.unwrap());
        assert!(ended.rejected.is_none());
    }
    assert_eq!(two.status.policy.as_deref(), Some("hate-policy"), "the folder is the policy");
    let fed = world.jobs_with_rows();
    assert_eq!(fed.len(), 7);
    assert_eq!(fed.iter().collect::<BTreeSet<_>>().len(), 7, "no part has two jobs: {fed:?}");
    for kind in ["Drop Accepted", "Drop Completed"] {
        // Said twice is possible, and harmless: the drop is in the event.
        let events = world.aws().events();
        let said = events
            .iter()
            .filter(|e| e["detail-type"] == kind)
            .map(|e| e["detail"]["drop"].to_string());
        assert_eq!(said.collect::<BTreeSet<_>>().len(), 2, "{kind}");
    }
    let left: Vec<String> =
        world.keys("").await.into_iter().filter(|key| key.starts_with("work/")).collect();
    assert!(left.is_empty(), "work files are left: {left:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_spaces_plus_percent_and_other_scripts_are_kept_as_they_are() {
    let world = Deployment::start(BINARY).await;
    for name in ["a b+c.csv", "per%2Fcent %41.csv", "Übung 世界.csv", "dir/with & sign=1/x.CSV"]
    {
        let ended = world.process(&format!("incoming/{name}"), good_file(3)).await;
        ended.assert_state(DropState::Completed);
        let path = &name[..name.len() - 4];
        let files = &ended.status.files;
        assert!(
            files.results.as_ref().unwrap().as_str().starts_with(&format!("results/{path}/2")),
            "{files:?}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_five_megabytes_and_newlines_at_a_parts_boundary_come_out_to_the_byte() {
    let world = Deployment::start_with(BINARY, |config| config.rows_per_job = 2).await;
    let large = "x y\n".repeat(5 * 1024 * 1024 / 4);
    let mut file = String::from("ref_id,type,content\n");
    file.push_str("1,text,plain\n2,text,\"ends\nwith,\n\"\n3,text,\"\n\nbegins\"\n");
    file.push_str(&format!("4,text,\"{large}\"\n5,text,\"\n\"\"\n\"\n6,text,last"));
    let ended = world.process("incoming/large.csv", file.clone()).await;
    ended.assert_state(DropState::Completed);
    assert_all_rows(file.as_bytes(), ended.results());
    let boundaries: Vec<u64> = ended.status.parts.iter().map(|part| part.first_line).collect();
    assert_eq!(boundaries, [2, 6, 1_310_730], "the lines of rows 1, 3 and 5");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_in_any_order_extra_ones_crlf_bom_and_spaces_are_accepted_and_kept() {
    let world = Deployment::start(BINARY).await;
    let reordered = "\u{feff}lang,content,type,\"my, column\",ref_id\r\nde,\"Grüß Gott\",text,\" a \",r1\r\n\r\nen,hi there ,text,,r2\r\n";
    let ended = world.process("incoming/reordered.csv", reordered).await;
    ended.assert_state(DropState::Completed);
    let text = String::from_utf8(ended.results().to_vec()).unwrap();
    let expected = "\u{feff}ref_id,type,labels,content,error,lang,\"my, column\"\n\
                    r1,text,[],\"Grüß Gott\",,de,\" a \"\nr2,text,[],hi there ,,en,\n";
    assert_eq!(text, expected);

    let spaced = "ref_id, type, content\n1, text, hello\n2, text, \"a, b\"\n";
    let ended = world.process("incoming/spaced.csv", spaced).await;
    ended.assert_state(DropState::Completed);
    let text = String::from_utf8(ended.results().to_vec()).unwrap();
    assert_eq!(text, "ref_id,type,labels,content,error\n1,text,[],hello,\n2,text,[],\"a, b\",\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_ref_id_in_another_part_is_rejected() {
    let world = Deployment::start_with(BINARY, |config| config.rows_per_job = 3).await;
    let mut file = good_file(8);
    file.extend_from_slice(b"r1,text,again\nr9,text,fine\nr1,text,and again\n");
    let ended = world.process("incoming/doubled.csv", file.clone()).await;
    ended.assert_state(DropState::CompletedWithErrors);
    let rows = assert_all_rows(&file, ended.results());
    let rejected = with_error(&rows, "rejected: E_REF_ID ");
    assert_eq!(
        rejected.iter().map(|r| r["content"].as_str()).collect::<Vec<_>>(),
        ["again", "and again"]
    );
    assert!(
        ended.rejected().lines().skip(1).all(|line| line.contains("stands on line 3 already")),
        "{}",
        ended.rejected()
    );
    assert_eq!(ended.status.rows.outcomes.rejected, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_dropped_again_is_another_drop_and_the_first_ones_results_stay() {
    let world = Deployment::start(BINARY).await;
    let first = world.process("incoming/posts.csv", good_file(3)).await;
    let second = world.process("incoming/posts.csv", good_file(4)).await;
    let (a, b) = (first.status.files.results.unwrap(), second.status.files.results.unwrap());
    assert_ne!(a, b);
    assert_eq!(read(&world.read(a.as_str()).await.unwrap()).len(), 3);
    assert_eq!(read(&world.read(b.as_str()).await.unwrap()).len(), 4);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_repeated_many_times_evaluates_nothing_twice() {
    let world = Deployment::start_with(BINARY, |config| config.rows_per_job = 5).await;
    let id = world.drop_file("incoming/posts.csv", good_file(12)).await.id;
    for _ in 0..10 {
        world.aws().announce("drops", "incoming/posts.csv").await.unwrap();
    }
    let ended = world.end_of(&id).await;
    world.aws().announce("drops", "incoming/posts.csv").await.unwrap();
    ended.assert_state(DropState::Completed);
    let fed = world.jobs_with_rows();
    assert_eq!(fed.len(), 3, "{fed:?}");
    assert_eq!(world.keys("").await.iter().filter(|key| key.ends_with("results.csv")).count(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_deleted_while_its_jobs_run_gives_results_marked_source_missing() {
    let world = Deployment::start_with(BINARY, slow_jobs).await;
    let id = world.drop_file("incoming/gone.csv", good_file(25)).await.id;
    world.wait_for(&id, "its jobs to run", |meta| meta.state == DropState::Evaluating).await;
    world.delete_object("drops", "incoming/gone.csv").await;
    world.sandbox().advance_clock(Duration::from_secs(7200));
    let ended = world.end_of(&id).await;
    let status = &ended.status;
    assert_eq!(status.rows.outcomes.evaluated, 25);
    let mut ids: Vec<String> =
        read(ended.results()).iter().map(|row| row["ref_id"].clone()).collect();
    ids.sort();
    let mut expected: Vec<String> = (0..25).map(|i| format!("r{i}")).collect();
    expected.sort();
    assert_eq!(ids, expected);
    assert!(status.parts.iter().all(|part| part.source_missing), "{status:?}");
    assert_eq!(status.state, DropState::CompletedWithErrors);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_while_its_jobs_run_ends_its_own_drop_and_begins_another() {
    let world = Deployment::start_with(BINARY, slow_jobs).await;
    let first = world.drop_file("incoming/over.csv", good_file(5)).await.id;
    world.wait_for(&first, "its job to run", |meta| meta.state == DropState::Evaluating).await;
    let second = world.drop_file("incoming/over.csv", good_file(7)).await.id;
    world.wait_for(&second, "its job to run", |meta| meta.state == DropState::Evaluating).await;
    world.sandbox().advance_clock(Duration::from_secs(7200));
    let (first, second) = (world.end_of(&first).await, world.end_of(&second).await);
    assert_eq!(first.status.rows.outcomes.evaluated, 5);
    assert!(first.status.parts.iter().all(|part| part.source_missing));
    assert_eq!(read(first.results()).len(), 5, "not one row of the file that took its place");
    second.assert_state(DropState::Completed);
    assert_all_rows(&good_file(7), second.results());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_and_keys_are_in_no_log() {
    let world = Deployment::start(BINARY).await;
    let file =
        "ref_id,type,content\n1,text,MARKER-content\n2,video,MARKER-bad\n3,image_url,MARKER-url\n";
    let ended = world.process("incoming/marked.csv", file).await;
    ended.assert_state(DropState::CompletedWithErrors);
    let bad =
        world.process("incoming/bad.csv", "ref_id,type,content\n1,text,\"MARKER-open\n").await;
    bad.assert_state(DropState::Rejected);
    let logs = world.logs();
    assert!(logs.contains("the part is uploaded"), "there are logs to look at");
    for secret in ["MARKER", "sandbox-key", "X-Amz-Signature"] {
        assert!(!logs.contains(secret), "{secret} stands in a log");
        assert!(!ended.rejected().contains("MARKER"));
        assert!(!serde_json::to_string(&bad.status).unwrap().contains("MARKER"));
    }
    world.stop().await;
}
