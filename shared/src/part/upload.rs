//! A part's rows in the form of the API's input.

use super::rows::{PartRows, RowAt, Verdict};
use crate::check::rejected::Rejections;
use crate::csv::header::Header;
use crate::csv::row::UPLOAD_HEADER;
use crate::plan::PlannedPart;
use anyhow::{Result, ensure};
use bytes::Bytes;
use std::ops::Range;

/// Turns a part's source bytes into the bytes to upload: `ref_id,type,content`, accepted rows only.
/// Where rows stand in the source as they are uploaded, the source's own bytes go out.
#[derive(Debug)]
pub struct UploadEncoder {
    rows: PartRows,
    part: PlannedPart,
    /// Where the next block begins in the source.
    offset: u64,
    written: u64,
    /// What is encoded, and not returned yet.
    encoded: Vec<u8>,
}

impl UploadEncoder {
    /// An encoder for the bytes `part.offset..part.end` of the source.
    #[must_use]
    pub fn new(header: Header, part: PlannedPart, rejections: Rejections) -> Self {
        let rows = PartRows::new(header, &part, rejections);
        let (offset, encoded) = (part.offset, UPLOAD_HEADER.to_vec());
        UploadEncoder { rows, part, offset, written: 0, encoded }
    }

    /// Takes the source's next bytes; returns the upload's next bytes, in pieces.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn push(&mut self, block: &Bytes) -> Result<Vec<Bytes>> {
        let mut pieces = Pieces::new(block, self.offset, &mut self.encoded);
        self.rows.rows(block).each(|header, row, verdict| pieces.add(header, row, &verdict))?;
        let pieces = pieces.take();
        self.offset += block.len() as u64;
        self.written += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let (written, planned) = (self.written, self.part.upload_bytes);
        ensure!(written <= planned, "the upload has over {written} bytes; {planned} were planned");
        Ok(pieces)
    }

    /// Returns the upload's last bytes. An upload that is not exactly as long as planned is an
    /// error here: it then ends short of its `Content-Length` and is refused, so that no job starts
    /// with only some of the rows.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn finish(&mut self) -> Result<Bytes> {
        let encoded = &mut self.encoded;
        self.rows.last_rows(&self.part)?.each(|_, _, verdict| {
            if let Verdict::Accepted(item) = verdict {
                item.write_upload(encoded);
            }
        })?;
        self.rows.finish(&self.part)?;
        self.written += self.encoded.len() as u64;
        ensure!(
            self.written == self.part.upload_bytes,
            "the upload has {} bytes; {} were planned",
            self.written,
            self.part.upload_bytes
        );
        Ok(std::mem::take(&mut self.encoded).into())
    }
}

/// Fewer bytes are copied: so short a piece would cost more than its copy.
const SHORTEST_SLICE: usize = 4 * 1024;

/// The upload's bytes for a block: slices of it, and what is encoded between them.
struct Pieces<'a> {
    block: &'a Bytes,
    /// Where the block begins in the source.
    offset: u64,
    /// Rows of the block, one after the other, that go out as they are.
    run: Range<usize>,
    encoded: &'a mut Vec<u8>,
    pieces: Vec<Bytes>,
}

impl<'a> Pieces<'a> {
    fn new(block: &'a Bytes, offset: u64, encoded: &'a mut Vec<u8>) -> Self {
        Pieces { block, offset, run: 0..0, encoded, pieces: Vec::new() }
    }

    fn add(&mut self, header: &Header, RowAt { row, .. }: RowAt<'_>, verdict: &Verdict<'_>) {
        let Verdict::Accepted(item) = verdict else { return };
        // A row that began in an earlier block is no slice of this one.
        if row.offset < self.offset || !item.stands_in(row, header) {
            self.end_run();
            item.write_upload(self.encoded);
            return;
        }
        let range = (row.offset - self.offset) as usize..(row.end - self.offset) as usize;
        if range.start == self.run.end {
            self.run.end = range.end;
        } else {
            self.end_run();
            self.run = range;
        }
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.len() < SHORTEST_SLICE {
            self.encoded.extend_from_slice(&self.block[run]);
            return;
        }
        self.end_encoded();
        self.pieces.push(self.block.slice(run));
    }

    fn end_encoded(&mut self) {
        if !self.encoded.is_empty() {
            self.pieces.push(std::mem::take(self.encoded).into());
        }
    }

    fn take(mut self) -> Vec<Bytes> {
        self.end_run();
        self.end_encoded();
        self.pieces
    }
}
