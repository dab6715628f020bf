//! The emulator as a whole, with simulated functions.

mod completion;
mod dynamodb;
mod failures;
mod flow;
mod listings;
mod objects;
mod parts;
mod parts_listed;
mod simulated_function;
mod uploads_killed;

use super::*;
use secrecy::SecretString;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A command that runs one test of this very program, as a process.
fn this_test(name: &str) -> Vec<OsString> {
    let program = std::env::current_exe().unwrap().into_os_string();
    // The function's name comes last, and the test runner takes it for one more name, which no test
    // has.
    [program, "--exact".into(), format!("aws::tests::{name}").into(), "--nocapture".into()].into()
}

/// An emulator whose functions are simulated.
fn config(dir: &Path) -> AwsConfig {
    let mut config = AwsConfig::new(dir, this_test("simulated_function::function_process"));
    config.secrets.insert("api-key".into(), SecretString::from("first"));
    config.poll_every = Duration::from_secs(3600);
    config.redelivery = Redelivery { visibility: Duration::from_millis(20), max_receives: 3 };
    config.processes = Processes { submit: 1, collect: 1 };
    config
}

/// A stack that is only its servers.
async fn servers(dir: &Path) -> AwsEmulator {
    let mut config = config(dir);
    config.processes = Processes { submit: 0, collect: 0 };
    AwsEmulator::start(config).await.unwrap()
}

/// Waits until there is something to see.
async fn eventually<T>(what: &str, mut see: impl FnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = see() {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits for the `n`-th event (from 0) of a type on the bus.
async fn event(stack: &AwsEmulator, detail_type: &str, n: usize) -> Value {
    eventually(detail_type, || {
        stack.events().into_iter().filter(|event| event["detail-type"] == detail_type).nth(n)
    })
    .await
}

async fn put(stack: &AwsEmulator, key: &str, body: &'static str) {
    stack
        .s3()
        .put_object()
        .bucket(DROPS)
        .key(key)
        .body(body.as_bytes().to_vec().into())
        .send()
        .await
        .unwrap();
}
