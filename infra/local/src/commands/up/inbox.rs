//! The inbox: its files are dropped once they are whole, and moved out of there.

use super::console::{Console, print};
use super::folders::Folders;
use super::listing::{Listing, Stamp};
use super::quiet::Quiet;
use super::writers;
use crate::local_stack::LocalStack;
use crate::upload::{key_below, upload};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) struct Inbox<'a> {
    folders: &'a Folders,
    quiet: Quiet,
    /// What could not be dropped, as it was then.
    refused: BTreeMap<PathBuf, Stamp>,
}

impl<'a> Inbox<'a> {
    pub(super) fn new(folders: &'a Folders, quiet_for: Duration) -> Self {
        Inbox { folders, quiet: Quiet::new(quiet_for), refused: BTreeMap::new() }
    }

    /// Drops one file that is whole; gives whether there was one. One at a time: while a large file
    /// is dropped, another may be written to.
    ///
    /// # Errors
    /// If the machine cannot look at its processes.
    pub(super) async fn take_next(
        &mut self,
        local: &LocalStack,
        console: &mut Console,
    ) -> Result<bool> {
        let listing = Listing::of(&self.folders.inbox);
        for link in listing.links {
            console.print_once(format!(
                "{} is a link, and links are not followed: put the file itself there",
                link.display()
            ));
        }
        let mut whole = self.quiet.whole(listing.files, Instant::now());
        whole.retain(|(path, stamp)| self.refused.get(path) != Some(stamp));
        if whole.is_empty() {
            return Ok(false);
        }
        let paths: Vec<PathBuf> = whole.iter().map(|(path, _)| path.clone()).collect();
        let open = tokio::task::spawn_blocking(move || writers::open_for_writing(&paths));
        let open = open.await.context("see which files are open for writing")?;
        for path in &open {
            console.print_once(format!(
                "{} waits: a process still has it open for writing",
                path.display()
            ));
        }
        let Some((path, stamp)) = whole.into_iter().find(|(path, _)| !open.contains(path)) else {
            return Ok(false);
        };
        if let Err(error) = self.take(local, &path, &stamp).await {
            print(&format!("{} stays in the inbox: {error:#}", path.display()));
            self.refused.insert(path, stamp);
        }
        Ok(true)
    }

    /// Drops a file and moves it out of the inbox.
    async fn take(&self, local: &LocalStack, path: &Path, stamp: &Stamp) -> Result<()> {
        let name = path
            .strip_prefix(&self.folders.inbox)
            .ok()
            .and_then(|below| below.to_str())
            .context("its name is not in UTF-8")?;
        let key = key_below(&name.replace(MAIN_SEPARATOR, "/"))?;
        let uploaded = upload(local, path, &key, true).await?;
        anyhow::ensure!(
            looks(path)? == *stamp,
            "it changed while it was taken; what it was then is evaluated"
        );
        let kept = format!("{}-{}", uploaded.id().short(), name.replace(MAIN_SEPARATOR, "-"));
        let kept = self.folders.taken.join(kept);
        std::fs::rename(path, &kept).with_context(|| format!("move it to {}", kept.display()))?;
        print(&format!("dropped {name}"));
        // Whoever opened it in between still writes to it where it is now.
        if looks(&kept).is_ok_and(|now| now != *stamp) {
            print(&format!(
                "{} changed while it was moved there; what it was before is evaluated",
                kept.display()
            ));
        }
        Ok(())
    }
}

fn looks(path: &Path) -> Result<Stamp> {
    let found = std::fs::metadata(path);
    Ok(Stamp::of(&found.with_context(|| format!("look at {} once more", path.display()))?))
}
