//! The rows of a part whose source is gone: as the API returns them, in its order, without the extra columns, which no one
//! has any more. Marked as such in `status.json`.

use crate::part::store;
use crate::results::{self, Fetched};
use anyhow::{Result, ensure};
use moondrop_shared::answers::{ERROR, LABELS, ResultsTooLarge, count_answer, each_row};
use moondrop_shared::aws::Services;
use moondrop_shared::csv::header::RESULT_COLUMNS;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::record::{Meta, Part};
use moondrop_shared::rows;
use moondrop_shared::store::WrittenObject;
use moondrop_shared::tally::Tally;
use std::collections::HashSet;

/// Stores what there is. Rows of a failed job and rejected rows are counted, but cannot be told: only the source had them.
pub(crate) async fn write(services: &Services, meta: &Meta, part: &Part, key: &str) -> Result<(WrittenObject, Tally)> {
    let extra = rows::header(meta)?.extra.len();
    let accepted = part.plan.accepted;
    let (lines, tally) = match (&part.failure, &part.job_id) {
        (None, Some(job)) => {
            results::fetch(services, job, accepted, move |download, memory| rewrite(download, memory, extra, accepted)).await?
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

/// The API's results, up to as many rows as were sent, with the columns in our order, and as many empty ones behind them as
/// the source had extra. They may take `memory` bytes.
fn rewrite(results: impl std::io::Read, memory: usize, extra: usize, accepted: u64) -> Result<Fetched<(Vec<u8>, Tally)>> {
    let (mut out, mut tally, mut seen) = (Vec::new(), Tally::default(), HashSet::new());
    let read = each_row(results, memory, |row| {
        if !seen.insert(row.ref_id().to_vec()) {
            tally.doubled += 1;
            return Ok(());
        }
        if seen.len() as u64 > accepted {
            tally.foreign += 1;
            return Ok(());
        }
        count_answer(&row.text(LABELS), &row.text(ERROR), &mut tally);
        for column in 0..RESULT_COLUMNS.len() {
            if column > 0 {
                out.push(b',');
            }
            write_field(&mut out, row.value(column));
        }
        out.extend(std::iter::repeat_n(b',', extra));
        out.push(b'\n');
        ensure!(out.len() <= memory, ResultsTooLarge(memory));
        Ok(())
    })?;
    Ok(Fetched { value: (out, tally), answered: seen.len() as u64, read })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_row_is_no_answer_and_rows_beyond_those_sent_are_foreign() {
        let results = "ref_id,type,labels,content,error\n1,text,[],a,\n2,te\n3,text,,c,no image\n4,text,[],d,\n";
        let (lines, tally) = rewrite(results.as_bytes(), 1 << 20, 1, 2).unwrap().value;
        assert_eq!(String::from_utf8(lines).unwrap(), "1,text,[],a,,\n3,text,,c,no image,\n");
        assert_eq!((tally.rows.evaluated, tally.rows.failed, tally.foreign), (1, 1, 1));
    }
}
