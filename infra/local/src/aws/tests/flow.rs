//! From an object to a record, through real processes.

use super::*;

#[tokio::test]
async fn an_object_flows_through_the_functions_and_is_announced_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    let key = "incoming/policy x/a b+c%2Fd%20é…😀&=.csv";
    put(&stack, "elsewhere/posts.csv", "not announced to submit").await;
    put(&stack, key, "ref_id,content\n").await;

    let completed = event(&stack, "Job Completed", 0).await;
    let announced = &completed["detail"]["announced"];
    assert_eq!(announced["detail"]["object"]["key"], key);
    assert_eq!(announced["detail"]["object"]["size"], 15);
    assert_eq!(announced["detail"]["reason"], "PutObject");
    assert_eq!(announced["detail-type"], "Object Created");
    assert_eq!(completed["detail"]["body"], "ref_id,content\n");
    assert_eq!(completed["detail"]["secret"], "first");
    assert_eq!(event(&stack, "Drop Completed", 0).await["detail"]["key"], key);

    let head = stack.s3().head_object().bucket(DROPS).key(key).send().await.unwrap();
    assert_eq!(announced["detail"]["object"]["etag"], head.e_tag().unwrap().trim_matches('"'));
    let modified = jiff::Timestamp::from_second(head.last_modified().unwrap().secs()).unwrap();
    assert_eq!(announced["time"], modified.to_string());

    stack.set_secret("api-key", SecretString::from("second"));
    stack.announce(DROPS, key).await.unwrap();
    let again = event(&stack, "Job Completed", 1).await;
    assert_eq!(again["detail"]["secret"], "second");
    for same in ["/time", "/detail/object", "/detail/reason"] {
        assert_eq!(again["detail"]["announced"].pointer(same), announced.pointer(same), "{same}");
    }
    event(&stack, "Drop Completed", 1).await;
    assert!(
        stack.announce(DROPS, "incoming/none").await.unwrap_err().to_string().contains("NoSuchKey")
    );

    let open = stack
        .dynamodb()
        .query()
        .table_name(TABLE)
        .index_name(INDEX)
        .key_condition_expression("#o = :o");
    let open = open
        .expression_attribute_names("#o", "open")
        .expression_attribute_values(":o", aws_sdk_dynamodb::types::AttributeValue::S("1".into()));
    assert_eq!(open.send().await.unwrap().items()[0]["pk"].as_s().unwrap(), key);
    assert_eq!(stack.dead_letters(), Vec::<Value>::new());
    assert_eq!(stack.failure(), None);
    assert!(
        fs::read_to_string(dir.path().join("logs/submit.log")).unwrap().contains("this is submit")
    );
    eventually("both invocations settled", || {
        (stack.invocations(Function::Submit).succeeded == 2).then_some(())
    })
    .await;
    assert_eq!(stack.invocations(Function::Submit), Counts { started: 2, succeeded: 2, failed: 0 });
    stack.stop().await;
}

#[tokio::test]
async fn a_tick_is_a_scheduled_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.processes = Processes { submit: 0, collect: 0 };
    let stack = AwsEmulator::start(config).await.unwrap();
    stack.tick();
    let ticked = event(&stack, "Ticked", 0).await;
    assert_eq!(ticked["detail"]["detail-type"], "Scheduled Event");
    assert_eq!(ticked["detail"]["source"], "aws.events");
    assert_eq!(stack.invocations(Function::Submit), Counts::default());
    stack.stop().await;
}

#[tokio::test]
async fn the_schedule_ticks_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.processes = Processes { submit: 0, collect: 0 };
    config.poll_every = Duration::from_millis(10);
    let stack = AwsEmulator::start(config).await.unwrap();
    event(&stack, "Ticked", 2).await;
    stack.stop().await;
}
