//! The ledger: one DynamoDB table, a record for each drop and each part, and the conditional writes that make a drop happen
//! exactly once.
//!
//! ```text
//! PLANNED ──create──▶ CREATED ──upload──▶ UPLOADED ──▶ COMPLETED ──▶ COLLECTED
//!    ▲                   │                 │  ▲ └──▶ FAILED ─────────────┘
//!    │                   │                 │  └─ lost, and reported again ┘
//!    └──── ABANDONING ◀──┴─────────────────┘  nothing was sent and the upload URL ran out, or the job had its rows for a day
//!                                             and never started: claim, cancel, plan again
//! ```
//!
//! The rule that makes it exactly once: a job's id and upload URL are recorded **before** anything is uploaded, under a
//! condition that only one attempt can meet, and whoever resumes uploads the same bytes to the recorded URL. That an upload
//! begins is recorded before its first byte: a part without that mark was never sent. There are no leases and no counters.
//! Each write names its condition, and answers with the record as it now stands ([`Recorded`]): one whose condition failed was
//! done, or overtaken, by somebody else. One that was done by this very write counts as ours, also if its first answer was lost.

mod drops;
mod item;
mod parts;
mod poll_state;
mod read;
mod sweeps;
mod update;
mod write;
mod writers;

use aws_sdk_dynamodb::Client;
use writers::Writers;

pub use parts::{BegunUpload, CreatedJob, FailedAttempt, Upload};
pub use poll_state::{Cursor, PollState, Witness};
pub use read::Open;
pub use sweeps::Sweep;
pub use write::Recorded;

/// The sparse index of what is still open: hash `open` (`DROP`, `PART` or `SWEEP`), range `open_since`.
pub const OPEN_INDEX: &str = "open-index";

const META: &str = "META";
const SWEEP: &str = "SWEEP";
/// Writes under way at once where there are many to make: a plan may have ten thousand parts, and a tick may move as many.
pub const WRITES_AT_ONCE: usize = 16;

/// The table.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    writers: Writers,
}

impl Ledger {
    /// A ledger in this table.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Ledger { client, table, writers: Writers::new() }
    }

    /// From now on, writes are this request's.
    pub fn set_request(&self, id: &str) {
        self.writers.set_request(id);
    }
}
