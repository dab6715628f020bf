//! The shell of a function: its invocations, their failures, and the time that is left.

use crate::error_chain::describe;
use crate::services::metrics::Metrics;
use anyhow::Result;
use lambda_runtime::{Context, Diagnostic};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// With less than this left of its time, an invocation begins nothing new: what is under way can end.
pub const LAST_STRETCH: Duration = Duration::from_secs(30);

/// Runs one invocation: each of its lines of log has its request id, and what was measured is written at its end.
///
/// # Errors
/// As the work's.
pub async fn invocation<T>(context: &Context, metrics: &Metrics, work: impl Future<Output = Result<T>>) -> Result<T, Failure> {
    let request_id = context.request_id.as_str();
    // Of the highest level, as all spans here: they are to be there whatever is logged.
    let span = tracing::error_span!("invocation", request_id, xray_trace_id = context.xray_trace_id);
    let done = work.instrument(span).await;
    metrics.write(request_id);
    done.map_err(Failure)
}

/// A failed invocation, as Lambda is told of it: a stable word, and the whole chain of causes.
#[derive(Debug)]
pub struct Failure(anyhow::Error);

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Diagnostic { error_type: "MoondropError".to_owned(), error_message: describe(&failure.0) }
    }
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
        self.left_before(LAST_STRETCH)
    }

    /// What is left before what is under way is given up: five seconds, in which it is told how far the work has come.
    #[must_use]
    pub fn last_moment(&self) -> Duration {
        self.left_before(Duration::from_secs(5))
    }

    /// What is left before this much of its time.
    #[must_use]
    pub fn left_before(&self, rest: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(rest)
    }

    /// Whether too little is left to begin anything new.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.left().is_zero()
    }
}
