//! Results that are joined while they come.

use crate::support;
use crate::support::results::HOLD;
use moondrop_shared::part::join::{Join, PartResult, Wrote};
use moondrop_shared::plan::PartLimits;
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{ResultsReader, ResultsTooLarge};

const MEMORY: usize = 1 << 20;
const BLOCK: usize = 16 * 1024;

fn source(rows: usize) -> String {
    (0..rows)
        .fold("ref_id,type,content\n".to_owned(), |file, i| format!("{file}{i},text,hello {i}\n"))
}

fn results(ref_ids: impl Iterator<Item = usize>) -> String {
    let header = "ref_id,type,labels,content,error\n".to_owned();
    ref_ids.fold(header, |file, i| format!("{file}{i},text,[],hello {i},\n"))
}

/// Joins them; the rows, the counts, and how many answers no row took.
fn join(source: &str, results: &str) -> anyhow::Result<Option<(String, Tally, usize)>> {
    let source = source.as_bytes();
    let taken = support::check(source, source.len(), PartLimits::default()).unwrap();
    let part = &taken.checked.parts[0];
    let coming = PartResult::Coming(Box::new(ResultsReader::new(HOLD, MEMORY, false)));
    let header = taken.checked.header.clone();
    let mut join = Join::new(header, part.clone(), taken.rejections(part), coming);
    let mut blocks = results.as_bytes().chunks(BLOCK);
    let mut rows = join.rows(&source[part.offset as usize..]);
    let mut written = Vec::new();
    loop {
        let wrote = rows.write()?;
        let some = rows.take_written();
        assert!(some.len() < 2 << 20, "much is handed over before more is written");
        written.extend(some);
        match wrote {
            Wrote::All => break,
            Wrote::Much => {}
            Wrote::SomeWait => {
                let Some(block) = blocks.next() else { return Ok(None) };
                rows.push_results(block)?;
            }
        }
    }
    for block in blocks {
        join.push_results(block)?;
    }
    let mut last = join.last_rows()?;
    assert_eq!(last.write()?, Wrote::All);
    written.extend(last.take_written());
    let came = join.end_results()?.unwrap();
    let (_, tally) = join.finish()?;
    Ok(Some((String::from_utf8(written)?, tally, came.answers.left())))
}

#[test]
fn answers_in_the_order_of_the_rows_take_no_memory_and_others_take_what_there_is() {
    const ROWS: usize = 20_000;
    let (rows, tally, left) =
        join(&source(ROWS), &results(0..ROWS)).unwrap().expect("every row has its answer");
    let wanted = (0..ROWS).fold(String::new(), |rows, i| format!("{rows}{i},text,[],hello {i},\n"));
    assert!(rows == wanted, "the rows are those of the source, in their order");
    assert_eq!((tally.rows.evaluated, tally.content_mismatches, left), (ROWS as u64, 0, 0));
    // Within a few hundred rows any order will do.
    let mixed = (0..ROWS).map(|i| i / 500 * 500 + 499 - i % 500);
    assert!(
        join(&source(ROWS), &results(mixed)).unwrap().expect("every row has its answer").0
            == wanted
    );
    let error = join(&source(ROWS), &results((0..ROWS).rev())).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&ResultsTooLarge(MEMORY)));
}

#[test]
fn a_second_answer_and_one_for_no_row_remain_when_all_rows_are_written() {
    let twice = results([0, 1, 2, 0].into_iter());
    for (results, left) in [(twice, 0), (results(0..4), 1)] {
        let (_, tally, remain) = join(&source(3), &results).unwrap().unwrap();
        // In one block, the second answer comes before a row takes the first.
        assert_eq!((tally.rows.evaluated, remain), (3, left));
    }
    let late = results((0..1000).chain([0]));
    assert_eq!(join(&source(1000), &late).unwrap().unwrap().2, 1);
    assert!(join(&source(3), &results(0..2)).unwrap().is_none(), "a row without an answer");
}

#[test]
fn rows_with_long_labels_are_handed_over_a_megabyte_at_a_time() {
    const ROWS: usize = 500;
    let label = "x".repeat(20_000);
    let header = "ref_id,type,labels,content,error\n".to_owned();
    let results = (0..ROWS).fold(header, |file, i| format!("{file}{i},text,{label},hello {i},\n"));
    let (rows, tally, _) = join(&source(ROWS), &results).unwrap().unwrap();
    assert_eq!((rows.lines().count(), tally.unreadable_labels), (ROWS, ROWS as u64));
}
