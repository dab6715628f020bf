//! Who made a write. A conditional write whose answer is lost is sent again by the AWS client, and then its own first effect
//! fails its condition. So each transition keeps its writer in an attribute of its own (`created_by`, `collected_by`, …), which no
//! other write changes: if the condition fails and the record names us there, it was done, and by us. What is counted once is
//! then counted once.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Names for writes, of which no two are the same: the request, a word of this process (Lambda repeats a request under the same
/// id) and a counter.
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
        // Random per process: what the standard library seeds its hash maps with.
        let process = RandomState::new().hash_one(std::process::id());
        Writers(Arc::new(Names { process, request: Mutex::new("none".to_owned()), count: AtomicU64::new(0) }))
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
