//! What requests and evaluation have in common.

use super::clock::Clock;
use super::config::MissingIds;
use super::quirk::Quirk;
use super::sign::Signer;
use super::store::Store;
use jiff::SignedDuration;
use secrecy::SecretString;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::Notify;

pub(super) struct Shared {
    pub(super) api_key: SecretString,
    pub(super) takes: SignedDuration,
    pub(super) max_create_per_second: Option<u32>,
    pub(super) missing_ids: MissingIds,
    pub(super) quirk: Option<Quirk>,
    /// URLs of results by job, which [`Quirk::SameResultsUrl`] reports again.
    pub(super) kept_urls: Mutex<HashMap<String, String>>,
    pub(super) url: String,
    pub(super) clock: Clock,
    pub(super) signer: Signer,
    pub(super) store: Store,
    /// When the latest jobs were created, in real time.
    pub(super) created: Mutex<VecDeque<Instant>>,
    /// Rung when there may be something to evaluate sooner than was known.
    pub(super) bell: Notify,
    pub(super) stopping: AtomicBool,
}

impl Shared {
    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.quirk == Some(quirk)
    }
}
