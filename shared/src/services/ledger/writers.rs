//! Records who made a write. If the answer to a conditional write is lost, the AWS client sends the
//! write again, and the first one makes its condition fail. So each transition has an attribute of
//! its own for its writer (`created_by`, `collected_by`, …), which no other write changes: if the
//! condition fails and the attribute names this write, the write took effect. So nothing is counted
//! twice or missed.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Unique names for writes: the request's id, a random number of this process (Lambda repeats a
/// request under the same id), and a counter.
#[derive(Debug, Clone)]
pub(super) struct Writers(Arc<Names>);

#[derive(Debug)]
struct Names {
    process: u64,
    request: Mutex<String>,
    count: AtomicU64,
}

impl Writers {
    pub(super) fn new() -> Self {
        // Random per process: the seed of the standard library's hash maps.
        let process = RandomState::new().hash_one(std::process::id());
        Writers(Arc::new(Names {
            process,
            request: Mutex::new("none".to_owned()),
            count: AtomicU64::new(0),
        }))
    }

    pub(super) fn set_request(&self, id: &str) {
        id.clone_into(&mut self.0.request.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn next(&self) -> String {
        let count = self.0.count.fetch_add(1, Ordering::Relaxed);
        let request = self.0.request.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{request}/{:08x}/{count}", self.0.process as u32)
    }
}
