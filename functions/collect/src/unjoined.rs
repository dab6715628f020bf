//! The rows of a part whose source is gone: as the API returns them, in its order, without the extra columns, which no one
//! has any more. Marked as such in `status.json`.

use crate::{part::store, results};
use anyhow::{Context, Result};
use moondrop_shared::aws::Services;
use moondrop_shared::csv::header::RESULT_COLUMNS;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::labels::read_labels;
use moondrop_shared::record::{Meta, Part};
use moondrop_shared::rows;
use moondrop_shared::store::WrittenObject;
use moondrop_shared::tally::Tally;
use std::collections::HashSet;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Stores what there is. Rows of a failed job and rejected rows are counted, but cannot be told: only the source had them.
pub(crate) async fn write(services: &Services, meta: &Meta, part: &Part, key: &str) -> Result<(WrittenObject, Tally)> {
    let extra = rows::header(meta)?.extra.len();
    let accepted = part.plan.accepted;
    let (lines, tally) = match (&part.failure, &part.job_id) {
        (None, Some(job)) => {
            let body = results::open(services, job).await?;
            let reader = SyncIoBridge::new(StreamReader::new(Box::pin(body)));
            tokio::task::spawn_blocking(move || rewrite(reader, extra, accepted)).await.context("read the results")??
        }
        _ => (Vec::new(), Tally::default()),
    };
    let tally = account_for_the_rest(tally, part);
    let (written, ()) = store(services, key, lines.len() as u64, async |writer| writer.write(&lines, None).await).await?;
    Ok((written, tally))
}

fn account_for_the_rest(mut tally: Tally, part: &Part) -> Tally {
    tally.rows.rejected = part.plan.rows - part.plan.accepted;
    let unanswered = part.plan.accepted.saturating_sub(tally.rows.evaluated + tally.rows.failed);
    match &part.failure {
        Some(failure) if !failure.lost => tally.rows.failed += unanswered,
        _ => tally.rows.missing += unanswered,
    }
    tally
}

/// The API's results, up to as many rows as were sent, with the columns in our order, and as many empty ones behind them as the source had extra.
fn rewrite(results: impl std::io::Read, extra: usize, accepted: u64) -> Result<(Vec<u8>, Tally)> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(results);
    let headers = reader.byte_headers().context("the results cannot be read")?.clone();
    let column =
        |name: &str| headers.iter().position(|h| h.strip_prefix(b"\xef\xbb\xbf").unwrap_or(h).trim_ascii() == name.as_bytes());
    let columns = RESULT_COLUMNS.map(column);
    let [Some(ref_id), _, Some(labels), _, error] = columns else {
        anyhow::bail!("what came as results has no columns `ref_id` and `labels`");
    };
    let (mut out, mut tally, mut seen) = (Vec::new(), Tally::default(), HashSet::new());
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).context("the results cannot be read to their end")? {
        let field = |at: Option<usize>| at.and_then(|i| record.get(i)).unwrap_or_default();
        if !seen.insert(field(Some(ref_id)).to_vec()) {
            tally.doubled += 1;
            continue;
        }
        if seen.len() as u64 > accepted {
            tally.foreign += 1;
            continue;
        }
        if field(error).trim_ascii().is_empty() {
            tally.rows.evaluated += 1;
        } else {
            tally.rows.failed += 1;
        }
        match read_labels(&String::from_utf8_lossy(field(Some(labels)))) {
            Ok(labels) => tally.count_labels(&labels),
            Err(()) => tally.unreadable_labels += 1,
        }
        for (i, column) in columns.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_field(&mut out, field(column));
        }
        out.extend(std::iter::repeat_n(b',', extra));
        out.push(b'\n');
    }
    Ok((out, tally))
}
