//! The shell of a function: logs, failures, and the time that is left.

use lambda_runtime::{Context, Diagnostic};
use std::time::Duration;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

/// With less than this left of its time, an invocation begins nothing new: what is under way can end.
pub const LAST_STRETCH: Duration = Duration::from_secs(30);

/// Sets up logs: JSON, a line an event, on standard output, from level `RUST_LOG` (default `info`).
pub fn init_logs() {
    // The clients' own traces show requests, with content, keys and addresses: whatever level is asked for, not these.
    const CLIENTS: [&str; 8] = ["aws_config", "aws_runtime", "aws_sdk", "aws_smithy", "h2", "hyper", "reqwest", "rustls"];
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    for client in CLIENTS {
        if let Ok(directive) = format!("{client}=info").parse() {
            filter = filter.add_directive(directive);
        }
    }
    let logs = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_env_filter(filter);
    // A second call, as in tests, changes nothing.
    let _ = logs.try_init();
}

/// A failed invocation, as Lambda is told of it: a stable word, and the whole chain of causes.
#[derive(Debug)]
pub struct Failure(anyhow::Error);

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure(error)
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Diagnostic { error_type: "MoondropError".to_owned(), error_message: describe(&failure.0) }
    }
}

/// An error with all its causes on one line. The SDK's own errors show little but "service error": theirs are followed too.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
    }
    words.join(": ")
}

/// When an invocation has to end.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that Lambda gave with the invocation.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Deadline(Instant::now() + context.deadline().duration_since(std::time::SystemTime::now()).unwrap_or_default())
    }

    /// This long from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Deadline(Instant::now() + time)
    }

    /// What is left before the last stretch.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(LAST_STRETCH)
    }

    /// Whether too little is left to begin anything new.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.left().is_zero()
    }
}
