//! What the results of the rows show: bytes in, findings out.

use super::answer::Answer;
use super::assumptions::Topic;
use super::findings::Findings;
use super::labels;
use super::rows::{MUST_FAIL, ROWS};
use moondrop_shared::csv::Row;
use moondrop_shared::csv::header::RESULT_COLUMNS;
use moondrop_shared::csv::row::Kind;
use moondrop_shared::csv::scan::Scanner;
use moondrop_shared::results::labels::{is_blank, is_empty_list};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{BlankLabels, OnUnreadable, Reading, ResultsReader};
use std::collections::HashMap;

/// The results, field by field.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    has_line_end: bool,
}

impl Table {
    /// Reads them as strictly as Moondrop does. An error says where they are not well-formed.
    fn read(results: &[u8]) -> Result<Self, String> {
        let mut scanner = Scanner::new(0, 1, true);
        let text = results.strip_prefix(b"\xef\xbb\xbf").unwrap_or(results);
        let mut scanned = scanner.last_rows(text);
        let fields = |row: &Row<'_>| -> Vec<String> {
            (0..row.len()).map(|i| String::from_utf8_lossy(&row.value(i)).into_owned()).collect()
        };
        let mut header = None;
        let mut rows = Vec::new();
        loop {
            // The message names the place and the kind of error, never a value.
            let row = scanned.next_row().map_err(|e| format!("line {}: {}", e.line, e.message))?;
            let Some(row) = row else { break };
            let (line, fields) = (row.line, fields(&row));
            match &header {
                None => header = Some(fields),
                Some(names) if names.len() != fields.len() => {
                    let (have, need) = (fields.len(), names.len());
                    return Err(format!("line {line}: {have} fields, where the header has {need}"));
                }
                Some(_) => rows.push(fields),
            }
            if rows.is_empty() {
                let skip = scanned.saw_spaces();
                scanned.set_skip_spaces(skip);
            }
        }
        let header = header.ok_or("there is no header")?;
        Ok(Table { header, rows, has_line_end: results.ends_with(b"\n") })
    }

    /// The place of a column, by its name as Moondrop compares names.
    fn column(&self, names: &[&str]) -> Option<usize> {
        self.header.iter().position(|name| {
            let plain: String = name.chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
            names.contains(&plain.to_lowercase().as_str())
        })
    }

    fn columns(&self) -> Columns {
        Columns {
            ref_id: self.column(&["refid"]),
            kind: self.column(&["type"]),
            labels: self.column(&["labels"]),
            content: self.column(&["content"]),
            error: self.column(&["error", "errors", "errormessage"]),
        }
    }
}

/// The places of the documented columns.
struct Columns {
    ref_id: Option<usize>,
    kind: Option<usize>,
    labels: Option<usize>,
    content: Option<usize>,
    error: Option<usize>,
}

/// Looks at the results of the probe's rows.
pub(super) fn examine(results: &[u8], findings: &mut Findings) {
    let table = match Table::read(results) {
        Ok(table) => table,
        Err(problem) => return findings.not_met(Topic::StrictCsv, problem),
    };
    let end = if table.has_line_end { "" } else { "; the last has no line end" };
    findings.met(Topic::StrictCsv, format!("a header and {} records{end}", table.rows.len()));
    let columns = table.columns();
    find_columns(&table, &columns, findings);
    let field = |row: &[String], column: Option<usize>| {
        column.and_then(|at| row.get(at)).cloned().unwrap_or_default()
    };
    let answer = |row: &Vec<String>| Answer {
        ref_id: field(row, columns.ref_id).trim().to_owned(),
        labels: field(row, columns.labels),
        content: field(row, columns.content),
        error: field(row, columns.error),
    };
    let answers: Vec<Answer> = table.rows.iter().map(answer).collect();
    if columns.ref_id.is_some() {
        find_rows(&answers, findings);
        find_content(&answers, findings);
        compare_content(results, findings);
    }
    if columns.labels.is_some() {
        labels::examine(&answers, findings);
    }
    if columns.labels.is_some() && columns.error.is_some() {
        find_blank_labels(&answers, findings);
        find_errors(&answers, findings);
    }
}

fn find_columns(table: &Table, columns: &Columns, findings: &mut Findings) {
    let places = [columns.ref_id, columns.kind, columns.labels, columns.content, columns.error];
    let missing: Vec<&str> = RESULT_COLUMNS
        .into_iter()
        .zip(places)
        .filter_map(|(name, place)| place.is_none().then_some(name))
        .collect();
    let mut seen = match (missing.is_empty(), places.is_sorted()) {
        (true, true) => "all five, in the documented order".to_owned(),
        (true, false) => "all five, in another order".to_owned(),
        (false, _) => format!("without {}", missing.join(", ")),
    };
    // Their names are not shown: a file without a header has content in its place.
    let others = (table.header.len() + missing.len()).saturating_sub(places.len());
    if others > 0 {
        seen.push_str(&format!("; {others} others"));
    }
    findings.judge(Topic::Columns, missing.is_empty(), seen);
}

fn find_rows(answers: &[Answer], findings: &mut Findings) {
    let mut rows: HashMap<&str, usize> = ROWS.iter().map(|row| (row.ref_id, 0)).collect();
    let mut unexpected = 0;
    for answer in answers {
        match rows.get_mut(answer.ref_id.as_str()) {
            Some(count) => *count += 1,
            None => unexpected += 1,
        }
    }
    let missing = rows.values().filter(|count| **count == 0).count();
    let more = rows.values().filter(|count| **count > 1).count();
    if missing + more + unexpected == 0 {
        findings.met(
            Topic::OneRowPerRefId,
            format!("{} rows for {} ref_ids", answers.len(), ROWS.len()),
        );
    } else {
        let seen =
            format!("{missing} have none, {more} have several, {unexpected} rows are for others");
        findings.not_met(Topic::OneRowPerRefId, seen);
    }
    let known: Vec<&str> = answers
        .iter()
        .map(|answer| answer.ref_id.as_str())
        .filter(|ref_id| rows.contains_key(ref_id))
        .collect();
    if known.is_sorted_by_key(|ref_id| ROWS.iter().position(|row| row.ref_id == *ref_id)) {
        findings.not_seen(Topic::RowOrder, "the rows came in the order sent");
    } else {
        findings.met(Topic::RowOrder, "the rows came in another order than sent");
    }
}

fn find_content(answers: &[Answer], findings: &mut Findings) {
    // Nothing is promised of a row that failed.
    let succeeded = || answers.iter().filter(|answer| !answer.has_error());
    let (rows, returned) =
        (succeeded().count(), succeeded().filter(|answer| !answer.content.is_empty()).count());
    if rows == 0 {
        for topic in [Topic::ContentReturned, Topic::ContentEqual] {
            findings.not_seen(topic, "every row has an error");
        }
        return;
    }
    let seen = format!("{returned} of {rows} rows without an error have it");
    findings.judge(Topic::ContentReturned, returned == rows, seen);
    let is_same = |answer: &&Answer| {
        ROWS.iter().any(|row| row.ref_id == answer.ref_id && row.content == answer.content)
    };
    let same = succeeded().filter(is_same).count();
    // Whether the others count as equal is Moondrop's own comparison, below.
    findings.not_seen(Topic::ContentEqual, format!("{same} of {returned} have the same bytes"));
}

/// Compares the texts as Moondrop does.
fn compare_content(results: &[u8], findings: &mut Findings) {
    let reading = Reading {
        unreadable: OnUnreadable::Rows,
        blank: Some(BlankLabels::Evaluated),
        ..Reading::default()
    };
    let mut reader = ResultsReader::new(reading, usize::MAX / 2, false);
    let read = reader.push(results).and_then(|()| reader.finish());
    let Ok(mut read) = read else { return };
    let mut tally = Tally::default();
    for row in &ROWS {
        let text = (row.kind == Kind::Text).then_some(row.content.as_bytes());
        read.answers.take(row.ref_id.as_bytes(), text, &mut tally);
    }
    let (compared, others) = (tally.content_compared, tally.content_mismatches);
    if compared > 0 {
        let same = findings.get(Topic::ContentEqual).seen;
        let seen = match others {
            0 => same,
            _ => format!("{same}; Moondrop takes {others} of {compared} texts for others"),
        };
        findings.judge(Topic::ContentEqual, others == 0, seen);
    }
}

fn find_blank_labels(answers: &[Answer], findings: &mut Findings) {
    let succeeded = || answers.iter().filter(|answer| !answer.has_error());
    let blank = succeeded().filter(|answer| is_blank(&answer.labels)).count();
    let empty = succeeded().filter(|answer| is_empty_list(&answer.labels)).count();
    match (blank, empty) {
        (0, 0) => findings.not_seen(Topic::BlankLabels, "every row has a label or an error"),
        (0, _) => findings.met(Topic::BlankLabels, format!("{empty} rows have [] and no error")),
        _ => {
            let seen = format!("{blank} rows have neither labels nor error, {empty} have []");
            findings.not_met(Topic::BlankLabels, seen);
        }
    }
}

fn find_errors(answers: &[Answer], findings: &mut Findings) {
    // The image may be out of reach, and one row must fail.
    let is_text = |answer: &&Answer| {
        ROWS.iter().any(|row| row.ref_id == answer.ref_id && row.kind == Kind::Text)
    };
    let texts = answers.iter().filter(is_text).count();
    let errors = answers.iter().filter(is_text).filter(|answer| answer.has_error()).count();
    let both = answers.iter().filter(|answer| answer.has_error() && answer.has_labels()).count();
    if texts > 0 {
        let seen = format!(
            "{errors} of {texts} texts have an error; {both} rows have labels and an error"
        );
        findings.judge(Topic::ErrorOnSuccess, both == 0 && errors < texts, seen);
    }
    let Some(failed) = answers.iter().find(|answer| answer.ref_id == MUST_FAIL) else { return };
    let labels = if failed.has_labels() { "labels" } else { "no labels" };
    let seen = match failed.error.chars().count() {
        0 => format!("the image that does not exist has no error, and {labels}"),
        length => format!(
            "the image that does not exist has an error of {length} characters, and {labels}"
        ),
    };
    findings.judge(Topic::ErrorOnFailure, failed.has_error(), seen);
}

#[cfg(test)]
mod tests {
    use super::super::findings::Verdict;
    use super::*;

    const HEADER: &str = "ref_id,type,labels,content,error\n";

    fn examined(results: &str) -> Findings {
        let mut findings = Findings::default();
        examine(results.as_bytes(), &mut findings);
        findings
    }

    #[test]
    fn labels_in_one_object_are_a_form_that_moondrop_reads() {
        let row = "probe-02,text,\"{\"\"promotion\"\":0.75}\",x,\n";
        let findings = examined(&format!("{HEADER}{row}"));
        for topic in [Topic::LabelsJson, Topic::LabelName, Topic::LabelScore, Topic::ScoreRange] {
            let found = findings.get(topic);
            assert_eq!(found.verdict, Verdict::Met, "{}", found.seen);
            assert!(!found.seen.contains("promotion"), "a label's name is the policy's");
        }
    }

    #[test]
    fn without_a_label_nothing_is_said_of_keys_and_scores() {
        let findings = examined(&format!("{HEADER}probe-01,text,[],x,\n"));
        assert_eq!(findings.get(Topic::LabelsJson).verdict, Verdict::Met);
        for topic in [Topic::LabelName, Topic::LabelScore, Topic::ScoreRange] {
            assert_eq!(findings.get(topic).verdict, Verdict::NotSeen);
        }
    }

    #[test]
    fn results_in_another_order_of_columns_and_with_more_are_met() {
        let findings = examined("error,content,labels,type,ref_id,price\n,x,[],text,probe-01,1\n");
        let columns = findings.get(Topic::Columns);
        assert_eq!(columns.verdict, Verdict::Met);
        assert_eq!(columns.seen, "all five, in another order; 1 others");
    }

    #[test]
    fn a_file_without_a_header_shows_none_of_its_content() {
        let findings = examined("probe-01,text,[],a secret,\nprobe-02,text,[],b,\n");
        let columns = findings.get(Topic::Columns);
        assert_eq!(columns.verdict, Verdict::NotMet);
        assert!(!columns.seen.contains("secret"), "{}", columns.seen);
        assert_eq!(findings.get(Topic::OneRowPerRefId).verdict, Verdict::NotSeen);
    }

    #[test]
    fn a_row_with_an_error_may_be_without_content() {
        let rows = "probe-01,text,[],x,\nprobe-10,image_url,,,not found\n";
        let found = examined(&format!("{HEADER}{rows}")).get(Topic::ContentReturned);
        assert_eq!(found.verdict, Verdict::Met, "{}", found.seen);
        assert_eq!(found.seen, "1 of 1 rows without an error have it");
        let found = examined(&format!("{HEADER}{rows}probe-02,text,[],,\n"));
        assert_eq!(found.get(Topic::ContentReturned).verdict, Verdict::NotMet);
    }

    #[test]
    fn only_the_keys_that_moondrop_knows_are_named() {
        for (labels, keys) in [
            (r#"[{"promotion":0.7}]"#, "keys: 1 other"),
            (r#"[{"promotion":0.7,"insult":0.1,"score":1}]"#, "keys: score and 2 others"),
            (r#"[{"label":"promotion"}]"#, "keys: label"),
        ] {
            let labels = labels.replace('"', "\"\"");
            let findings = examined(&format!("{HEADER}probe-02,text,\"{labels}\",x,\n"));
            let seen = [Topic::LabelName, Topic::LabelScore].map(|topic| findings.get(topic).seen);
            assert!(seen.iter().any(|seen| seen.ends_with(keys)), "{seen:?}");
            assert!(seen.iter().all(|seen| !seen.contains("promotion")), "{seen:?}");
        }
    }

    #[test]
    fn texts_that_all_have_an_error_are_not_evaluated() {
        let rows: String =
            ROWS.iter().map(|row| format!("{},text,[],x,failed\n", row.ref_id)).collect();
        let findings = examined(&format!("{HEADER}{rows}"));
        assert_eq!(findings.get(Topic::ErrorOnSuccess).verdict, Verdict::NotMet);
        assert_eq!(findings.get(Topic::BlankLabels).verdict, Verdict::NotSeen);
    }
}
