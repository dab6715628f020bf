//! Metrics that are levels: read from the ledger at each tick, so that what an interrupted tick did
//! not write, the next one does.

use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::services::lambda::Deadline;
use moondrop_tests::emf;
use moondrop_tests::env::DAY;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::InProcess;
use moondrop_tests::rows::good_file;
use std::collections::BTreeMap;

/// What was measured since the last time.
fn measured(world: &InProcess) -> BTreeMap<String, u64> {
    let line = String::from_utf8(world.services.metrics.take_line()).unwrap();
    emf::lines(&line).remove(0).values
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_tick_did_not_write_the_next_one_does() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(3)).await;
    assert!(world.submit(&dropped).await);
    // Jobs are created side by side: the first part's is not always the first.
    let parts = world.parts(&dropped.id).await;
    let [failed, lost] = [0, 1].map(|at: usize| parts[at].job_id.clone().unwrap());
    world.api.set_state(&failed, "ERROR");
    world.absent_for(&dropped.id, 2, 24).await;
    world.api.forget(&lost);
    world.api.leave_out_missing();
    // The process of this tick ends, and what it measured with it.
    let interrupted = world.cold();
    let tick = moondrop_poll::handle(&interrupted, Timestamp::now(), Deadline::after(DAY));
    Box::pin(tick).await.unwrap();
    drop(interrupted);
    world.poll().await;
    let line = measured(&world);
    assert_eq!(line["JobsFailed"] + line["JobsLost"], 2, "{line:?}");
    assert_eq!(line["JobsUncollected"], 2);
    world.collect_all(&dropped.id).await;
    world.poll().await;
    let line = measured(&world);
    assert_eq!((line["JobsFailed"], line["JobsLost"], line["JobsUncollected"]), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_drop_that_comes_to_be_72_hours_old_is_announced_and_counted_anew() {
    let world = InProcess::start().await;
    let first = world.drop_file("incoming/first.csv", good_file(2)).await;
    let second = world.drop_file("incoming/second.csv", good_file(2)).await;
    for dropped in [&first, &second] {
        assert!(world.submit(dropped).await);
    }
    world.poll().await;
    assert_eq!(measured(&world)["DropsOverdue"], 0);

    world.age_drop(&first.id, "dropped_at", 72 * 60 + 1).await;
    world.poll().await;
    world.poll().await;
    assert_eq!(world.events("Drop Overdue", &first.id).len(), 1);
    assert_eq!(measured(&world)["DropsOverdue"], 1);
    // Later it counts no more, though the drop is still open: the alarm can notify again.
    world.poll_in(11).await;
    let line = measured(&world);
    assert_eq!((line["DropsOverdue"], line["OpenDrops"]), (0, 2));
    assert!(line["OldestDropAge"] > 72 * 3_600);

    world.age_drop(&second.id, "dropped_at", 72 * 60 + 1).await;
    world.poll_in(12).await;
    assert_eq!(measured(&world)["DropsOverdue"], 1);
    let event = world.events("Drop Overdue", &second.id).remove(0);
    assert_eq!((&event["state"], &event["rows"]["total"]), (&"evaluating".into(), &2.into()));
    assert_eq!(world.events("Drop Overdue", &first.id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_wait_and_hosts_that_are_refused_are_levels_with_their_ages() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    world.api.next(Call::Create, [Answer::job_elsewhere("job-1")]);
    assert!(!world.submit(&dropped).await);
    world.poll_in(60).await;
    let line = measured(&world);
    assert_eq!((line["PartsWaiting"], line["HostsRefused"], line["OpenJobs"]), (1, 1, 1));
    assert!((3_600..3_700).contains(&line["OldestWaitingAge"]), "{line:?}");
    assert!((3_600..3_700).contains(&line["OldestJobAge"]), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_for_rows_that_were_never_sent_are_counted_at_the_end() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    assert!(world.submit(&dropped).await);
    let results =
        "ref_id,type,labels,content,error\nr0,text,[],,\nr1,text,[],,\nstranger,text,[],,\n";
    world.api.change("job-1", |job| job.results = Some(results.into()));
    let ended = world.end(&dropped).await;
    ended.assert_state(DropState::Completed);
    assert_eq!(ended.status.results.unexpected, 1);
    let line = measured(&world);
    assert_eq!((line["RowsUnexpected"], line["RowsEvaluated"]), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_fail_and_labels_in_an_unknown_form_are_counted() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    assert!(world.submit(&dropped).await);
    let results = "ref_id,type,labels,content,error\nr0,text,spam 0.9,,\nr1,text,[],,\n";
    world.api.change("job-1", |job| job.results = Some(results.into()));
    world.api.complete_all();
    world.poll().await;
    measured(&world);
    world.api.next(Call::Download, [Answer::status(500)]);
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(measured(&world)["CollectAttemptsFailed"], 1);
    world.collect(&dropped.id, 1).await.unwrap();
    assert_eq!(measured(&world)["LabelsUnreadable"], 1);
}
