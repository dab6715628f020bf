//! Trees that break one rule each, so that every rule is seen to fail: openly, and behind a
//! re-export.

mod cycles;
mod files;
mod resolving;
mod rooms;

use crate::rules::Violation;

/// Asserts that a planted tree has one violation, which names its file and its rule, and gives its
/// message.
#[track_caller]
fn assert_one(violations: &[Violation], file: &str, rule: &str) -> String {
    let messages: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let [message] = messages.as_slice() else { panic!("one violation is planted: {messages:#?}") };
    assert!(message.starts_with(file), "{message} names {file}");
    assert!(message.contains(&format!("[rule: {rule}]")), "{message} names the rule {rule}");
    message.clone()
}
