//! The inbox: its files are dropped once they are whole, and moved out of there.

use super::console::{Console, print};
use super::folders::Folders;
use super::listing::{Listing, Stamp};
use super::quiet::Quiet;
use super::refusals::Refusals;
use super::writers;
use crate::local_stack::LocalStack;
use crate::upload::{key_below, upload};
use anyhow::{Context, Result};
use moondrop_shared::object_key::MAPPING;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::time::{Duration, Instant};

/// After how many times of quiet a file that could not be dropped is tried again: a minute.
const TRIED_AGAIN_AFTER: u32 = 6;

pub(super) struct Inbox<'a> {
    folders: &'a Folders,
    quiet: Quiet,
    refusals: Refusals,
}

impl<'a> Inbox<'a> {
    pub(super) fn new(folders: &'a Folders, quiet_for: Duration) -> Self {
        let refusals = Refusals::new(quiet_for * TRIED_AGAIN_AFTER);
        Inbox { folders, quiet: Quiet::new(quiet_for), refusals }
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
        self.refusals.keep(&listing.files);
        let now = Instant::now();
        let mut whole = self.quiet.whole(listing.files, now);
        whole.retain(|(path, _)| self.refusals.is_due(path, now));
        // Before the files that are read by it.
        whole.sort_by_key(|(path, _)| !path.ends_with(MAPPING));
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
        let stays = format!("{} stays in the inbox", path.display());
        let file = match self.named(&path) {
            Ok(file) => file,
            Err(error) => {
                print(&format!("{stays}: {error:#}"));
                self.refusals.never(path);
                return Ok(true);
            }
        };
        if let Err(error) = self.take(local, &file, &stamp).await {
            let reason = format!("{error:#}");
            let again = self.refusals.again_after();
            let line = format!("{stays}: {reason}; it is tried again every {again:?}");
            if self.refusals.not_now(path, reason, Instant::now()) {
                print(&line);
            }
        }
        Ok(true)
    }

    /// A file with its key; an error if there cannot be a drop of its name.
    fn named(&self, path: &Path) -> Result<Named> {
        let name = path
            .strip_prefix(&self.folders.inbox)
            .ok()
            .and_then(|below| below.to_str())
            .context("its name is not in UTF-8")?;
        let key = key_below(&name.replace(MAIN_SEPARATOR, "/"))?;
        Ok(Named { path: path.to_owned(), name: name.to_owned(), key })
    }

    /// Drops a file and moves it out of the inbox.
    async fn take(&mut self, local: &LocalStack, file: &Named, stamp: &Stamp) -> Result<()> {
        let Named { path, name, key } = file;
        // The same bytes again are another drop, unless it was only the move that failed.
        let again = !self.refusals.is_dropped(path);
        let uploaded = upload(local, path, key, again).await?;
        self.refusals.dropped(path.clone());
        anyhow::ensure!(
            looks(path)? == *stamp,
            "it changed while it was taken; what it was then is evaluated"
        );
        let kept = format!("{}-{}", uploaded.id().short(), name.replace(MAIN_SEPARATOR, "-"));
        let kept = self.folders.taken.join(kept);
        std::fs::rename(path, &kept).with_context(|| format!("move it to {}", kept.display()))?;
        self.refusals.moved(path);
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

/// A file of the inbox that can be dropped.
struct Named {
    path: PathBuf,
    /// Below the inbox.
    name: String,
    key: String,
}

fn looks(path: &Path) -> Result<Stamp> {
    let found = std::fs::metadata(path);
    Ok(Stamp::of(&found.with_context(|| format!("look at {} once more", path.display()))?))
}
