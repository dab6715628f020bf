//! What became of a part in this invocation.

use moondrop_shared::error_chain::describe;
use moondrop_shared::part::{PartFailure, PartRecord};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::metrics::Metric;

/// What became of a part in this invocation.
pub(crate) enum PartOutcome {
    /// Nothing is left to do for it here: its rows are with its job, or it has ended.
    Done,
    /// Nothing can be sent to its job, or it is not known whether something was; poll decides, and the part may come back.
    Waits,
    /// It was not uploaded, since time or the drop's turn was over.
    Left,
    /// It was not uploaded, for this reason; again may help.
    Later(Problem),
}

/// Tells operators of a part that ended here, without its rows having been sent. Counted once: one attempt ends it.
pub(crate) fn count_failure(services: &Services, part: &PartRecord, failure: &PartFailure) {
    let (number, job) = (part.plan.number, part.job_id.as_deref());
    tracing::error!(drop = %part.drop, part = number, job, alarm = "job_failed", error = failure.reason, "a part's rows were not sent");
    services.metrics.count(Metric::JobsFailed, 1);
}

/// Cancels a job that will get no rows. If that fails, the sweep finds it.
pub(crate) async fn cancel(services: &Services, part: &PartRecord, job: &str) {
    if let Err(error) = services.api.cancel(job).await {
        let error = describe(&error.into());
        tracing::warn!(drop = %part.drop, part = part.plan.number, job, error, "an unused job was not cancelled; the sweep will");
    }
}
