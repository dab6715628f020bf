//! From a job's input to its output, in one pass.

use super::labels::{Kind, judge};
use super::quirk::Quirk;
use anyhow::Context;
use csv::{ErrorKind, QuoteStyle, Reader, StringRecord, Writer, WriterBuilder};
use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many rows change places with each other. Memory holds at most this many.
const BLOCK_ROWS: usize = 1_000;
/// And at most about this much content: rows can be long. 4 MiB = 1,000 rows of 4 KiB.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Evaluation {
    /// The output has this many rows.
    Done(u64),
    /// The input is not what the documentation asks for. No content is in this message.
    Refused(String),
    /// The sandbox is stopping.
    Stopped,
}

/// Reads `input` and writes `output`. An error is the machine's, not the input's, and trying again
/// may help.
///
/// Rows come out in blocks, each from its last row to its first: the documentation promises no
/// order, so none can be relied on.
pub(super) fn evaluate(
    input: &Path,
    output: &Path,
    stop: &AtomicBool,
    quirk: Option<Quirk>,
) -> anyhow::Result<Evaluation> {
    let reader = Reader::from_path(input).context("opening the input")?;
    let mut builder = WriterBuilder::new();
    if quirk == Some(Quirk::LooseQuotes) {
        builder.quote_style(QuoteStyle::Never);
    }
    let writer = builder.from_path(output).context("making the output")?;
    let mut output = Output { writer, quirk };
    let evaluation = match pass(reader, &mut output, stop) {
        Ok(evaluation) => evaluation,
        Err(EvaluationError::Input(message)) => Evaluation::Refused(message),
        Err(EvaluationError::Machine(error)) => return Err(error),
    };
    output.writer.flush().context("writing the output")?;
    Ok(evaluation)
}

enum EvaluationError {
    Input(String),
    Machine(anyhow::Error),
}

impl From<csv::Error> for EvaluationError {
    fn from(error: csv::Error) -> Self {
        let line = error.position().map_or(1, csv::Position::line);
        match error.kind() {
            ErrorKind::UnequalLengths { expected_len, len, .. } => Self::Input(format!(
                "line {line}: {len} fields, where the header has {expected_len}"
            )),
            ErrorKind::Utf8 { .. } => Self::Input(format!("line {line}: not UTF-8")),
            _ => Self::Machine(error.into()),
        }
    }
}

/// Where the columns are, and whether spaces after a comma are to be skipped.
struct Header {
    ref_id: usize,
    kind: usize,
    content: usize,
    spaces: bool,
}

impl Header {
    fn read(names: &StringRecord) -> Result<Self, EvaluationError> {
        let column = |wanted: &str| {
            let found = names.iter().position(|name| name.trim() == wanted);
            found.ok_or_else(|| EvaluationError::Input(format!("line 1: no column {wanted}")))
        };
        let header = Self {
            ref_id: column("ref_id")?,
            kind: column("type")?,
            content: column("content")?,
            spaces: names.iter().any(|name| name.starts_with(' ')),
        };
        if names.len() != 3 {
            return Err(EvaluationError::Input(format!(
                "line 1: {} columns, where ref_id, type and content are expected",
                names.len()
            )));
        }
        Ok(header)
    }

    fn field<'r>(&self, row: &'r StringRecord, column: usize) -> &'r str {
        let field = row.get(column).unwrap_or_default();
        if self.spaces { field.trim_start_matches(' ') } else { field }
    }
}

fn pass(
    mut reader: Reader<File>,
    output: &mut Output,
    stop: &AtomicBool,
) -> Result<Evaluation, EvaluationError> {
    let header = Header::read(reader.headers()?)?;
    let quirk = output.quirk;
    output.write(["ref_id", "type", "labels", "content", "error"])?;

    let mut ids = HashSet::new();
    let mut block: Vec<[String; 5]> = Vec::with_capacity(BLOCK_ROWS);
    let (mut rows, mut bytes) = (0_u64, 0);
    let mut row = StringRecord::new();
    while reader.read_record(&mut row)? {
        let line = row.position().map_or(0, csv::Position::line);
        let refused = |why: &str| EvaluationError::Input(format!("line {line}: {why}"));

        let ref_id = header.field(&row, header.ref_id);
        if ref_id.is_empty() {
            return Err(refused("the ref_id is empty"));
        }
        if !ids.insert(ref_id.to_owned()) {
            return Err(refused("the ref_id was used before"));
        }
        let kind = Kind::named(row.get(header.kind).unwrap_or_default().trim())
            .ok_or_else(|| refused("the type is neither text nor image_url"))?;
        let content = header.field(&row, header.content);

        let (found, error) = match judge(kind, content) {
            Ok(found) => (found, ""),
            Err(_) if quirk == Some(Quirk::FailsWholeJob) => {
                return Err(refused("the row cannot be evaluated"));
            }
            Err(error) => (Vec::new(), error),
        };
        let other = quirk.filter(|_| error.is_empty()).and_then(|quirk| quirk.labels(&found));
        let labels = match other {
            Some(labels) => labels,
            None => serde_json::to_string(&found)
                .map_err(|error| EvaluationError::Machine(error.into()))?,
        };
        bytes += ref_id.len() + content.len() + labels.len();
        let kind = kind.name().to_owned();
        let mut answer = [ref_id.to_owned(), kind, labels, content.to_owned(), error.to_owned()];
        if let Some(quirk) = quirk {
            quirk.change_row(&mut answer);
        }
        block.push(answer);
        rows += 1;

        if block.len() >= BLOCK_ROWS || bytes >= BLOCK_BYTES {
            output.write_back_to_front(&mut block)?;
            bytes = 0;
            if stop.load(Ordering::Relaxed) {
                return Ok(Evaluation::Stopped);
            }
        }
    }
    if rows == 0 {
        return Err(EvaluationError::Input("there are no rows".to_owned()));
    }
    output.write_back_to_front(&mut block)?;
    Ok(Evaluation::Done(rows))
}

/// The results in the making.
struct Output {
    writer: Writer<File>,
    quirk: Option<Quirk>,
}

impl Output {
    fn write_back_to_front(&mut self, block: &mut Vec<[String; 5]>) -> Result<(), EvaluationError> {
        if self.quirk != Some(Quirk::SameOrder) {
            block.reverse();
        }
        let twice = (self.quirk == Some(Quirk::RowTwice)).then(|| block.first().cloned()).flatten();
        for row in block.drain(..).chain(twice) {
            self.write(row.each_ref().map(String::as_str))?;
        }
        Ok(())
    }

    fn write(&mut self, row: [&str; 5]) -> Result<(), EvaluationError> {
        let [ref_id, _, labels, content, error] = row;
        if self.quirk == Some(Quirk::NoTypeColumn) {
            return Ok(self.writer.write_record([ref_id, labels, content, error])?);
        }
        Ok(self.writer.write_record(row)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(input: &[u8]) -> (Evaluation, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("in"), dir.path().join("out"));
        std::fs::write(&from, input).unwrap();
        let evaluation = evaluate(&from, &to, &AtomicBool::new(false), None).unwrap();
        (evaluation, std::fs::read(&to).unwrap())
    }

    fn rows(output: &[u8]) -> Vec<Vec<String>> {
        let mut reader = Reader::from_reader(output);
        assert_eq!(reader.headers().unwrap(), vec!["ref_id", "type", "labels", "content", "error"]);
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn each_row_once_and_not_in_order() {
        let input: String = (0..2_500).map(|n| format!("{n},text,note {n}\n")).collect();
        let input = format!("ref_id,type,content\n{input}");
        let (evaluation, output) = run(input.as_bytes());
        assert_eq!(evaluation, Evaluation::Done(2_500));
        let ids: Vec<u32> = rows(&output).iter().map(|row| row[0].parse().unwrap()).collect();
        assert!(!ids.is_sorted());
        let mut sorted = ids;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..2_500));
        assert_eq!(run(input.as_bytes()).1, output, "the same input gives the same bytes");
    }

    #[test]
    fn reads_quotes_any_column_order_and_a_byte_order_mark() {
        let input = "\u{feff}content,ref_id,type\r\n\"a \"\"bomb\"\",\nhere\",r1,text\r\n";
        let (_, output) = run(input.as_bytes());
        let row = &rows(&output)[0];
        assert_eq!(row[3], "a \"bomb\",\nhere");
        assert!(row[2].starts_with(r#"[{"label":"violence","score":0."#), "{}", row[2]);
    }

    #[test]
    fn spaces_after_commas_are_skipped_only_if_the_header_has_them() {
        let (_, output) = run(b"ref_id, type, content\n1, text, hello\n");
        assert_eq!(rows(&output)[0], ["1", "text", "[]", "hello", ""]);
        let (_, output) = run(b"ref_id,type,content\n1, text , hello\n");
        assert_eq!(rows(&output)[0], ["1", "text", "[]", " hello", ""]);
    }

    #[test]
    fn a_row_that_fails_has_no_labels() {
        let (_, output) = run(
            b"ref_id,type,content\n1,text,a bomb [[error]]\n2,image_url,https://x.test/404.png\n",
        );
        for row in rows(&output) {
            assert_eq!(row[2], "[]");
            assert!(!row[4].is_empty());
        }
    }

    #[test]
    fn refuses_what_is_not_an_input_and_never_shows_it() {
        for (input, why) in [
            (&b""[..], "line 1: no column ref_id"),
            (b"\x89PNG\r\n", "line 1: not UTF-8"),
            (b"ref_id,content\n1,x\n", "line 1: no column type"),
            (
                b"ref_id,type,content,user\n1,text,x,u\n",
                "line 1: 4 columns, where ref_id, type and content are expected",
            ),
            (b"ref_id,type,content\n", "there are no rows"),
            (b"ref_id,type,content\n1,text,x\n1,text,y\n", "line 3: the ref_id was used before"),
            (
                b"ref_id,type,content\n1,secret,x\n",
                "line 2: the type is neither text nor image_url",
            ),
            (b"ref_id,type,content\n,text,x\n", "line 2: the ref_id is empty"),
            (b"ref_id,type,content\n1,text,x,y\n", "line 2: 4 fields, where the header has 3"),
            (b"ref_id,type,content\n1,text,\xff\n", "line 2: not UTF-8"),
        ] {
            assert_eq!(run(input).0, Evaluation::Refused(why.to_owned()));
        }
    }

    #[test]
    fn stops_when_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("in"), dir.path().join("out"));
        let input: String = (0..1_000).map(|n| format!("{n},text,x\n")).collect();
        std::fs::write(&from, format!("ref_id,type,content\n{input}")).unwrap();
        assert_eq!(
            evaluate(&from, &to, &AtomicBool::new(true), None).unwrap(),
            Evaluation::Stopped
        );
    }
}
