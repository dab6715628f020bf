//! A part's rows in the form of the API's input.

use super::rows::{PartRows, Verdict};
use crate::check::rejected::Rejections;
use crate::csv::header::Header;
use crate::csv::row::UPLOAD_HEADER;
use crate::plan::PlannedPart;
use anyhow::{Result, ensure};

/// Turns a part's source bytes into the bytes to upload: `ref_id,type,content`, accepted rows only.
#[derive(Debug)]
pub struct UploadEncoder {
    rows: PartRows,
    part: PlannedPart,
    written: u64,
    out: Vec<u8>,
}

impl UploadEncoder {
    /// An encoder for the bytes `part.offset..part.end` of the source.
    #[must_use]
    pub fn new(header: Header, part: PlannedPart, rejections: Rejections) -> Self {
        let rows = PartRows::new(header, &part, rejections);
        UploadEncoder { rows, part, written: 0, out: UPLOAD_HEADER.to_vec() }
    }

    /// Takes the source's next bytes; returns the upload's next bytes.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let out = &mut self.out;
        self.rows.push(bytes, |_, _, verdict| write_accepted(out, &verdict))?;
        self.written += self.out.len() as u64;
        let (written, planned) = (self.written, self.part.upload_bytes);
        ensure!(written <= planned, "the upload has over {written} bytes; {planned} were planned");
        Ok(std::mem::take(&mut self.out))
    }

    /// Returns the upload's last bytes. An upload that is not exactly as long as planned is an
    /// error here: it then ends short of its `Content-Length` and is refused, so that no job starts
    /// with only some of the rows.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let out = &mut self.out;
        self.rows.finish(&self.part, |_, _, verdict| write_accepted(out, &verdict))?;
        self.written += self.out.len() as u64;
        ensure!(
            self.written == self.part.upload_bytes,
            "the upload has {} bytes; {} were planned",
            self.written,
            self.part.upload_bytes
        );
        Ok(std::mem::take(&mut self.out))
    }
}

fn write_accepted(out: &mut Vec<u8>, verdict: &Verdict<'_>) {
    if let Verdict::Accepted(item) = verdict {
        item.write_upload(out);
    }
}
