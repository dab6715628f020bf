//! Results held against their source, by the `csv` crate: another reader than Moondrop's own.

use std::collections::BTreeMap;

/// A row, by column name.
pub type Row = BTreeMap<String, String>;

/// Reads CSV.
#[must_use]
pub fn read(csv: &[u8]) -> Vec<Row> {
    let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
    let mut reader = csv::Reader::from_reader(csv);
    let names: Vec<String> =
        reader.headers().unwrap().iter().map(|n| n.trim().to_owned()).collect();
    reader
        .records()
        .map(|record| {
            names.iter().cloned().zip(record.unwrap().iter().map(str::to_owned)).collect()
        })
        .collect()
}

/// Asserts the first promise: every row that went in came out, once, in its order, with its
/// columns; and gives the results.
pub fn assert_all_rows(source: &[u8], results: &[u8]) -> Vec<Row> {
    let (source, results) = (read(source), read(results));
    assert_eq!(source.len(), results.len(), "rows in and rows out");
    for (i, (came, went)) in source.iter().zip(&results).enumerate() {
        for (column, value) in came {
            let value = if column == "type" { value.trim() } else { value };
            assert_eq!(value, went[column].as_str(), "row {i}, column {column}");
        }
    }
    results
}

/// The rows whose `error` begins so.
#[must_use]
pub fn with_error<'a>(rows: &'a [Row], begins: &str) -> Vec<&'a Row> {
    rows.iter().filter(|row| row["error"].starts_with(begins)).collect()
}

/// A file of `n` good rows in the API's own columns, some of which get labels.
#[must_use]
pub fn good_file(n: usize) -> Vec<u8> {
    let mut file = b"ref_id,type,content\n".to_vec();
    for i in 0..n {
        let more = ["", " buy cheap pills", " I will kill you"][i % 3];
        file.extend_from_slice(format!("r{i},text,\"post {i}, with a comma{more}\"\n").as_bytes());
    }
    file
}
