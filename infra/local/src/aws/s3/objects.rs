//! The objects of S3: `s3s-fs` on a folder, made safe to read while it is written, and announcing
//! what arrives.

use super::keys;
use super::locks::Locks;
use super::uploads::Uploads;
use crate::aws::events::{Buses, Event};
use crate::aws::names::{ACCOUNT, DEFAULT_BUS, DROPS, RESULTS};
use crate::files::write_whole;
use crate::sync::locked;
use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use moondrop_shared::object_key::{Kind, cancelled_drop, kind};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::task::TaskTracker;

/// The objects of all buckets.
#[derive(Clone, Debug)]
pub(crate) struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    files: FileSystem,
    uploads: Uploads,
    locks: Locks,
    calls: TaskTracker,
    buses: Arc<Buses>,
    no_drops: Mutex<BTreeSet<String>>,
}

impl Objects {
    /// Opens the objects kept below `root`, and creates the buckets.
    pub(crate) fn open(root: &Path, buses: Arc<Buses>) -> Result<Self> {
        for bucket in [DROPS, RESULTS] {
            let path = root.join(bucket);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("creating the bucket {}", path.display()))?;
        }
        let files = FileSystem::new(root)
            .map_err(|e| anyhow!("opening S3 in {}: {e:?}", root.display()))?;
        let uploads = Uploads::open(root)
            .with_context(|| format!("opening the multipart uploads in {}", root.display()))?;
        Ok(Self(Arc::new(Inner {
            root: root.to_owned(),
            files,
            uploads,
            locks: Locks::default(),
            calls: TaskTracker::new(),
            buses,
            no_drops: Mutex::default(),
        })))
    }

    /// Requests being answered: they are answered to the end, even if the stack is stopped.
    pub(crate) fn calls(&self) -> &TaskTracker {
        &self.0.calls
    }

    /// For the operations that need no more care than `s3s-fs` takes.
    pub(crate) fn files(&self) -> &FileSystem {
        &self.0.files
    }

    pub(super) fn uploads(&self) -> &Uploads {
        &self.0.uploads
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.0.locks
    }

    /// The keys of what has been put into the drops bucket and is neither a drop nor a valid request.
    pub(crate) fn no_drops(&self) -> Vec<String> {
        locked(&self.0.no_drops).iter().cloned().collect()
    }

    /// The event that announced an object when it was stored.
    pub(crate) async fn announcement(&self, bucket: &str, key: &str) -> Result<Value> {
        let _reading = self.0.locks.read(bucket, key).await;
        let event = self.created(bucket, key, "PutObject").await;
        event.map_err(|e| anyhow!("{} of s3://{bucket}/{key}", e.code().as_str()))
    }

    /// Announces an object again, as when it was stored.
    pub(crate) async fn announce(&self, bucket: &str, key: &str) -> Result<()> {
        let event = self.announcement(bucket, key).await?;
        self.0.buses.publish(DEFAULT_BUS, &event);
        Ok(())
    }

    /// Announces what has just been stored. The caller still holds the object's lock, so that the
    /// event is about this version and no later one.
    pub(super) async fn stored(&self, bucket: &str, key: &str, reason: &str) {
        // A folder marker is kept as a folder: there is no object to announce.
        if bucket != DROPS || key.ends_with('/') {
            return;
        }
        let is_read = matches!(kind(key), Kind::Drop | Kind::Mapping);
        if !is_read && cancelled_drop(key).is_none() {
            locked(&self.0.no_drops).insert(key.to_owned());
        }
        match self.created(bucket, key, reason).await {
            Ok(event) => self.0.buses.publish(DEFAULT_BUS, &event),
            Err(error) => tracing::error!(
                bucket,
                key,
                code = error.code().as_str(),
                "a stored object is not there"
            ),
        }
    }

    /// The event "Object Created" of an object.
    async fn created(&self, bucket: &str, key: &str, reason: &str) -> S3Result<Value> {
        keys::check(&self.0.root, bucket, key, false)?;
        let head = HeadObjectInput {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            ..Default::default()
        };
        let head = self.0.files.head_object(request(head)).await?.output;
        let path = self.0.root.join(bucket).join(key);
        let modified = std::fs::metadata(path)
            .and_then(|m| m.modified())
            .map_err(|e| s3_error!(e, NoSuchKey))?;
        let time = Timestamp::try_from(modified).map_err(|e| s3_error!(e, InternalError))?;
        let detail = json!({
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": head.content_length,
                "etag": head.e_tag.as_ref().map(ETag::value),
                "sequencer": sequencer(modified),
            },
            "request-id": format!("{:016X}", fastrand::u64(..)),
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": reason,
        });
        let resources = vec![format!("arn:aws:s3:::{bucket}")];
        Ok(Event { source: "aws.s3", detail_type: "Object Created", time, resources, detail }
            .envelope())
    }

    /// Makes a write safe against our own sudden end. `s3s-fs` puts an object in its place first
    /// and what belongs to it afterwards: so the attributes of a new object are written beforehand,
    /// and the ETag and checksums of an earlier one are forgotten (the ETag is then computed from
    /// the bytes).
    fn make_ready(&self, bucket: &str, key: &str, attributes: &Attributes<'_>) -> S3Result<()> {
        let internal = |e: std::io::Error| s3_error!(e, InternalError);
        match std::fs::remove_file(keys::sidecar(&self.0.root, bucket, key, "internal")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(internal(e)),
            _ => {}
        }
        if self.0.root.join(bucket).join(key).exists() {
            return Ok(());
        }
        let target = keys::sidecar(&self.0.root, bucket, key, "metadata");
        let json = serde_json::to_vec(attributes).map_err(|e| s3_error!(e, InternalError))?;
        write_whole(&target, json).map_err(internal)
    }

    pub(super) fn check_key(&self, bucket: &str, key: &str, multipart: bool) -> S3Result<()> {
        // `s3s-fs` would make the bucket's folder along with the object's.
        if !self.0.root.join(bucket).is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        keys::check_drop(bucket, key)?;
        keys::check(&self.0.root, bucket, key, multipart)
    }
}

/// What `s3s-fs` keeps of an object beside its bytes, as far as it is used here.
#[derive(serde::Serialize)]
struct Attributes<'a> {
    user_metadata: &'a Option<Metadata>,
    content_type: &'a Option<ContentType>,
}

/// Grows with the time of writing, and is the same however often it is asked for.
fn sequencer(modified: SystemTime) -> String {
    let nanoseconds =
        modified.duration_since(UNIX_EPOCH).map(|age| age.as_nanos()).unwrap_or_default();
    format!("{nanoseconds:016X}")
}

/// A request that we make ourselves.
pub(super) fn request<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: Default::default(),
        uri: Default::default(),
        headers: Default::default(),
        extensions: Default::default(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

/// The encoding an object is stored with. `aws-chunked` is how its bytes were sent, and S3 takes it
/// off.
fn stored_encoding(sent: &str) -> Option<ContentEncoding> {
    let stored: Vec<_> =
        sent.split(',').map(str::trim).filter(|one| !matches!(*one, "" | "aws-chunked")).collect();
    (!stored.is_empty()).then(|| stored.join(","))
}

/// `If-Match` on a read, which `s3s-fs` does not look at.
fn check_if_match(condition: Option<&ETagCondition>, e_tag: Option<&ETag>) -> S3Result<()> {
    match (condition.and_then(ETagCondition::as_etag), e_tag) {
        (Some(wanted), Some(found)) if !found.strong_cmp(wanted) => Err(s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold"
        )),
        _ => Ok(()),
    }
}

/// An object that came by a multipart upload still has, in `s3s-fs`, the checksums of the one it
/// replaced, and clients would find it broken.
macro_rules! forget_stale_checksums {
    ($output:expr) => {
        if $output.e_tag.as_ref().is_some_and(|e_tag| e_tag.value().contains('-')) {
            $output.checksum_crc32 = None;
            $output.checksum_crc32c = None;
            $output.checksum_crc64nvme = None;
            $output.checksum_sha1 = None;
            $output.checksum_sha256 = None;
        }
    };
}

/// The operations that need care. `s3s-fs` renames an object before it saves its ETag, and looks at
/// `If-None-Match` before it reads the body: writers of an object therefore take turns, and readers
/// wait for them. A reader is done when its response begins, for by then it holds the file open.
impl Objects {
    pub(crate) async fn get(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let _reading = self.0.locks.read(&request.input.bucket, &request.input.key).await;
        let condition = request.input.if_match.clone();
        let mut response = self.0.files.get_object(request).await?;
        let output = &mut response.output;
        check_if_match(condition.as_ref(), output.e_tag.as_ref())?;
        forget_stale_checksums!(output);
        Ok(response)
    }

    pub(crate) async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let _reading = self.0.locks.read(&request.input.bucket, &request.input.key).await;
        let condition = request.input.if_match.clone();
        let mut response = self.0.files.head_object(request).await?;
        let output = &mut response.output;
        check_if_match(condition.as_ref(), output.e_tag.as_ref())?;
        forget_stale_checksums!(output);
        Ok(response)
    }

    pub(crate) async fn put(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.check_key(&bucket, &key, false)?;
        let _writing = self.0.locks.write(&bucket, &key).await;
        let attributes = Attributes {
            user_metadata: &request.input.metadata,
            content_type: &request.input.content_type,
        };
        self.make_ready(&bucket, &key, &attributes)?;
        request.input.content_encoding =
            request.input.content_encoding.and_then(|sent| stored_encoding(&sent));
        let response = self.0.files.put_object(request).await?;
        self.stored(&bucket, &key, "PutObject").await;
        Ok(response)
    }

    pub(crate) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.check_key(&bucket, &key, false)?;
        let CopySource::Bucket { bucket: from_bucket, key: from_key, .. } =
            &request.input.copy_source
        else {
            return Err(s3_error!(NotImplemented));
        };
        let (from, to) =
            ((from_bucket.as_ref(), from_key.as_ref()), (bucket.as_str(), key.as_str()));
        // Always in the order of the names: two copies in opposite directions would otherwise wait
        // for each other.
        let (mut _reading, mut _writing) = (None, None);
        if from < to {
            _reading = Some(self.0.locks.read(from.0, from.1).await);
        }
        _writing = Some(self.0.locks.write(to.0, to.1).await);
        if from > to {
            _reading = Some(self.0.locks.read(from.0, from.1).await);
        }
        let response = self.0.files.copy_object(request).await?;
        self.stored(&bucket, &key, "CopyObject").await;
        Ok(response)
    }

    pub(crate) async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _writing = self.0.locks.write(&request.input.bucket, &request.input.key).await;
        self.0.files.delete_object(request).await
    }
}
