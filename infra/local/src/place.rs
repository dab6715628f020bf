//! Putting a file into the drop bucket, once.

use crate::cli::Usage;
use crate::machine::Machine;
use crate::stack::DROPS;
use anyhow::{Context, Result, bail};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::drop::object_key::INCOMING;
use moondrop_shared::event::ObjectCreated;
use moondrop_shared::source::DropId;
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::path::Path;
use tokio::io::AsyncReadExt as _;

/// The metadata an uploaded file carries, so that the same file given again is known.
const SHA256: &str = "moondrop-sha256";
/// A piece of a multipart upload. S3's least is 5 MiB.
const PIECE_BYTES: usize = 8 * 1024 * 1024;
/// The longest path below `incoming/` whose results' keys the local S3 can keep: its longest key for a multipart upload has
/// 126 bytes, and the results' key is this long and `results/`, a time, perhaps eight digits, and `/results.csv`.
const LONGEST_PATH: usize = 126 - "results/".len() - "/2026-11-23T18-12-00Z-01234567".len() - "/results.csv".len();

/// What became of a file that was to be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is dropped, now or by a run before that did not finish it.
    Dropped(DropId),
    /// It was finished by a run before.
    Finished(DropId),
}

impl Placed {
    /// The drop.
    #[must_use]
    pub fn id(&self) -> &DropId {
        match self {
            Placed::Dropped(id) | Placed::Finished(id) => id,
        }
    }
}

/// The key a file is dropped under: `incoming/[<policy>/]<name>`.
///
/// # Errors
/// [`Usage`] if the file's name cannot be one, or is too long for the local S3.
pub fn key_for(path: &Path, policy: Option<&str>) -> Result<String> {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return Err(Usage(format!("{} has no name in UTF-8", path.display())).into());
    };
    key_below(&policy.map_or_else(|| name.to_owned(), |policy| format!("{policy}/{name}")))
}

/// The key of a drop by its path below `incoming/`.
///
/// # Errors
/// [`Usage`] if the local S3 could not keep its results' keys.
pub fn key_below(path: &str) -> Result<String> {
    if path.len() > LONGEST_PATH {
        let bytes = path.len();
        let problem = format!("{path} has {bytes} bytes, with its policy; the local store keeps names of up to {LONGEST_PATH}");
        return Err(Usage(problem).into());
    }
    Ok(format!("{INCOMING}{path}"))
}

/// Drops a file, unless it stands there from a run before: then it is announced again, and whatever is left to do is done.
/// With `again`, a finished one is dropped anew.
///
/// # Errors
/// [`Usage`] if another file of the same name is under way; others if the file cannot be read.
pub async fn place(machine: &Machine, path: &Path, key: &str, again: bool) -> Result<Placed> {
    let digest = digest(path).await?;
    let standing = machine.stack.s3().head_object().bucket(DROPS).key(key).send().await.ok();
    if let Some(standing) = standing {
        let same = standing.metadata().and_then(|m| m.get(SHA256)).is_some_and(|d| *d == digest);
        let known = known_drop(machine, key).await?;
        match known {
            (_, Some(meta)) if meta.closed_at.is_some() && (again || !same) => {}
            (id, Some(meta)) if meta.closed_at.is_some() => return Ok(Placed::Finished(id)),
            (id, _) if same => {
                machine.stack.announce(DROPS, key).await?;
                return Ok(Placed::Dropped(id));
            }
            (_, None) => {}
            (_, Some(_)) => {
                let name = path.display();
                let problem =
                    format!("another file of the name of {name} is under way here; finish it, or use another --state");
                return Err(Usage(problem).into());
            }
        }
    }
    upload(machine, path, key, &digest).await.with_context(|| format!("drop {}", path.display()))?;
    Ok(Placed::Dropped(known_drop(machine, key).await?.0))
}

/// The drop that the object under this key is, and its record.
async fn known_drop(machine: &Machine, key: &str) -> Result<(DropId, Option<DropRecord>)> {
    let event = machine.stack.announcement(DROPS, key).await?;
    let detail = ObjectCreated::read(&event.to_string())?.detail;
    let source = detail.source().context("the local S3 told no ETag or size")?;
    let id = source.id();
    let meta = machine.ledger.meta(&id).await?;
    Ok((id, meta))
}

async fn digest(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || -> Result<String> {
        let mut file = std::fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
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

async fn upload(machine: &Machine, path: &Path, key: &str, digest: &str) -> Result<()> {
    let s3 = machine.stack.s3();
    let mut file = tokio::fs::File::open(path).await?;
    let mut piece = read_piece(&mut file).await?;
    if piece.len() < PIECE_BYTES {
        let put = s3.put_object().bucket(DROPS).key(key).metadata(SHA256, digest);
        put.body(ByteStream::from(piece)).send().await?;
        return Ok(());
    }
    let begun = s3.create_multipart_upload().bucket(DROPS).key(key).metadata(SHA256, digest).send().await?;
    let upload = begun.upload_id.context("the local S3 told no upload id")?;
    let mut pieces = Vec::new();
    while !piece.is_empty() {
        let Ok(number) = i32::try_from(pieces.len() + 1) else { bail!("the file is too large for the local S3") };
        let sent = s3.upload_part().bucket(DROPS).key(key).upload_id(&upload).part_number(number);
        let sent = sent.body(ByteStream::from(piece)).send().await?;
        pieces.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
        piece = read_piece(&mut file).await?;
    }
    let pieces = CompletedMultipartUpload::builder().set_parts(Some(pieces)).build();
    s3.complete_multipart_upload().bucket(DROPS).key(key).upload_id(upload).multipart_upload(pieces).send().await?;
    Ok(())
}

/// The next piece of a file: a whole one, but for the last.
async fn read_piece(file: &mut tokio::fs::File) -> Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece).await?;
    Ok(piece)
}
