//! Bringing a drop's published files out of the results bucket into a folder, in the bucket's
//! layout.

use crate::aws::RESULTS;
use crate::files::Unfinished;
use crate::local_stack::LocalStack;
use anyhow::{Context, Result};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::object_key::ObjectKey;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

/// Copies the drop's files, `status.json` last, as far as they are there, below `out`;
/// gives the drop's folder there. A file appears whole or not at all.
///
/// # Errors
/// If a file cannot be read or written.
pub async fn export(local: &LocalStack, meta: &DropRecord, out: &Path) -> Result<PathBuf> {
    let folder = meta.folder.as_str();
    let keys = [
        ObjectKey::results(folder),
        ObjectKey::safe_results(folder),
        ObjectKey::rejected(folder),
        ObjectKey::parts(folder),
        ObjectKey::status(folder),
    ];
    for key in keys {
        copy(local, &key.to_string(), out).await?;
    }
    Ok(out.join(folder))
}

async fn copy(local: &LocalStack, key: &str, out: &Path) -> Result<()> {
    let got = match local.aws.s3().get_object().bucket(RESULTS).key(key).send().await {
        Ok(got) => got,
        Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => return Ok(()),
        Err(error) => return Err(anyhow::Error::new(error).context(format!("get {key}"))),
    };
    let target = out.join(key);
    let folder = target.parent().context("a key has a folder")?;
    let written = async {
        tokio::fs::create_dir_all(folder).await?;
        let unfinished = Unfinished::beside(&target);
        let mut file = tokio::fs::File::create(unfinished.path()).await?;
        let mut body = got.body;
        while let Some(bytes) = body.next().await {
            file.write_all(&bytes.map_err(std::io::Error::other)?).await?;
        }
        file.flush().await?;
        unfinished.publish(&target)
    };
    written.await.with_context(|| format!("write {}", target.display()))
}
