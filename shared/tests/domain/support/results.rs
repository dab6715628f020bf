//! What the tests of the API's results share. Each file is read in four ways, and it makes no
//! difference.

use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{
    BlankLabels, Form, OnOtherContent, OnUnreadable, ReadResults, Reading, ResultsProblem,
    ResultsReader, ResultsTooLarge,
};

/// Everything in doubt is held.
pub(crate) const HOLD: Reading =
    Reading { unreadable: OnUnreadable::Hold, blank: None, content: OnOtherContent::Hold };
/// What is well-formed is used.
pub(crate) const ROWS: Reading = Reading { unreadable: OnUnreadable::Rows, ..HOLD };

/// With a word of `BLANK_LABELS`.
pub(crate) fn blank(reading: Reading, blank: BlankLabels) -> Reading {
    Reading { blank: Some(blank), ..reading }
}

/// Pushes a file in pieces.
pub(crate) fn try_read(
    reading: Reading,
    file: &[u8],
    piece: usize,
    memory: usize,
) -> Result<ReadResults, ResultsTooLarge> {
    let mut reader = ResultsReader::new(reading, memory, true);
    file.chunks(piece.max(1)).try_for_each(|bytes| reader.push(bytes))?;
    reader.finish()
}

/// Reads a file whole and in pieces of 1, 2 and 7 bytes.
pub(crate) fn read(reading: Reading, file: impl AsRef<[u8]>) -> ReadResults {
    let file = file.as_ref();
    let whole = try_read(reading, file, file.len(), 1 << 20).unwrap();
    assert_eq!(whole.bytes, file.len() as u64);
    for piece in [1, 2, 7] {
        let read = try_read(reading, file, piece, 1 << 20).unwrap();
        let shown = String::from_utf8_lossy(file);
        assert_eq!(
            (&read.form, read.confirmed(), &read.digest),
            (&whole.form, whole.confirmed(), &whole.digest),
            "{piece}: {shown}"
        );
        assert_eq!(read.answers.unreadable(), whole.answers.unreadable(), "{piece}: {shown}");
        assert_eq!(read.answers.duplicates(), whole.answers.duplicates(), "{piece}: {shown}");
        assert_eq!(rows(&read), rows(&whole), "{piece}: {shown}");
    }
    whole
}

/// The rows as they would go out when the source file is gone: `ref_id`, labels, error.
pub(crate) fn rows(read: &ReadResults) -> Vec<[String; 3]> {
    read.answers
        .rows()
        .map(|row| [row.ref_id.to_owned(), row.labels.to_owned(), row.error.to_owned()])
        .collect()
}

/// The labels and the error of each of these rows, and what became of all of them.
pub(crate) fn take(mut read: ReadResults, ref_ids: &[&str]) -> (Vec<(String, String)>, Tally) {
    let mut tally = Tally::default();
    let mut taken = Vec::new();
    for ref_id in ref_ids {
        let missing = read.answers.missing();
        let taken_out = read.answers.take(ref_id.as_bytes(), None, &mut tally);
        tally.rows.missing += u64::from(taken_out.is_none());
        let (labels, error) = taken_out.unwrap_or(("", missing));
        taken.push((labels.to_owned(), error.to_owned()));
    }
    read.answers.count_rest(&mut tally);
    assert_eq!(tally.rows.total(), ref_ids.len() as u64);
    (taken, tally)
}

/// The rows `1`, `2`, …: each as `labels|error`.
pub(crate) fn joined(reading: Reading, file: impl AsRef<[u8]>, n: usize) -> (Vec<String>, Tally) {
    let ref_ids: Vec<_> = (1..=n).map(|i| i.to_string()).collect();
    let (rows, tally) =
        take(read(reading, file), &ref_ids.iter().map(String::as_str).collect::<Vec<_>>());
    (rows.into_iter().map(|(labels, error)| format!("{labels}|{error}")).collect(), tally)
}

/// Why a file is held.
pub(crate) fn held(reading: Reading, file: impl AsRef<[u8]>) -> ResultsProblem {
    let read = read(reading, &file);
    let Form::Held(problem) = &read.form else {
        panic!("{:?}: {}", read.form, String::from_utf8_lossy(file.as_ref()))
    };
    assert_eq!(read.confirmed(), &read.form, "fetched again it is the same");
    assert!(!problem.message.contains("secret"), "{}", problem.message);
    problem.clone()
}

/// Why a file may be a cut.
pub(crate) fn may_be_cut(reading: Reading, file: impl AsRef<[u8]>) -> ResultsProblem {
    let read = read(reading, &file);
    let Form::MayBeCut(problem) = &read.form else {
        panic!("{:?}: {}", read.form, String::from_utf8_lossy(file.as_ref()))
    };
    problem.clone()
}
