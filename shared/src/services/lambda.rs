//! The shell of a function: its invocations, their failures, and their remaining time.

use crate::error_chain::describe;
use crate::services::metrics::Metrics;
use anyhow::Result;
use lambda_runtime::{Context, Diagnostic};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// In this last part of its time an invocation begins nothing new, so that work in progress can
/// end.
pub const LAST_STRETCH: Duration = Duration::from_secs(30);

/// Runs one invocation: each of its log lines has the request id, and its metrics are written at
/// its end.
///
/// # Errors
/// As the work's.
pub async fn invocation<T>(
    context: &Context,
    metrics: &Metrics,
    work: impl Future<Output = Result<T>>,
) -> Result<T, Failure> {
    let request_id = context.request_id.as_str();
    // All spans are of the highest level, so that no log filter removes them.
    let span =
        tracing::error_span!("invocation", request_id, xray_trace_id = context.xray_trace_id);
    metrics.set_request(request_id);
    let done = work.instrument(span).await;
    metrics.flush();
    done.map_err(Failure)
}

/// A failed invocation as it is reported to Lambda: a stable error type, and the message with all
/// its causes.
#[derive(Debug)]
pub struct Failure(anyhow::Error);

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Diagnostic { error_type: "MoondropError".to_owned(), error_message: describe(&failure.0) }
    }
}

/// The time at which an invocation has to end.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Deadline(
            Instant::now()
                + context
                    .deadline()
                    .duration_since(std::time::SystemTime::now())
                    .unwrap_or_default(),
        )
    }

    #[must_use]
    pub fn after(time: Duration) -> Self {
        Deadline(Instant::now() + time)
    }

    /// The time left before [`LAST_STRETCH`].
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left_before(LAST_STRETCH)
    }

    /// The time left until work in progress is given up: five seconds before the end, which are for
    /// reporting the progress.
    #[must_use]
    pub fn last_moment(&self) -> Duration {
        self.left_before(Duration::from_secs(5))
    }

    /// The time left until `rest` before the end.
    #[must_use]
    pub fn left_before(&self, rest: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(rest)
    }

    /// Whether too little time is left to begin anything new.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.left().is_zero()
    }
}
