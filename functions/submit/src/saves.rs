//! Saves a check while it reads, and lets another invocation go on with it.
//!
//! ```text
//! work/<drop>/check/…-hashes-…, …-parts-…, …-rejections-…   segments: what came since the last save; never changed
//! work/<drop>/check/…-state-…                               the state, with the list of all its segments
//! DROP#<drop> META  check = {rules, pass, offset, line, segments, digest}       which state counts; only moves forward
//! ```
//!
//! The record's digest is that of the state's object, which has those of the segments: what is read
//! back is what was saved, or the check begins again. An attempt that dies between these writes
//! leaves objects that no record lists, which are ignored.

use crate::rejected_files::RejectedFiles;
use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use moondrop_shared::check::{CheckState, Checker, Place, SegmentKind};
use moondrop_shared::drop::{DropRecord, SavedCheck};
use moondrop_shared::error_chain::describe;
use moondrop_shared::object_key::ObjectKey;
use moondrop_shared::services::Services;
use moondrop_shared::services::s3::results_bucket::Written;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Instant;

/// So many bytes of `rejected.csv` at most wait to be saved.
const MOST_REJECTIONS: usize = 8 * 1024 * 1024;
/// How many segments are fetched at the same time, of at most some megabytes each.
const FETCHED_AT_ONCE: usize = 3;

/// The saves of one check by one attempt.
pub(crate) struct Saves<'a> {
    services: &'a Services,
    drop: &'a DropRecord,
    segments: Vec<SavedSegment>,
    /// Bytes of `rejected.csv` since the last save.
    rejections: Vec<u8>,
    /// Where this attempt began.
    began_at: Option<Place>,
    /// The place of this attempt's last save.
    saved_at: Option<Place>,
    /// When that was.
    since: Instant,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedSegment {
    kind: SegmentKind,
    name: String,
    /// Its SHA-256, in hex.
    digest: String,
}

/// The object that a record's `check` names.
#[derive(Serialize, Deserialize)]
struct SavedState {
    state: CheckState,
    segments: Vec<SavedSegment>,
}

impl<'a> Saves<'a> {
    pub(crate) fn of(services: &'a Services, drop: &'a DropRecord) -> Self {
        Saves {
            services,
            drop,
            segments: Vec::new(),
            rejections: Vec::new(),
            began_at: None,
            saved_at: None,
            since: Instant::now(),
        }
    }

    /// The checker that goes on where an earlier attempt was saved, with the bytes of `rejected.csv`
    /// so far; `None` if the check begins with the file's first byte.
    ///
    /// # Errors
    /// If what was saved cannot be read. Where it is not what the record names, the record forgets
    /// it: the next attempt begins again.
    pub(crate) async fn resume(
        &mut self,
        rejected: &mut RejectedFiles<'_>,
    ) -> Result<Option<Checker>> {
        let Some(saved) = &self.drop.check else { return Ok(None) };
        let resumed = Box::pin(self.read(saved, rejected)).await;
        if matches!(resumed, Ok(Some(_))) {
            tracing::info!(drop = %self.drop.id, place = ?saved.place(), "the check goes on");
            return resumed;
        }
        let is_other = resumed.as_ref().map_or_else(|error| error.is::<NotAsSaved>(), |_| true);
        if is_other {
            self.services.ledger.forget_check(&self.drop.id, saved).await?;
            self.segments.clear();
        }
        resumed
    }

    async fn read(
        &mut self,
        saved: &SavedCheck,
        rejected: &mut RejectedFiles<'_>,
    ) -> Result<Option<Checker>> {
        let name = state_name(saved);
        let SavedState { state, segments } =
            serde_json::from_slice(&self.fetch(&name, &saved.digest).await?)
                .map_err(not_as_saved)?;
        let (rules, limits) = (self.drop.rules, self.drop.limits);
        let checker = Checker::resume(state, rules, limits, self.drop.mapping().cloned());
        let Some(mut checker) = checker.map_err(not_as_saved)? else { return Ok(None) };
        let this = &*self;
        let mut fetched = stream::iter(&segments)
            .map(async |segment| {
                let bytes = this.fetch(&segment.name, &segment.digest).await?;
                anyhow::Ok((segment.kind, bytes))
            })
            .buffered(FETCHED_AT_ONCE);
        while let Some(segment) = fetched.next().await {
            let (kind, bytes) = segment?;
            checker.restore(kind, &bytes).map_err(not_as_saved)?;
            if kind == SegmentKind::Rejections {
                rejected.write(&bytes).await?;
            }
        }
        drop(fetched);
        checker.mark_saved();
        ensure!(checker.place() == Some(saved.place()), NotAsSaved);
        (self.began_at, self.saved_at) = (Some(saved.place()), Some(saved.place()));
        self.segments = segments;
        Ok(Some(checker))
    }

    /// Reads an object, which has to have this digest.
    async fn fetch(&self, name: &str, digest: &str) -> Result<Vec<u8>> {
        let key = ObjectKey::saved_check(&self.drop.id, name);
        let Some(body) = self.services.results.read(&key, None).await? else { bail!(NotAsSaved) };
        let bytes = body.collect().await.with_context(|| format!("read {key}"))?.to_vec();
        ensure!(hex::encode(Sha256::digest(&bytes)) == digest, NotAsSaved);
        Ok(bytes)
    }

    /// Takes the next bytes of `rejected.csv`.
    pub(crate) fn add(&mut self, rejections: &[u8]) {
        self.rejections.extend_from_slice(rejections);
    }

    /// A second pass begins: what was saved of the first is not needed for it.
    pub(crate) fn begin_pass(&mut self) {
        self.segments.clear();
        self.rejections.clear();
    }

    /// Saves the check if that is due. One that fails is tried again, and the check goes on.
    pub(crate) async fn save_if_due(&mut self, checker: &mut Checker) {
        let is_due = self.since.elapsed() >= self.services.settings.save_check_every
            || self.rejections.len() >= MOST_REJECTIONS;
        if !is_due {
            return;
        }
        if let Err(error) = self.save(checker).await {
            tracing::warn!(drop = %self.drop.id, error = describe(&error), "the check was not saved");
        }
        self.since = Instant::now();
    }

    /// Saves the check. Returns whether it has come further than where this attempt began.
    pub(crate) async fn save(&mut self, checker: &mut Checker) -> Result<bool> {
        if let Some(state) = checker.state()
            && self.saved_at < Some(state.place)
        {
            let before = self.segments.len();
            if let Err(error) = self.save_state(checker, state).await {
                self.segments.truncate(before);
                return Err(error);
            }
        }
        Ok(self.saved_at > self.began_at)
    }

    async fn save_state(&mut self, checker: &mut Checker, state: CheckState) -> Result<()> {
        let place = state.place;
        let first = self.saved_at.filter(|at| at.pass == place.pass).map_or(0, |at| at.offset);
        for segment in checker.unsaved() {
            let saved = self.store((first, place), segment.kind, &segment.bytes).await?;
            self.segments.push(saved);
        }
        if !self.rejections.is_empty() {
            let saved =
                self.store((first, place), SegmentKind::Rejections, &self.rejections).await?;
            self.segments.push(saved);
        }
        let state = SavedState { state, segments: self.segments.clone() };
        let body = serde_json::to_vec(&state).context("write the state of the check")?;
        let saved = SavedCheck {
            rules: self.drop.rules,
            pass: place.pass,
            offset: place.offset,
            line: place.line,
            segments: u32::try_from(self.segments.len())?,
            digest: hex::encode(Sha256::digest(&body)),
        };
        self.put(&state_name(&saved), &body).await?;
        // Where another attempt has come further, its state counts, and this one goes on.
        self.services.ledger.save_check(&self.drop.id, &saved, Timestamp::now()).await?;
        checker.mark_saved();
        self.rejections.clear();
        self.saved_at = Some(place);
        Ok(())
    }

    async fn store(
        &self,
        (first, last): (u64, Place),
        kind: SegmentKind,
        bytes: &[u8],
    ) -> Result<SavedSegment> {
        let digest = hex::encode(Sha256::digest(bytes));
        let (rules, pass, last) = (u32::from(self.drop.rules), last.pass, last.offset);
        let name = format!("{rules}-{pass}-{first}-{last}-{}-{}", kind.as_str(), &digest[..16]);
        self.put(&name, bytes).await?;
        Ok(SavedSegment { kind, name, digest })
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let key = ObjectKey::saved_check(&self.drop.id, name);
        let mut writer = self.services.results.begin(&key, bytes.len() as u64);
        writer.write(bytes, None).await?;
        let put = writer.finish(None).await;
        // No effect after `finish`.
        writer.abort().await;
        ensure!(put?.written != Written::Conflict, "{key} is another object");
        Ok(())
    }
}

fn state_name(saved: &SavedCheck) -> String {
    let SavedCheck { rules, pass, offset, digest, .. } = saved;
    let digest = digest.get(..16).unwrap_or(digest);
    format!("{}-{pass}-{offset}-state-{digest}", u32::from(*rules))
}

/// What is stored is not what was saved.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("what was saved of the check cannot be read: it begins again")]
struct NotAsSaved;

fn not_as_saved(error: impl Into<anyhow::Error>) -> anyhow::Error {
    error.into().context(NotAsSaved)
}
