//! The ledger's database outlives a kill.

use super::*;
use aws_sdk_dynamodb::types::AttributeValue;
use std::process::{Command, Stdio};

/// Not a test: a process that writes until it is killed, and names what has been written.
#[tokio::test]
async fn writing_process() {
    let Ok(dir) = std::env::var("MOONDROP_WRITE_INTO") else {
        return;
    };
    let stack = servers(Path::new(&dir)).await;
    for n in 0.. {
        let key = |value: &str| AttributeValue::S(value.to_owned());
        let item = stack
            .dynamodb()
            .put_item()
            .table_name(TABLE)
            .item("pk", key("p"))
            .item("sk", key(&format!("{n:05}")));
        item.item("open", key("1")).item("open_since", key("2026")).send().await.unwrap();
        fs::write(Path::new(&dir).join("written.new"), n.to_string()).unwrap();
        fs::rename(Path::new(&dir).join("written.new"), Path::new(&dir).join("written")).unwrap();
    }
}

#[tokio::test]
async fn what_was_answered_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let command = this_test("dynamodb::writing_process");
    let mut process = Command::new(&command[0]);
    let process = process.args(&command[1..]).env("MOONDROP_WRITE_INTO", dir.path());
    let mut process = process.stdout(Stdio::null()).spawn().unwrap();
    let written = || fs::read_to_string(dir.path().join("written")).ok()?.parse::<usize>().ok();
    eventually("some items", || written().filter(|n| *n >= 20)).await;
    // On Unix this is SIGKILL.
    process.kill().unwrap();
    process.wait().unwrap();

    let stack = servers(dir.path()).await;
    let query = stack
        .dynamodb()
        .query()
        .table_name(TABLE)
        .index_name(INDEX)
        .key_condition_expression("#o = :o");
    let query = query.expression_attribute_names("#o", "open");
    let found = query
        .expression_attribute_values(":o", AttributeValue::S("1".into()))
        .send()
        .await
        .unwrap();
    assert!(found.items().len() > written().unwrap(), "{} of {:?}", found.items().len(), written());
    stack.stop().await;
}
