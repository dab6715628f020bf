//! Error messages with their causes.

/// An error with all its causes on one line. The SDK's own message is little more than "service
/// error"; its causes say what failed.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if messages.last() != Some(&text) {
            messages.push(text);
        }
    }
    messages.join(": ")
}
