//! What a drop waits for.

use crate::drop::DropRecord;
use crate::problem::Problem;
use crate::services::Services;
use anyhow::Result;

/// Sets or clears a drop's problem and returns the current record. The caller also reports it, at
/// once or with another change.
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
