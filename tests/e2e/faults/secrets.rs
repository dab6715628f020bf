//! Settings and secrets: a key rotated in mid-run, and what must never be told.

use moondrop_shared::drop::DropState;
use moondrop_tests::env::DAY;
use moondrop_tests::fake_batch_api::{Answer, Call, SIGNATURE};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::logs;
use moondrop_tests::rows::{assert_all_rows, good_file};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_rotated_in_mid_run_is_taken_up_by_every_function() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    let rotate = |key: &str| {
        world.api.set_key(key);
        world.rotate_key(key);
    };
    assert_eq!(
        submit(&world.services, &[&dropped.message], std::time::Duration::from_secs(10)).await,
        ["0"]
    );
    rotate("key-two");
    assert!(world.submit(&dropped).await);
    rotate("key-three");
    world.api.complete_all();
    world.poll().await;
    rotate("key-four");
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    assert_eq!(ended.status.state, DropState::Completed);
    assert_all_rows(&good_file(4), ended.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_empty_or_no_key_is_waited_for_and_never_shown() {
    for bad in ["", "two\nlines-KEYMARKER", "with blanks KEYMARKER"] {
        let world = InProcess::start().await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
        world.rotate_key(bad);
        assert!(!world.submit(&dropped).await, "{bad:?}");
        let problem = world.status(&dropped.id).await.problem.unwrap();
        assert_eq!(
            (problem.code.as_str(), problem.next_step.contains("into its secret")),
            ("E_API_KEY", true),
            "{problem:?}"
        );
        let counted = String::from_utf8(world.services.metrics.take_line()).unwrap();
        assert!(counted.contains(r#""ApiKeyRefused":1"#), "the alarm sees it: {counted}");
        world.rotate_key(moondrop_tests::env::KEY);
        assert_eq!(world.finish(&dropped).await.status.state, DropState::Completed);
    }
    assert!(!logs::all().contains("KEYMARKER"));
}

#[tokio::test(flavor = "multi_thread")]
async fn content_key_and_pre_signed_urls_are_in_no_log_event_status_or_record() {
    const CONTENT: &str = "CONTENTMARKER";
    const KEY: &str = "APIKEYMARKER";
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1"), ("UPLOADS_AT_ONCE", "1")]).await;
    world.api.set_key(KEY);
    world.rotate_key(KEY);
    let file = format!(
        "ref_id,type,content,note\n1,text,{CONTENT} one,{CONTENT}\n2,text,{CONTENT} two,n\n3,video,{CONTENT},n\n\
         4,image_url,{CONTENT} is no address,n\n5,text,{CONTENT} five,n\n"
    );
    let dropped = world.drop_file("incoming/posts.csv", file.clone()).await;
    // Every kind of problem on the way, each of which is logged.
    world.api.next(Call::Create, [Answer::lost()]);
    assert!(!world.submit(&dropped).await);
    for upload in [Answer::status(403), Answer::status(500), Answer::break_after(9), Answer::lost()]
    {
        world.api.next(Call::Upload, [upload]);
        assert!(!world.submit(&dropped).await);
    }
    assert_clean(&world, &[CONTENT, KEY]).await;
    assert!(world.submit(&dropped).await);
    world.api.always(
        Call::Get,
        Some(Answer::body(format!("{{\"outputFileUrl\":\"http://x/?{SIGNATURE}\""))),
    );
    let error = world.poll_at(jiff::Timestamp::now()).await.unwrap_err();
    assert!(!format!("{error:?}").contains(SIGNATURE), "{error:?}");
    world.api.always(Call::Get, None);
    world.api.complete_all();
    world.poll().await;
    let part = |number: u32| world.collect(&dropped.id, number);
    for download in [
        Answer::status(403),
        Answer::status(500),
        Answer::lost(),
        Answer::body(format!("<p>{CONTENT}\n<p>\n")),
    ] {
        world.api.next(Call::Download, [download]);
        part(1).await.unwrap();
    }
    assert_eq!(world.parts(&dropped.id).await[0].attempts, 4);
    world.collect_all(&dropped.id).await;
    let ended = world.ended(&dropped.id).await;
    assert_all_rows(file.as_bytes(), ended.results());
    assert_clean(&world, &[CONTENT, KEY, SIGNATURE]).await;
    // A file refused as a whole is told by its place, not by its words.
    let refused = world
        .drop_file("incoming/refused.csv", format!("ref_id,type,content\n1,text,{CONTENT}\"x\n"))
        .await;
    assert!(
        submit(
            &world.services,
            &[&refused.message, CONTENT, &format!("{{\"time\":\"{CONTENT}\"}}")],
            DAY
        )
        .await
        .len()
            == 2
    );
    assert_clean(&world, &[CONTENT, KEY, SIGNATURE]).await;
    let rejected =
        world.keys("results/").await.into_iter().filter(|key| key.ends_with("rejected.csv"));
    for key in rejected {
        assert!(
            !String::from_utf8(world.read(&key).await.unwrap()).unwrap().contains(CONTENT),
            "{key}"
        );
    }
}

/// No marker is told anywhere. The ledger's upload address is left out while it is needed, and
/// checked to be gone after.
async fn assert_clean(world: &InProcess, markers: &[&str]) {
    let mut told =
        vec![("the log", logs::all()), ("an event", format!("{:?}", world.aws().events()))];
    for mut record in world.all_items().await {
        if !markers.contains(&SIGNATURE) {
            record.remove("upload_url");
        }
        // The header line, which is no content, and the key of the file.
        told.push(("a record", format!("{record:?}")));
    }
    for key in world.keys("results/").await.into_iter().filter(|key| key.ends_with("status.json")) {
        told.push(("status.json", String::from_utf8(world.read(&key).await.unwrap()).unwrap()));
    }
    for marker in markers {
        for (place, text) in &told {
            let line = text.lines().find(|line| line.contains(marker));
            assert!(line.is_none(), "{marker} stands in {place}: {line:?}");
        }
    }
    if !markers.contains(&SIGNATURE) {
        assert!(!logs::all().contains(SIGNATURE));
    }
}
