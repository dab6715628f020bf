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
use moondrop_shared::source::DropId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Instant;

/// So many bytes of `rejected.csv` at most wait to be saved.
const MOST_REJECTIONS: usize = 8 * 1024 * 1024;
/// How many segments are fetched at the same time, of at most some megabytes each.
const FETCHED_AT_ONCE: usize = 3;

/// The file has so many rows, which is more than submit can check. Trying again does not help; more
/// memory does.
#[derive(Debug, thiserror::Error)]
#[error("its {0} rows take more memory than submit has")]
pub(crate) struct TooLarge(pub(crate) u64);

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
    /// When that was, or the last attempt at it.
    since: Instant,
    /// The last attempt failed.
    has_failed: bool,
    /// See [`Saves::is_overtaken`].
    is_overtaken: bool,
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
            has_failed: false,
            is_overtaken: false,
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
        // Before its segments are in memory.
        let (rows, most) = (checker.rows(), self.services.settings.rows_in_memory);
        ensure!(rows <= most, TooLarge(rows));
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

    /// Saves the check if that is due. A save that fails is tried again when the next one is due,
    /// and the check goes on meanwhile.
    ///
    /// # Errors
    /// If saves fail until too much waits to be saved.
    pub(crate) async fn save_if_due(&mut self, checker: &mut Checker) -> Result<()> {
        let waiting = self.rejections.len();
        let is_due = self.since.elapsed() >= self.services.settings.save_check_every
            || (waiting >= MOST_REJECTIONS && !self.has_failed);
        if !is_due {
            ensure!(waiting < 4 * MOST_REJECTIONS, "the check cannot be saved");
            return Ok(());
        }
        let saved = self.save(checker).await;
        if let Err(error) = &saved {
            let error = describe(error);
            tracing::warn!(drop = %self.drop.id, error, "the check was not saved");
        }
        (self.since, self.has_failed) = (Instant::now(), saved.is_err());
        Ok(())
    }

    /// Whether this attempt's check is of no use any more: another attempt has come further, or the
    /// drop is cancelled or checked.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.is_overtaken
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
        self.put(&state_name(&saved), &body, &saved.digest).await?;
        let recorded =
            self.services.ledger.save_check(&self.drop.id, &saved, Timestamp::now()).await?;
        // The same state, saved by another attempt, is as good.
        self.is_overtaken = !recorded.ours && recorded.record.check.as_ref() != Some(&saved);
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
        self.put(&name, bytes, &digest).await?;
        Ok(SavedSegment { kind, name, digest })
    }

    /// Stores an object, whose SHA-256 is known.
    async fn put(&self, name: &str, bytes: &[u8], digest: &str) -> Result<()> {
        let key = ObjectKey::saved_check(&self.drop.id, name);
        let mut writer = self.services.results.begin(&key, bytes.len() as u64);
        writer.write(bytes, Some(digest)).await?;
        let put = writer.finish(Some(digest)).await;
        // No effect after `finish`.
        writer.abort().await;
        ensure!(put?.written != Written::Conflict, "{key} is another object");
        Ok(())
    }
}

/// Deletes what was saved of a check that is over. The bucket's lifecycle deletes what remains.
pub(crate) async fn delete_saves(services: &Services, drop_id: &DropId) {
    let deleted = async {
        let prefix = ObjectKey::saved_check(drop_id, "").to_string();
        let keys = services.results.list(&prefix).await?;
        services.results.delete_all(&keys).await
    };
    if let Err(error) = deleted.await {
        let error = describe(&error);
        tracing::info!(drop = %drop_id, error, "what was saved of the check was not deleted");
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
