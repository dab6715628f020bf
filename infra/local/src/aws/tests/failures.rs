//! What happens when a function dies, hangs, refuses or never starts.

use super::*;

#[tokio::test]
async fn a_process_that_dies_is_replaced_and_its_message_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    let before =
        eventually("a process", || stack.process_ids(Function::Submit).first().copied()).await;
    put(&stack, "incoming/die.csv", "x").await;
    event(&stack, "Job Completed", 0).await;
    assert_ne!(stack.process_ids(Function::Submit), [before]);
    let counts = eventually("settled", || {
        Some(stack.invocations(Function::Submit)).filter(|c| c.succeeded == 1)
    })
    .await;
    assert_eq!(counts, Counts { started: 2, succeeded: 1, failed: 1 });
    stack.stop().await;
}

#[tokio::test]
async fn a_process_that_hangs_is_killed_when_its_time_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.function_timeout = Duration::from_secs(3);
    let stack = AwsEmulator::start(config).await.unwrap();
    put(&stack, "incoming/hang.csv", "x").await;
    event(&stack, "Job Completed", 0).await;
    assert!(stack.invocations(Function::Submit).failed >= 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_message_refused_too_often_becomes_a_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    put(&stack, "incoming/refuse.csv", "x").await;
    let letter = eventually("a dead letter", || stack.dead_letters().pop()).await;
    assert_eq!(letter["receives"], 3);
    assert_eq!(letter["body"]["detail"]["object"]["key"], "incoming/refuse.csv");
    // A partial failure is an answer, not an error of the function.
    assert_eq!(stack.invocations(Function::Submit), Counts { started: 3, succeeded: 3, failed: 0 });
    stack.stop().await;
}

#[tokio::test]
async fn a_message_that_collect_fails_at_stays_invisible_and_is_given_up_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.redelivery.visibility = Duration::from_millis(300);
    let stack = AwsEmulator::start(config).await.unwrap();
    let began = std::time::Instant::now();
    put(&stack, "incoming/uncollectable.csv", "x").await;
    let letter = eventually("a dead letter", || stack.dead_letters().pop()).await;
    assert!(began.elapsed() >= Duration::from_millis(600), "invisible twice");
    assert_eq!(letter["function"], "collect");
    assert_eq!(letter["receives"], 3);
    assert_eq!(letter["body"]["detail-type"], "Job Completed");
    assert_eq!(stack.invocations(Function::Collect).failed, 3);
    put(&stack, "incoming/good.csv", "x").await;
    assert_eq!(event(&stack, "Drop Completed", 0).await["detail"]["key"], "incoming/good.csv");
    assert_eq!(stack.invocations(Function::Collect).started, 4);
    stack.stop().await;
}

#[tokio::test]
async fn a_function_that_never_starts_is_named_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.environment.insert("SIMULATE".into(), "broken".into());
    let stack = AwsEmulator::start(config).await.unwrap();
    let failure = eventually("a failure", || stack.failure()).await;
    assert!(failure.contains("did not start") && failure.contains("exit status: 3"), "{failure}");
    assert!(failure.contains("the setting X is missing"), "{failure}");
    stack.stop().await;
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.function_command = vec!["/nonexistent/moondrop".into()];
    let stack = AwsEmulator::start(config).await.unwrap();
    let failure = eventually("a failure", || stack.failure()).await;
    assert!(failure.contains("/nonexistent/moondrop"), "{failure}");
    stack.stop().await;
}

#[tokio::test]
async fn one_stack_at_a_time_and_none_of_its_processes_after() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    let second = AwsEmulator::start(config(dir.path())).await.unwrap_err();
    assert!(second.to_string().contains("another moondrop"), "{second}");
    let ids: Vec<_> = eventually("three processes", || {
        Some(Function::ALL.iter().flat_map(|f| stack.process_ids(*f)).collect())
            .filter(|ids: &Vec<u32>| ids.len() == 3)
    })
    .await;
    stack.stop().await;
    for id in ids {
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{id} still runs");
    }
    AwsEmulator::start(config(dir.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_stack_that_is_dropped_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    let id = eventually("a process", || stack.process_ids(Function::Poll).first().copied()).await;
    drop(stack);
    // A process that is dead but not yet reaped has no command line.
    let gone = || fs::read(format!("/proc/{id}/cmdline")).map_or(true, |line| line.is_empty());
    eventually("its end", || gone().then_some(())).await;
}
