//! Writes a part's rows, each with its result, which may be still to come.

use crate::results::{self, Body};
use anyhow::Result;
use moondrop_shared::part::join::{Join, JoinRows, Wrote};
use moondrop_shared::services::s3::object_writer::ObjectWriter;
use moondrop_shared::services::s3::source_reader::SourceReader;

/// Writes rows as far as they have a result; returns whether all have one. Reads no more of
/// `results` than they need.
pub(crate) async fn write(
    join: &mut Join,
    (source, results): (&mut SourceReader, &mut Body),
    writer: &mut ObjectWriter,
) -> Result<bool> {
    while let Some(bytes) = source.next().await? {
        if !write_block(join.rows(&bytes), results, writer).await? {
            return Ok(false);
        }
    }
    write_block(join.last_rows()?, results, writer).await
}

async fn write_block(
    mut rows: JoinRows<'_>,
    results: &mut Body,
    writer: &mut ObjectWriter,
) -> Result<bool> {
    loop {
        let wrote = rows.write()?;
        writer.write(&rows.take_written(), None).await?;
        match wrote {
            Wrote::All => return Ok(true),
            Wrote::Much => {}
            Wrote::SomeWait => {
                let Some(bytes) = results::next(results).await? else { return Ok(false) };
                rows.push_results(&bytes)?;
            }
        }
    }
}
