//! Uploading a file into the drops bucket, once.

use crate::aws::{DROPS, longest_drop};
use crate::exit::UsageError;
use crate::local_stack::LocalStack;
use anyhow::{Context, Result};
use aws_sdk_s3::primitives::ByteStream;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::event::ObjectCreated;
use moondrop_shared::object_key::{INCOMING, Kind, kind};
use moondrop_shared::source::DropId;
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::path::Path;

/// The metadata of an uploaded file, by which the same file is recognised when it is given again.
const SHA256: &str = "moondrop-sha256";

/// What became of a file that was to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It is in the bucket, since now or since a run before that did not finish its drop.
    Dropped(DropId),
    /// Its drop was finished by a run before.
    Finished(DropId),
}

impl Uploaded {
    #[must_use]
    pub fn id(&self) -> &DropId {
        match self {
            Uploaded::Dropped(id) | Uploaded::Finished(id) => id,
        }
    }
}

/// The key a file is uploaded under: `incoming/[<policy>/]<name>`.
///
/// # Errors
/// `UsageError` if the file's name cannot be a key, or is too long for the local S3.
pub fn key_for(path: &Path, policy: Option<&str>) -> Result<String> {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return Err(UsageError(format!("{} has no name in UTF-8", path.display())).into());
    };
    let key =
        key_below(&policy.map_or_else(|| name.to_owned(), |policy| format!("{policy}/{name}")))?;
    if kind(&key) == Kind::Mapping {
        let problem =
            format!("{} is a mapping, not a file to evaluate: give it as --map", path.display());
        return Err(UsageError(problem).into());
    }
    Ok(key)
}

/// The key of a drop by its path below `incoming/`.
///
/// # Errors
/// `UsageError` if the local S3 could not keep its results' keys.
pub fn key_below(path: &str) -> Result<String> {
    let key = format!("{INCOMING}{path}");
    if kind(&key) == Kind::Ignored {
        let problem = format!(
            "{path}: what has a name that begins with `_` or `.` is no drop, and neither is what is in such a folder; rename it"
        );
        return Err(UsageError(problem).into());
    }
    let limit = longest_drop(&key);
    if key.len() > limit {
        let (bytes, limit) = (path.len(), limit - INCOMING.len());
        let problem = format!(
            "{path} has {bytes} bytes, with its policy; the local S3 keeps the results of names of up to {limit}"
        );
        return Err(UsageError(problem).into());
    }
    Ok(key)
}

/// Uploads a file, unless a run before has: then the object is announced again, so that whatever is
/// left to do is done. With `again`, a finished one is uploaded again.
///
/// # Errors
/// `UsageError` if another file of the same name is under way; others if the file cannot be read.
pub async fn upload(local: &LocalStack, path: &Path, key: &str, again: bool) -> Result<Uploaded> {
    let digest = with_mapping(digest(path).await?, local.mapping.as_deref());
    let before = local.aws.s3().head_object().bucket(DROPS).key(key).send().await.ok();
    if let Some(before) = before {
        let same = before.metadata().and_then(|m| m.get(SHA256)).is_some_and(|d| *d == digest);
        match known_drop(local, key).await? {
            (_, Some(meta)) if meta.closed_at.is_some() && (again || !same) => {}
            (id, Some(meta)) if meta.closed_at.is_some() => return Ok(Uploaded::Finished(id)),
            (id, _) if same => {
                local.aws.announce(DROPS, key).await?;
                return Ok(Uploaded::Dropped(id));
            }
            (_, None) => {}
            (_, Some(_)) => {
                let name = path.display();
                let problem = format!(
                    "another file of the name of {name}, or it with another mapping, is under way here; finish it, or use another --state"
                );
                return Err(UsageError(problem).into());
            }
        }
    }
    // In one request, whatever its size: the 5 GiB that S3 takes at once are no limit of the local
    // one.
    let put = local.aws.s3().put_object().bucket(DROPS).key(key).metadata(SHA256, digest);
    let sent = match ByteStream::from_path(path).await {
        Ok(body) => put.body(body).send().await.map(drop).map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    sent.with_context(|| format!("upload {}", path.display()))?;
    Ok(Uploaded::Dropped(known_drop(local, key).await?.0))
}

/// The drop that the object under this key is, and its record.
async fn known_drop(local: &LocalStack, key: &str) -> Result<(DropId, Option<DropRecord>)> {
    let event = local.aws.announcement(DROPS, key).await?;
    let detail = ObjectCreated::read(&event.to_string())?.detail;
    let source = detail.source().context("the local S3 gave no ETag or size")?;
    let id = source.id();
    let meta = local.ledger.drop_record(&id).await.context(
        "the state folder is of another release: finish its files with that one, or name another folder with --state",
    )?;
    Ok((id, meta))
}

/// A file is the same only with the same mapping: with another, it is another drop.
fn with_mapping(digest: String, mapping: Option<&str>) -> String {
    match mapping {
        None => digest,
        Some(mapping) => hex::encode(Sha256::digest(format!("{digest}{mapping}"))),
    }
}

async fn digest(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || -> Result<String> {
        let mut file =
            std::fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1024 * 1024]);
        loop {
            match file.read(&mut buffer).with_context(|| format!("read {}", path.display()))? {
                0 => return Ok(hex::encode(hash.finalize())),
                n => hash.update(&buffer[..n]),
            }
        }
    });
    hashed.await.context("read the file")?
}
