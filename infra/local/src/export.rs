//! Bringing a drop's published files out of the results bucket into a folder, in the bucket's layout.

use crate::machine::Machine;
use crate::stack::RESULTS;
use anyhow::{Context, Result};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::drop::object_key::ObjectKey;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

/// Copies `results.csv`, `rejected.csv` and `status.json`, as far as they are there, below `out`; gives the drop's folder
/// there. A file appears whole or not at all.
///
/// # Errors
/// If a file cannot be read or written.
pub async fn export(machine: &Machine, meta: &DropRecord, out: &Path) -> Result<PathBuf> {
    let folder = meta.folder.as_str();
    let keys = [ObjectKey::Results { folder }, ObjectKey::Rejected { folder }, ObjectKey::Status { folder }];
    for key in keys {
        copy(machine, &key.to_string(), out).await?;
    }
    Ok(out.join(folder))
}

async fn copy(machine: &Machine, key: &str, out: &Path) -> Result<()> {
    let got = match machine.stack.s3().get_object().bucket(RESULTS).key(key).send().await {
        Ok(got) => got,
        Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => return Ok(()),
        Err(error) => return Err(anyhow::Error::new(error).context(format!("get {key}"))),
    };
    let target = out.join(key);
    let temporary = target.with_extension("part");
    let folder = target.parent().context("a key has a folder")?;
    let written = async {
        tokio::fs::create_dir_all(folder).await?;
        let mut file = tokio::fs::File::create(&temporary).await?;
        let mut body = got.body;
        while let Some(bytes) = body.next().await {
            file.write_all(&bytes.map_err(std::io::Error::other)?).await?;
        }
        file.flush().await?;
        tokio::fs::rename(&temporary, &target).await
    };
    written.await.with_context(|| format!("write {}", target.display()))
}
