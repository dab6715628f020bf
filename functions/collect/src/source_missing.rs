//! The rows of a part whose source is gone: as the API returns them, in its order, without the
//! extra columns, which are lost. `status.json` says so.

use crate::collector::Collector;
use crate::work_file::{WorkFile, store};
use anyhow::Result;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::lifecycle::header;
use moondrop_shared::part::PartRecord;
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{
    AnsweredRow, Answers, Reading, ResultsProblem, judge as judge_tally,
};

/// Why the answers cannot belong to the part's rows. Without the source, only a file without
/// answers shows it.
pub(crate) fn judge(answers: &Answers, accepted: u64, reading: &Reading) -> Option<ResultsProblem> {
    answers.is_empty().then(|| judge_tally(&Tally::default(), accepted, reading)).flatten()
}

/// Stores the answered rows. Rows of a failed job and rejected rows are only counted: their text
/// was in the source.
pub(crate) async fn write(collector: &Collector<'_>, answers: Option<Answers>) -> Result<WorkFile> {
    let Collector { drop, part, .. } = collector;
    let extra = header(drop)?.extra.len();
    let (lines, tally) = answers
        .map_or_else(Default::default, |answers| rewrite(&answers, extra, part.plan.accepted));
    let tally = count_the_rest(tally, part);
    let stored = store(collector, lines.len() as u64, async |writer| {
        writer.write(&lines, None).await.map(|()| tally)
    })
    .await?;
    Ok(stored.without_source())
}

fn count_the_rest(mut tally: Tally, part: &PartRecord) -> Tally {
    tally.rows.rejected = part.plan.rows - part.plan.accepted;
    let unanswered = part
        .plan
        .accepted
        .saturating_sub(tally.rows.evaluated + tally.rows.failed + tally.rows.missing);
    match &part.failure {
        Some(failure) if !failure.lost => tally.rows.failed += unanswered,
        _ => tally.rows.missing += unanswered,
    }
    tally
}

/// The API's results, at most as many rows as were sent, with the columns in our order, and with
/// the source's extra columns empty.
fn rewrite(answers: &Answers, extra: usize, accepted: u64) -> (Vec<u8>, Tally) {
    let (mut out, mut tally) =
        (Vec::new(), Tally { duplicates: answers.duplicates(), ..Tally::default() });
    for (i, row) in answers.rows().enumerate() {
        if i as u64 >= accepted {
            tally.unexpected += 1;
            continue;
        }
        row.count(&mut tally);
        write_row(&mut out, &row);
        out.extend(std::iter::repeat_n(b',', extra));
        out.push(b'\n');
    }
    (out, tally)
}

fn write_row(out: &mut Vec<u8>, row: &AnsweredRow<'_>) {
    let columns = [
        row.ref_id.as_bytes(),
        row.kind.as_bytes(),
        row.labels.as_bytes(),
        row.content.as_bytes(),
        row.error.as_bytes(),
    ];
    for (column, value) in columns.into_iter().enumerate() {
        if column > 0 {
            out.push(b',');
        }
        write_field(out, value);
    }
}
