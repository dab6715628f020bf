//! Errors with all their causes, on one line.

/// An error with all its causes on one line. The SDK's own errors show little but "service error": theirs are followed too.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
    }
    causes.join(": ")
}
