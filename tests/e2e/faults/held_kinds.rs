//! What holds results beside their form: labels that say nothing, another job's rows, cuts.

use crate::held::{HEADER, LABELS, completed, held, rows, with};
use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::fake_batch_api::{Answer, Call, results_of};
use moondrop_tests::in_process::{InProcess, collect};
use moondrop_tests::rows::{assert_all_rows, good_file};

#[tokio::test(flavor = "multi_thread")]
async fn blank_labels_without_an_empty_list_are_held_until_a_setting_says_what_they_are() {
    for blank in ["", "null"] {
        for (setting, evaluated) in [("missing", 3), ("evaluated", 4)] {
            let (world, dropped, held) = held(&with(&format!("r1,text,{blank},x,"))).await;
            assert_eq!(held.code.as_str(), "E_BLANK_LABELS", "{}", held.message);
            assert!(
                world
                    .status(&dropped.id)
                    .await
                    .problem
                    .unwrap()
                    .next_step
                    .contains("BLANK_LABELS=")
            );
            // Another setting does not let it go.
            collect(&world.cold_with("RESULTS_CONTENT_CHECK", "warn"), &dropped.id, 1)
                .await
                .unwrap();
            assert_eq!(world.states(&dropped.id).await, [PartState::Completed]);
            collect(&world.cold_with("BLANK_LABELS", setting), &dropped.id, 1).await.unwrap();
            let ended = world.ended(&dropped.id).await;
            assert_eq!(ended.status.rows.outcomes.evaluated, evaluated, "{blank:?} {setting}");
            assert_eq!(ended.status.results.blank, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_another_job_are_held() {
    let other: Vec<String> = (0..4).map(|i| format!("x{i},text,{LABELS},other {i},")).collect();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    for results in [rows(&other), HEADER.to_owned()] {
        let (world, dropped, held) = held(&results).await;
        assert_eq!(held.code.as_str(), "E_RESULTS_UNRELATED", "{}", held.message);
        collect(&world.cold_with("RESULTS_UNREADABLE", "rows"), &dropped.id, 1).await.unwrap();
        let ended = world.ended(&dropped.id).await;
        assert_eq!(
            (ended.status.state, ended.status.rows.outcomes.missing),
            (DropState::Failed, 4)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_with_other_texts_than_sent_are_held_from_twenty_on_and_else_counted() {
    for (count, is_held) in [(19, false), (20, true)] {
        let world = InProcess::start_with(&[("ROWS_PER_JOB", "100")]).await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(count)).await;
        assert!(world.submit(&dropped).await);
        let lines: Vec<String> =
            (0..count).map(|i| format!("r{i},text,{LABELS},quite another text {i},")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        world.api.change("job-1", |job| job.results = Some(rows(&lines).into_bytes()));
        world.api.complete_all();
        world.poll().await;
        world.collect(&dropped.id, 1).await.unwrap();
        let part = world.parts(&dropped.id).await.remove(0);
        assert_eq!(part.unconfirmed.is_some(), is_held, "{count}");
        if is_held {
            collect(&world.cold_with("RESULTS_CONTENT_CHECK", "warn"), &dropped.id, 1)
                .await
                .unwrap();
        }
        let ended = world.ended(&dropped.id).await;
        assert_eq!(ended.status.results.content_mismatches, count as u64);
        assert_eq!(ended.status.state, DropState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_different_evaluations_of_a_row_are_a_failed_row_that_is_counted() {
    let other = LABELS.replace("0.5", "0.9");
    let results = format!(
        "{}r1,text,{other},\"post 1, with a comma\",\n",
        with(&format!("r1,text,{LABELS},x,"))
    );
    let (world, dropped) = completed(&results).await;
    world.collect(&dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    let rows = assert_all_rows(&good_file(4), ended.results());
    assert_eq!(
        (rows[1]["error"].as_str(), rows[1]["labels"].as_str()),
        ("failed: the API gave two different answers", "")
    );
    assert_eq!((ended.status.results.conflicting, ended.status.results.duplicates), (1, 1));
    assert_eq!(ended.status.state, DropState::CompletedWithErrors);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_cut_took_away_is_missed_though_an_unexpected_one_makes_up_for_it() {
    let (world, dropped) = completed("").await;
    let whole = results_of(&world.api.job("job-1").uploads[0]);
    let mut lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let stranger = b"stranger,text,[],x,\n";
    lines.insert(1, stranger);
    let longer = lines.concat();
    let cut_after = |count: usize| {
        let bytes = lines[..count].iter().map(|line| line.len()).sum();
        Answer::faithful().without_length().cut(bytes)
    };
    world.api.change("job-1", |job| job.results = Some(longer.clone()));
    world.api.next(Call::Download, [cut_after(4), cut_after(5)]);
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(
        world.states(&dropped.id).await,
        [PartState::Completed],
        "it is fetched a third time, and came otherwise again"
    );
    world.collect(&dropped.id, 1).await.unwrap();
    let ended = world.ended(&dropped.id).await;
    assert_eq!((ended.status.rows.outcomes.evaluated, ended.status.results.unexpected), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_again_and_again_is_tried_less_and_less_often() {
    let (world, dropped) = completed("").await;
    world.api.always(Call::Download, Some(Answer::status(500)));
    let announced = || world.events("Job Completed", &dropped.id).len();
    assert_eq!(announced(), 1);
    for (attempt, minutes) in [2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        world.collect(&dropped.id, 1).await.unwrap();
        let part = world.parts(&dropped.id).await.remove(0);
        assert_eq!(part.attempts as usize, attempt + 1);
        let wait = part.retry_at.unwrap().duration_since(Timestamp::now());
        assert_eq!((wait.as_secs() + 30) / 60, minutes, "attempt {attempt}");
        world.age_part((&dropped.id, 1), "announced_at", 1).await;
        let before = announced();
        world.poll().await;
        assert_eq!(announced(), before, "not before it is due");
        world.age_part((&dropped.id, 1), "retry_at", 0).await;
        world.poll().await;
        assert_eq!(announced(), before + 1, "and when it is");
    }
    world.api.always(Call::Download, None);
    world.api.change("job-1", |job| job.results = None);
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(world.ended(&dropped.id).await.status.state, DropState::Completed);
}
