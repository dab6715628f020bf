//! Reads what a message announces: a drop, whose first record it makes, that a drop goes on, or the
//! user's request to cancel one.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use moondrop_shared::drop::{DropMapping, DropRecord, Terms};
use moondrop_shared::event::{Announcement, ObjectCreated, ObjectCreatedDetail};
use moondrop_shared::object_key::{CONTROL, Kind, cancelled_drop, kind, policy_folder};
use moondrop_shared::services::Services;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::source_reader::is_gone;
use moondrop_shared::source::{DropId, Source};

/// What a message announces.
pub(crate) enum Announced {
    /// A drop, by its first record.
    Drop(Box<DropRecord>),
    /// A drop that is recorded goes on.
    Requeued(DropId),
    /// The request to cancel a drop.
    Cancel(DropId),
}

/// Reads a message; `None` if its object is neither a drop nor a request, or is gone and its event
/// does not identify it.
pub(crate) async fn read(services: &Services, body: &str) -> Result<Option<Announced>> {
    let ObjectCreated { time, detail } = match Announcement::read(body)? {
        Announcement::Requeued(drop_id) => return Ok(Some(Announced::Requeued(drop_id))),
        Announcement::Created(created) => *created,
    };
    let key = &detail.object.key;
    if !services.settings.takes_drops_from(&detail.bucket.name) {
        // Not dropped: it may have been announced before the drop bucket was changed.
        bail!(
            "the object is in no bucket that drops are taken from: name its bucket in DROP_BUCKETS (FormerDropBucketArns), or delete the message"
        );
    }
    if let Some(drop_id) = cancelled_drop(key) {
        return Ok(Some(Announced::Cancel(drop_id)));
    }
    if key.starts_with(CONTROL) && !key.ends_with('/') {
        tracing::error!(
            key,
            alarm = "unknown_control",
            "the object is no request: cancel a drop with control/<drop>.cancel, where <drop> is the id in its status.json"
        );
    }
    match kind(key) {
        Kind::Drop => {}
        Kind::Other => return Ok(None),
        Kind::Mapping => {
            tracing::info!(
                key,
                "the object is a mapping: drops that are accepted from now on follow it"
            );
            return Ok(None);
        }
        Kind::Ignored => {
            tracing::warn!(
                key,
                "the object is no drop: its name or a folder's begins with `_` or `.`"
            );
            services.metrics.count(Metric::DropsIgnored, 1);
            return Ok(None);
        }
    }
    let Some(source) = source_of(services, detail).await? else { return Ok(None) };
    let settings = &services.settings;
    let terms = Terms {
        policy: settings.policy_for(policy_folder(&source.key)),
        limits: settings.limits,
        on_bad_rows: settings.on_bad_rows,
        wants_safe: settings.safe_results,
    };
    let record = DropRecord::new(source, time, terms, Timestamp::now());
    Ok(Some(Announced::Drop(Box::new(record))))
}

/// The drop's record in the ledger, recorded now if there is none.
///
/// The mapping is read once: a drop that is recorded already keeps the one that it was recorded
/// with, and of two attempts at once the ledger takes one's.
pub(crate) async fn record(services: &Services, mut new: DropRecord) -> Result<DropRecord> {
    if let Some(record) = services.ledger.drop_record(&new.id).await? {
        return Ok(record);
    }
    let mapping = match &services.settings.mapping {
        Some(mapping) => {
            Some(DropMapping { read: Some(mapping.clone()), ..DropMapping::default() })
        }
        None => services.drops.mapping(&new.source).await?,
    };
    let on_bad_rows = mapping.as_ref().and_then(|mapping| mapping.read.as_ref()?.on_bad_rows);
    new.on_bad_rows = on_bad_rows.unwrap_or(new.on_bad_rows);
    new.mapping = mapping.map(Box::new);
    services.ledger.accept(new).await
}

/// The object; asks S3 for what the event left out.
async fn source_of(services: &Services, mut detail: ObjectCreatedDetail) -> Result<Option<Source>> {
    if let Some(source) = detail.source() {
        return Ok(Some(source));
    }
    let object = &detail.object;
    match services.drops.head(&detail.bucket.name, &object.key, object.version()).await {
        // The event's own values are kept: another object under the key is not the announced one.
        Ok((etag, size)) => {
            detail.object.etag.get_or_insert(etag);
            detail.object.size.get_or_insert(size);
        }
        Err(error) if is_gone(&error) => {
            tracing::warn!(
                "an announced object is gone, and its event has no ETag or size to identify it"
            );
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    detail.source().context("an object without ETag or size").map(Some)
}
