//! What ends a problem of the stack, and what does not.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use moondrop_local::aws::TABLE;
use moondrop_shared::services::ledger::Ledger;
use moondrop_tests::env::{DAY, Dropped};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, submit};
use moondrop_tests::rows::good_file;

/// A drop whose one part waits for an upload to a host that is not allowed.
async fn refused_host() -> (InProcess, Dropped) {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    world.api.next(Call::Create, [Answer::job_elsewhere("job-1")]);
    assert!(!world.submit(&dropped).await);
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_HOST"));
    (world, dropped)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_read_and_not_create_stays_reported_until_it_creates() {
    let world = InProcess::start().await;
    let first = world.drop_file("incoming/first.csv", good_file(2)).await;
    assert!(world.submit(&first).await);
    let second = world.drop_file("incoming/second.csv", good_file(2)).await;
    world.api.always(Call::Create, Some(Answer::refusal(403, 7, "permission denied")));
    assert!(!world.submit(&second).await);
    world.poll().await;
    for dropped in [&first, &second] {
        let problem = world.problem(&dropped.id).await;
        assert_eq!(problem.as_deref(), Some("E_API_KEY"), "reading shows nothing of creating");
    }
    world.api.always(Call::Create, None);
    assert!(world.submit(&second).await);
    assert_eq!(world.problem(&second.id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_no_problem_any_more_when_the_setting_allows_it() {
    let (world, dropped) = refused_host().await;
    world.poll().await;
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_HOST"));
    let allowed = world.cold_with("SIGNED_URL_HOSTS", "example.net");
    let deadline = moondrop_shared::services::lambda::Deadline::after(DAY);
    moondrop_poll::handle(&allowed, Timestamp::now(), deadline).await.unwrap();
    assert_eq!(world.problem(&dropped.id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_no_problem_any_more_when_no_part_waits_for_it() {
    let (world, dropped) = refused_host().await;
    let other = world.drop_file("incoming/other.csv", good_file(2)).await;
    assert!(world.submit(&other).await);
    assert_eq!(world.problem(&other.id).await, None, "it waits for no upload");
    world.cancel(&dropped.id).await;
    world.poll().await;
    let stack = world.ledger.stack_problems().await.unwrap();
    assert_eq!(stack.upload_host, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_cannot_be_reported_holds_back_no_other_report() {
    let world = InProcess::start().await;
    let mut drops = Vec::new();
    for name in ["a", "b", "c"] {
        drops.push(world.drop_file(&format!("incoming/{name}.csv"), good_file(2)).await);
        assert!(world.submit(drops.last().unwrap()).await);
    }
    drops.sort_by(|a, b| a.id.cmp(&b.id));
    // The first one's record is of another form by now.
    let update = world.aws().dynamodb().update_item().table_name(TABLE);
    let update = update.key("pk", AttributeValue::S(format!("DROP#{}", drops[0].id)));
    let update = update.key("sk", AttributeValue::S("META".to_owned()));
    let update = update.update_expression("SET #s = :s").expression_attribute_names("#s", "schema");
    let form = AttributeValue::N("99".to_owned());
    update.expression_attribute_values(":s", form).send().await.unwrap();
    for job in world.api.jobs() {
        world.api.set_state(&job.id, "PREPROCESSING");
    }
    assert!(world.poll_at(Timestamp::now()).await.is_err());
    for dropped in &drops[1..] {
        let state = world.status(&dropped.id).await.parts[0].job_state.clone();
        assert_eq!(state.as_deref(), Some("PREPROCESSING"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_failed_check_that_failed_too_is_made_at_the_next_tick() {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(2)).await;
    let without = world.cold_with("RESULTS_BUCKET", "no-such-bucket");
    world.delete_object(moondrop_local::aws::DROPS, "incoming/none").await;
    // Its plan cannot be announced, and its problem cannot be reported.
    let small = world.cold_with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "64");
    let both = moondrop_shared::services::Services { results: without.results, ..small };
    assert_eq!(submit(&both, &[&dropped.message], DAY).await, ["0"]);
    let ledger: &Ledger = &world.ledger;
    assert_eq!(ledger.drop_record(&dropped.id).await.unwrap().unwrap().reports_due.len(), 1);
    world.poll().await;
    assert_eq!(world.problem(&dropped.id).await.as_deref(), Some("E_CHECK_SIZE"));
}
