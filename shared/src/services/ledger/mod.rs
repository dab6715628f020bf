//! The ledger: one DynamoDB table, a record for each drop and each part, and the conditional writes
//! that make a drop happen exactly once.
//!
//! ```text
//! PLANNED ──create──▶ CREATED ──upload──▶ UPLOADED ──▶ COMPLETED ──▶ COLLECTED
//!    ▲                   │                 │  ▲ └──▶ FAILED ─────────────┘
//!    │                   │                 │  └─ lost, and reported again ┘
//!    └──── ABANDONING ◀──┴─────────────────┘  nothing was sent and the upload URL expired, or the job had its rows for a day
//!                                             and never started: claim, cancel, plan again
//! ```
//!
//! The rule that makes it exactly once: a job's id and upload URL are recorded **before** anything
//! is uploaded, under a condition that only one attempt can meet, and every later attempt uploads
//! the same bytes to the recorded URL. The start of an upload is recorded before its first byte: a
//! part without that record was never sent. There are no leases and no counters. Each write has a
//! condition and returns the current record ([`Recorded`]). If the condition failed, another
//! attempt made the transition, or a later one. If this write made it, it counts as ours, also when
//! its first answer was lost.
//!
//! Every method fails if DynamoDB does not answer, and if the record that it reads or returns is of
//! another version (see [`SCHEMA`](crate::form::SCHEMA)).

mod checks;
mod drops;
mod item;
mod left;
mod parts;
mod poll_state;
mod read;
mod reports;
mod stack;
mod sweeps;
mod update;
mod write;
mod writers;

use aws_sdk_dynamodb::Client;
use writers::Writers;

pub use parts::{BegunUpload, CreatedJob, FailedAttempt, Upload};
pub use poll_state::{Cursor, PollState, Witness};
pub use read::Open;
pub use reports::reports_since;
pub use sweeps::Sweep;
pub use write::Recorded;

/// The sparse index of what is still open: hash `open` (`DROP`, `SWEEP`, or one of the 16
/// keys of parts), range `open_since`.
pub const OPEN_INDEX: &str = "open-index";

const META: &str = "META";
const SWEEP: &str = "SWEEP";
/// How many writes run at the same time: a plan may have ten thousand parts, and a tick may change
/// as many.
pub const WRITES_AT_ONCE: usize = 16;

#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    writers: Writers,
}

impl Ledger {
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Ledger { client, table, writers: Writers::new() }
    }

    /// Sets the request whose id the next writes record.
    pub fn set_request(&self, id: &str) {
        self.writers.set_request(id);
    }
}
