//! Puts `results.csv` together from the parts' work files, most of it on S3's side.
//!
//! ```text
//! is it there? ──▶ upload recorded ──▶ pieces that S3 has ──▶ the others: copied, or sent ──▶ complete
//!                  (or a new one)           ▲                          │
//!                                           └── the time is over: the drop announces itself again
//! ```
//!
//! The upload's id is recorded before it is used: who comes later continues it, and two at once send
//! the same bytes. An upload that is over is looked for under its key, and otherwise replaced by a new one.

use crate::pieces::{Piece, Span, pieces};
use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::header;
use moondrop_shared::part::CollectedPart;
use moondrop_shared::part::join::results_header;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::s3::assembly::{
    Assembly, AssemblyError, CopySource, Piece as SentPiece,
};
use moondrop_shared::services::s3::results_bucket::Written;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many pieces are under way at the same time. One that is sent counts as several: its bytes are
/// in memory.
const AT_ONCE: usize = 8;
const SENT_COUNTS: u32 = 4;
/// How often the drop's record says that someone works on it.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);
/// How often an upload may be over, or a piece replaced, in one invocation before it is done.
const UPLOADS: u32 = 3;
/// How long to wait for another publisher that replaces pieces.
const REPLACED_AGAIN: Duration = Duration::from_secs(1);

/// What became of `results.csv` in this invocation.
pub(crate) enum Assembled {
    Written(Written),
    /// Another attempt has published the drop.
    Published,
    /// The time is over. What is done is kept.
    Unfinished {
        /// Whether pieces were sent in it.
        is_further: bool,
    },
}

const OTHER_BYTES: &str = "a part's work file has other bytes than were written";

/// The results of a drop whose parts are collected.
pub(crate) struct Results<'a> {
    services: &'a Services,
    drop: &'a DropRecord,
    parts: &'a [&'a CollectedPart],
    header: Vec<u8>,
    /// Identifies the whole before it is written: the SHA-256 of the header and of the parts'
    /// digests.
    digest: String,
}

impl<'a> Results<'a> {
    pub(crate) fn of(
        services: &'a Services,
        drop: &'a DropRecord,
        parts: &'a [&'a CollectedPart],
    ) -> Result<Self> {
        let header = results_header(&header(drop)?);
        let mut digest = Sha256::new_with_prefix(&header);
        parts.iter().for_each(|part| digest.update(part.digest.as_bytes()));
        let digest = hex::encode(digest.finalize());
        Ok(Results { services, drop, parts, header, digest })
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.header.len() as u64 + self.parts.iter().map(|part| part.bytes).sum::<u64>()
    }

    /// Writes `results.csv`, or goes on with it.
    pub(crate) async fn write(&self, deadline: Deadline) -> Result<Assembled> {
        let sizes: Vec<u64> = self.parts.iter().map(|part| part.bytes).collect();
        let pieces = pieces(self.header.len() as u64, &sizes);
        let written = if let [Piece::Send(spans)] = pieces.as_slice() {
            self.write_whole(spans).await
        } else {
            tokio::select! {
                written = self.assemble(&pieces, deadline) => written,
                never = self.heartbeat() => match never {},
            }
        };
        match written {
            Ok(assembled) => Ok(assembled),
            Err(error) => {
                // Another attempt may have published the drop and deleted the work files.
                let now = self.services.ledger.drop_record(&self.drop.id).await?;
                let is_published = now.is_some_and(|drop| drop.state.is_final());
                if is_published { Ok(Assembled::Published) } else { Err(error) }
            }
        }
    }

    /// In one request: it is small.
    async fn write_whole(&self, spans: &[Span]) -> Result<Assembled> {
        let bytes = self.read(spans, true).await?;
        let mut writer = self.services.results.begin(&self.drop.results_key(), 0);
        let written = async {
            writer.write(&bytes, Some(&self.digest)).await?;
            writer.finish(Some(&self.digest)).await
        }
        .await;
        if written.is_err() {
            writer.abort().await;
        }
        Ok(Assembled::Written(written?.written))
    }

    async fn assemble(&self, pieces: &[Piece], deadline: Deadline) -> Result<Assembled> {
        let (key, bucket) = (self.drop.results_key(), &self.services.results);
        let mut known = self.drop.results_upload.clone();
        for _ in 0..UPLOADS {
            let recorded = known.map(|upload| Assembly { key: key.clone(), upload });
            if let Some(written) = bucket.find(&key, &self.digest).await? {
                if let (Written::Conflict, Some(begun)) = (written, recorded) {
                    // Its pieces cost money, and its place is taken.
                    bucket.abort_assembly(&begun).await;
                }
                return Ok(Assembled::Written(written));
            }
            let assembly = match recorded {
                Some(assembly) => assembly,
                None => self.begin().await?,
            };
            known = match self.go_on(&assembly, pieces, deadline).await {
                Err(AssemblyError::Over) => {
                    // Most often it is gone already. If another one completes it, this changes nothing.
                    bucket.abort_assembly(&assembly).await;
                    self.services.ledger.forget_upload(&self.drop.id, &assembly.upload).await?;
                    None
                }
                Err(AssemblyError::Replaced) => {
                    // Another publisher sends the same bytes: what is listed then is what there is.
                    tokio::time::sleep(REPLACED_AGAIN).await;
                    Some(assembly.upload)
                }
                Err(error) => return Err(error.into()),
                Ok(assembled) => return Ok(assembled),
            };
        }
        bail!("results.csv was not completed in {UPLOADS} attempts; it is continued")
    }

    /// A new upload, or the one that another publisher has recorded.
    async fn begin(&self) -> Result<Assembly> {
        let Results { services, drop, digest, .. } = self;
        let begun = services.results.begin_assembly(&drop.results_key(), digest).await?;
        // If this fails it may be recorded all the same: then whoever comes next continues it.
        let recorded = services.ledger.record_upload_of_results(&drop.id, &begun.upload).await?;
        let upload =
            recorded.results_upload.context("the upload of results.csv was not recorded")?;
        if upload != begun.upload {
            services.results.abort_assembly(&begun).await;
        }
        Ok(Assembly { upload, ..begun })
    }

    async fn go_on(
        &self,
        assembly: &Assembly,
        pieces: &[Piece],
        deadline: Deadline,
    ) -> Result<Assembled, AssemblyError> {
        let mut done = self.services.results.pieces(assembly).await?;
        // What is not the piece that it should be is sent again in its place.
        done.retain(|number, sent| {
            let piece = usize::try_from(number - 1).ok().and_then(|at| pieces.get(at));
            piece.is_some_and(|piece| self.is_whole(*number, piece, sent))
        });
        let numbered = pieces.iter().enumerate().map(|(at, piece)| (at as i32 + 1, piece));
        let left: Vec<_> = numbered.filter(|(number, _)| !done.contains_key(number)).collect();
        let room = Semaphore::new(AT_ONCE);
        let mut sending = stream::iter(left)
            .map(|(number, piece)| {
                let room = &room;
                async move {
                    let permits = if matches!(piece, Piece::Copy(_)) { 1 } else { SENT_COUNTS };
                    let _room = room.acquire_many(permits).await.context("wait for room")?;
                    if deadline.is_near() {
                        return Ok(None);
                    }
                    let sent = self.put(assembly, number, piece);
                    match tokio::time::timeout(deadline.last_moment(), sent).await {
                        Ok(sent) => sent.map(|sent| Some((number, sent))),
                        Err(_) => Ok(None),
                    }
                }
            })
            .buffer_unordered(AT_ONCE);
        let mut sent_now = 0;
        while let Some(sent) = sending.try_next().await? {
            sent_now += usize::from(sent.is_some());
            done.extend(sent);
        }
        drop(sending);
        if done.len() < pieces.len() || deadline.is_near() {
            return Ok(Assembled::Unfinished { is_further: sent_now > 0 });
        }
        let written =
            self.services.results.complete_assembly(assembly, &done, &self.digest).await?;
        Ok(Assembled::Written(written))
    }

    /// Whether what S3 has is this piece.
    fn is_whole(&self, number: i32, piece: &Piece, sent: &SentPiece) -> bool {
        match piece {
            Piece::Copy(file) => sent.has(&self.parts[*file].digest),
            Piece::Send(spans) => {
                let header = if number == 1 { self.header.len() as u64 } else { 0 };
                let bytes = spans.iter().map(|span| span.bytes.end - span.bytes.start).sum::<u64>();
                sent.size == header + bytes
            }
        }
    }

    async fn put(
        &self,
        assembly: &Assembly,
        number: i32,
        piece: &Piece,
    ) -> Result<SentPiece, AssemblyError> {
        let bucket = &self.services.results;
        match piece {
            Piece::Copy(file) => {
                let part = self.parts[*file];
                let from = CopySource {
                    key: &part.key,
                    etag: part.etag.as_deref(),
                    digest: &part.digest,
                    bytes: part.bytes,
                };
                bucket.copy_piece(assembly, number, from).await
            }
            Piece::Send(spans) => {
                let bytes = self.read(spans, number == 1).await?;
                bucket.send_piece(assembly, number, bytes).await
            }
        }
    }

    /// These bytes of the parts' work files, after the header if they are the first ones.
    async fn read(&self, spans: &[Span], is_first: bool) -> Result<Bytes> {
        let expected: u64 = spans.iter().map(|span| span.bytes.end - span.bytes.start).sum();
        let mut bytes = BytesMut::with_capacity(self.header.len() + expected as usize);
        if is_first {
            bytes.extend_from_slice(&self.header);
        }
        for Span { file, bytes: range } in spans {
            let (part, length) = (self.parts[*file], range.end - range.start);
            if length == 0 {
                continue;
            }
            let results = &self.services.results;
            let mut body = results
                .read(&part.key, Some((range.start, length)))
                .await?
                .context("a part's work file is gone")?;
            let from = bytes.len();
            while let Some(piece) = body.next().await {
                bytes.extend_from_slice(&piece.context("read a part's work file")?);
                ensure!((bytes.len() - from) as u64 <= length, OTHER_BYTES);
            }
            ensure!((bytes.len() - from) as u64 == length, OTHER_BYTES);
            let is_all = length == part.bytes;
            ensure!(
                !is_all || hex::encode(Sha256::digest(&bytes[from..])) == part.digest,
                OTHER_BYTES
            );
        }
        Ok(bytes.freeze())
    }

    /// A drop that is being published is not stalled.
    async fn heartbeat(&self) -> Infallible {
        loop {
            tokio::time::sleep(HEARTBEAT_EVERY).await;
            let beaten = self.services.ledger.heartbeat(self.drop, Timestamp::now()).await;
            if let Err(error) = beaten {
                tracing::warn!(
                    drop = %self.drop.id, error = describe(&error),
                    "the drop was not marked as active"
                );
            }
        }
    }
}
