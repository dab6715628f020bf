//! Reading a file as the functions get it: in blocks.

use anyhow::{Context, Result};
use bytes::Bytes;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Bytes from the first offset up to the second.
pub(crate) type Range = std::ops::Range<u64>;

/// How much is read at once: about what a socket hands over when much is waiting in it.
const BLOCK_BYTES: usize = 256 * 1024;

/// A range of a file, block by block.
pub(crate) struct Blocks {
    file: File,
    left: u64,
}

impl Blocks {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let left = file.metadata()?.len();
        Ok(Blocks { file, left })
    }

    pub(crate) fn seek(&mut self, range: &Range) -> Result<()> {
        self.file.seek(SeekFrom::Start(range.start))?;
        self.left = range.end - range.start;
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<Bytes>> {
        let most = self.left.min(BLOCK_BYTES as u64);
        let mut block = Vec::with_capacity(most as usize);
        let read = (&self.file).take(most).read_to_end(&mut block)?;
        self.left -= read as u64;
        Ok((read > 0).then(|| block.into()))
    }
}
