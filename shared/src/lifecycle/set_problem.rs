//! What a drop waits for.

use crate::drop::DropRecord;
use crate::problem::Problem;
use crate::services::Services;
use anyhow::Result;

/// Records what a drop waits for, or that it waits no more; gives the record as it now stands.
/// Whoever sets it reports it, too: with what else changed, or at once.
///
/// # Errors
/// If the ledger does not answer.
pub async fn set_problem(
    services: &Services,
    drop: &DropRecord,
    problem: Option<Problem>,
) -> Result<DropRecord> {
    if drop.problem == problem {
        return Ok(drop.clone());
    }
    Ok(services.ledger.set_problem(drop, problem.as_ref()).await?.record)
}
