//! The last part of a drop, and `results.csv` that S3 puts together.

use aws_sdk_s3::types::ChecksumAlgorithm;
use moondrop_local::aws::{RESULTS, TABLE};
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::s3::assembly::CopySource;
use moondrop_shared::source::DropId;
use moondrop_tests::env::{DAY, Dropped};
use moondrop_tests::in_process::{InProcess, deliver_end};
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::{Value, json};
use std::time::Duration;

/// Parts of two rows, of which each has more than 5 MiB.
fn large_file() -> Vec<u8> {
    let mut file = b"ref_id,type,content\n".to_vec();
    for number in 0..6 {
        let text =
            if number % 2 == 0 { "lorem ipsum ".repeat(460_000) } else { "short".to_owned() };
        file.extend(format!("r{number},text,{text}\n").into_bytes());
    }
    file
}

/// A drop whose parts are collected but for the last one.
async fn but_for_the_last(file: &[u8]) -> (InProcess, Dropped) {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", file).await;
    assert!(world.submit(&dropped).await);
    world.api.complete_all();
    world.poll().await;
    let last = world.parts(&dropped.id).await.len() as u32;
    for part in 1..last {
        world.collect(&dropped.id, part).await.unwrap();
    }
    (world, dropped)
}

async fn results(world: &InProcess, id: &DropId) -> Option<Vec<u8>> {
    world.read(world.record(id).await.results_key().as_str()).await
}

/// The details of the events that only ask for the publication.
fn asks_to_publish(world: &InProcess, id: &DropId) -> Vec<Value> {
    let events = world.events("Job Completed", id);
    events.into_iter().filter(|detail| detail["publish"] == true).collect()
}

/// Whether S3 still has an upload.
async fn is_open(world: &InProcess, key: &str, upload: &str) -> bool {
    let listed = world.aws().s3().list_parts().bucket(RESULTS).key(key).upload_id(upload);
    listed.send().await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_runs_out_of_time_is_continued_by_the_same_upload() {
    let file = large_file();
    let (world, dropped) = but_for_the_last(&file).await;
    let id = &dropped.id;
    let last = json!({"detail": {"drop": id, "part": 3}});
    deliver_end(&world.services, &last, Deadline::after(Duration::ZERO)).await.unwrap();
    assert!(results(&world, id).await.is_none(), "nothing is visible before it is whole");
    let begun = world.record(id).await;
    assert_eq!(begun.state, DropState::Evaluating);
    let upload = begun.results_upload.clone().expect("who comes next knows the upload");
    assert!(
        asks_to_publish(&world, id).is_empty(),
        "no piece was sent: another invocation would do no better"
    );

    // Nobody works on it: poll asks for the rest, whatever the drop has waited for.
    world.age_drop(id, "active_at", 21).await;
    world.age_drop(id, "retry_at", -600).await;
    world.poll().await;
    let detail = asks_to_publish(&world, id).remove(0);
    let again = json!({"detail": detail});
    deliver_end(&world.services, &again, Deadline::after(DAY)).await.unwrap();
    let done = world.ended(id).await;
    assert_eq!(done.status.state, DropState::Completed);
    assert_all_rows(&file, done.results());
    assert_eq!(world.record(id).await.results_upload, Some(upload));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_pieces_that_are_there_those_that_are_right_are_taken_and_others_replaced() {
    let file = large_file();
    let (world, dropped) = but_for_the_last(&file).await;
    let id = &dropped.id;
    let results_key = world.record(id).await.results_key();
    let bucket = &world.services.results;
    let begun = bucket.begin_assembly(&results_key, "another digest").await.unwrap();
    world.services.ledger.record_upload_of_results(id, &begun.upload).await.unwrap();
    // The second is the second part's rows, the third are other bytes, and there are too many.
    let second = world.parts(id).await.remove(1).collected.unwrap();
    let from = CopySource {
        key: &second.key,
        etag: second.etag.as_deref(),
        digest: &second.digest,
        bytes: second.bytes,
    };
    let right = bucket.copy_piece(&begun, 2, from).await.unwrap();
    for number in [3, 7] {
        bucket.send_piece(&begun, number, vec![b'x'; 6 << 20].into()).await.unwrap();
    }
    world.collect(id, 3).await.unwrap();
    assert_all_rows(&file, &results(&world, id).await.unwrap());
    assert!(right.has(&second.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_file_with_other_bytes_is_never_published() {
    let (world, dropped) = but_for_the_last(&large_file()).await;
    let id = &dropped.id;
    let part = world.parts(id).await.remove(1);
    let mut collected = part.collected.clone().unwrap();
    // As an earlier release recorded it: no ETag holds it to its object.
    collected.etag = None;
    let bytes = world.read(collected.key.as_str()).await.unwrap();
    world.put_object(RESULTS, collected.key.as_str(), vec![b'x'; bytes.len()]).await;
    world.replace_part(&PartRecord { collected: Some(collected.clone()), ..part }).await;
    for _ in 0..3 {
        world.collect(id, 3).await.expect("its record says what is wrong");
        assert!(results(&world, id).await.is_none());
    }
    assert_eq!(world.problem(id).await.as_deref(), Some("E_RESULTS"));
    world.put_object(RESULTS, collected.key.as_str(), bytes).await;
    world.collect(id, 3).await.unwrap();
    assert_all_rows(&large_file(), &results(&world, id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_failed_is_tried_again_some_minutes_later() {
    let file = large_file();
    let (world, dropped) = but_for_the_last(&file).await;
    let id = &dropped.id;
    let collected = world.parts(id).await.remove(1).collected.unwrap();
    let bytes = world.read(collected.key.as_str()).await.unwrap();
    world.delete_object(RESULTS, collected.key.as_str()).await;
    world.collect(id, 3).await.expect("its record says what is wrong");
    assert_eq!(world.problem(id).await.as_deref(), Some("E_RESULTS"));
    world.poll().await;
    assert_eq!(asks_to_publish(&world, id).len(), 0, "not at once");
    // Long before the drop would count as stalled.
    world.age_drop(id, "retry_at", 1).await;
    world.poll().await;
    let again = json!({"detail": asks_to_publish(&world, id).remove(0)});
    world.put_object(RESULTS, collected.key.as_str(), bytes).await;
    deliver_end(&world.services, &again, Deadline::after(DAY)).await.unwrap();
    let ended = world.ended(id).await;
    assert_eq!((ended.status.state, &ended.status.problem), (DropState::Completed, &None));
    assert_all_rows(&file, ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_over_is_replaced_by_a_new_one() {
    let file = large_file();
    let (world, dropped) = but_for_the_last(&file).await;
    let key = world.record(&dropped.id).await.results_key();
    let begun = world
        .aws()
        .s3()
        .create_multipart_upload()
        .bucket(RESULTS)
        .key(key.as_str())
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap();
    let over = begun.upload_id.unwrap();
    world.services.ledger.record_upload_of_results(&dropped.id, &over).await.unwrap();
    let abort = world.aws().s3().abort_multipart_upload().bucket(RESULTS).key(key.as_str());
    abort.upload_id(&over).send().await.unwrap();
    world.collect(&dropped.id, 3).await.unwrap();
    assert_all_rows(&file, &results(&world, &dropped.id).await.unwrap());
    let record = world.record(&dropped.id).await;
    assert!(record.results_upload.is_some_and(|upload| upload != over));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_the_place_of_the_results_stays_and_what_was_begun_is_given_up() {
    let (world, dropped) = but_for_the_last(&large_file()).await;
    let key = world.record(&dropped.id).await.results_key();
    let begun = world.services.results.begin_assembly(&key, "digest").await.unwrap();
    world.services.ledger.record_upload_of_results(&dropped.id, &begun.upload).await.unwrap();
    world.put_object(RESULTS, key.as_str(), "someone else's").await;
    world.collect(&dropped.id, 3).await.unwrap();
    let status = world.status(&dropped.id).await;
    assert_eq!(status.state, DropState::Evaluating);
    assert_eq!(status.problem.unwrap().code.as_str(), "E_CONFLICT");
    assert_eq!(results(&world, &dropped.id).await.unwrap(), b"someone else's");
    assert!(!is_open(&world, key.as_str(), &begun.upload).await, "its pieces would cost money");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_files_are_deleted_once_the_end_is_announced() {
    let (world, dropped) = but_for_the_last(&large_file()).await;
    world.collect(&dropped.id, 3).await.unwrap();
    assert!(world.record(&dropped.id).await.closed_at.is_some());
    assert_eq!(world.keys(&format!("work/{}", dropped.id)).await, [""; 0]);
}

/// Takes the sets of what is left away: a plan of an earlier release has none.
async fn forget_sets(world: &InProcess, id: &DropId) {
    for item in world.all_items().await {
        let [pk, sk] = ["pk", "sk"].map(|name| item[name].as_s().unwrap().clone());
        if pk == format!("DROP#{id}") && sk.starts_with("LEFT#") {
            let delete = world.aws().dynamodb().delete_item().table_name(TABLE);
            let [pk, sk] = [pk, sk].map(aws_sdk_dynamodb::types::AttributeValue::S);
            delete.key("pk", pk).key("sk", sk).send().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_an_earlier_release_is_published_too() {
    let (world, dropped) = but_for_the_last(&good_file(8)).await;
    forget_sets(&world, &dropped.id).await;
    world.collect(&dropped.id, 2).await.unwrap();
    assert!(results(&world, &dropped.id).await.is_none(), "one part is left");
    world.collect(&dropped.id, 4).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&good_file(8), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_of_several_sets_is_published_by_its_last_part_whichever_that_is() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "16")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(270)).await;
    assert!(world.submit(&dropped).await);
    world.api.complete_all();
    world.poll().await;
    let last = 100;
    for part in (1..=270).filter(|part| *part != last) {
        world.collect(&dropped.id, part).await.unwrap();
    }
    assert_eq!(world.record(&dropped.id).await.state, DropState::Evaluating);
    world.collect(&dropped.id, last).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&good_file(270), ended.results());
}
