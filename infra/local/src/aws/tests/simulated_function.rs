//! A simulated function: a process over `lambda_runtime` that does what the key of the object says.

use super::super::*;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

/// Not a test: the process that the tests' stacks start as each function.
#[test]
fn function_process() {
    let Ok(function) = std::env::var("AWS_LAMBDA_FUNCTION_NAME") else {
        return;
    };
    if std::env::var("SIMULATE").as_deref() == Ok("broken") {
        eprintln!("the setting X is missing");
        std::process::exit(3);
    }
    println!("this is {function}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(lambda_runtime::run(service_fn(handle))).unwrap();
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let payload = event.payload;
    match std::env::var("AWS_LAMBDA_FUNCTION_NAME")?.as_str() {
        "submit" => submit(&config, &payload["Records"][0]).await,
        "poll" => emit(&config, "Ticked", &payload).await,
        _ => {
            let body = payload["Records"][0]["body"].as_str().unwrap_or_default();
            collect(&config, &serde_json::from_str(body)?).await
        }
    }
}

async fn submit(config: &aws_config::SdkConfig, record: &Value) -> Result<Value, Error> {
    let event: Value = serde_json::from_str(record["body"].as_str().unwrap_or_default())?;
    let key = event["detail"]["object"]["key"].as_str().unwrap_or_default();
    let first = record["attributes"]["ApproximateReceiveCount"] == "1";
    if key.contains("die") && first {
        std::process::exit(9);
    }
    if key.contains("hang") && first {
        std::future::pending::<()>().await;
    }
    if key.contains("refuse") {
        return Ok(json!({"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}));
    }
    let object = aws_sdk_s3::Client::new(config).get_object().bucket(DROPS).key(key).send().await?;
    let body = object.body.collect().await?.into_bytes();
    let secrets = aws_sdk_secretsmanager::Client::new(config);
    let secret = secrets.get_secret_value().secret_id("api-key").send().await?;
    let text = String::from_utf8(body.to_vec())?;
    emit(
        config,
        "Job Completed",
        &json!({"announced": event, "body": text, "secret": secret.secret_string()}),
    )
    .await
}

async fn collect(config: &aws_config::SdkConfig, event: &Value) -> Result<Value, Error> {
    use aws_sdk_dynamodb::types::AttributeValue;
    let key = event["detail"]["announced"]["detail"]["object"]["key"].as_str().unwrap_or_default();
    if key.contains("uncollectable") {
        return Err("this cannot be collected".into());
    }
    let ledger = aws_sdk_dynamodb::Client::new(config).put_item().table_name(TABLE);
    let item = [("pk", key), ("sk", "META"), ("open", "1"), ("open_since", "2026")];
    let item = item.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
    ledger.set_item(Some(item.into())).send().await?;
    emit(config, "Drop Completed", &json!({"key": key})).await
}

async fn emit(
    config: &aws_config::SdkConfig,
    detail_type: &str,
    detail: &Value,
) -> Result<Value, Error> {
    use aws_sdk_eventbridge::{Client, types::PutEventsRequestEntry};
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(BUS)
        .source("moondrop")
        .detail_type(detail_type);
    let put = Client::new(config)
        .put_events()
        .entries(entry.detail(detail.to_string()).build())
        .send()
        .await?;
    match put.failed_entry_count() {
        0 => Ok(json!({"batchItemFailures": []})),
        _ => Err(format!("{:?}", put.entries()).into()),
    }
}
