//! Reads a results file that is pushed in pieces.

use super::answers::Answers;
use super::columns::Columns;
use super::{OnUnreadable, Reading, ResultsProblem, ResultsTooLarge};
use crate::csv::Row;
use crate::csv::error::InputError;
use crate::csv::scan::{Rows, Scanner};
use crate::problem::Code;
use sha2::{Digest, Sha256};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A results file that was read to its end.
#[derive(Debug)]
pub struct ReadResults {
    /// The API's answers.
    pub answers: Answers,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The SHA-256 of the file, in hex.
    pub digest: String,
    /// Whether the answers can be used.
    pub form: Form,
    confirmed: Form,
}

impl ReadResults {
    /// Whether the file is well-formed to its end and every answer was taken: of results that were
    /// joined while they came, it shows whether rows got what they would have got afterwards.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.form == Form::Whole && self.answers.left() == 0 && self.answers.unreadable().is_none()
    }

    /// The form if a second fetch brought the same bytes. Then the file is not cut: it is
    /// unreadable or, with [`OnUnreadable::Rows`], used as far as it is well-formed.
    /// [`Form::NoLineEnd`] remains: the caller uses the file if every row is answered, and holds it
    /// otherwise.
    #[must_use]
    pub fn confirmed(&self) -> &Form {
        &self.confirmed
    }
}

/// The form of a results file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Well-formed to its last line end or, with [`OnUnreadable::Rows`], used as far as it is.
    Whole,
    /// Well-formed, but the last record has no line end: more may be missing.
    NoLineEnd(ResultsProblem),
    /// The file ends inside a record, or the last record has too few or too many fields: it may be
    /// cut, and is to be fetched again.
    MayBeCut(ResultsProblem),
    /// The file cannot be used; fetching it again does not help.
    Held(ResultsProblem),
}

/// Reads a results file; see the module's documentation.
#[derive(Debug)]
pub struct ResultsReader {
    scanner: Scanner,
    /// The first bytes, until it is clear whether they are a byte-order mark.
    head: Option<Vec<u8>>,
    body: Body,
    digest: Sha256,
    bytes: u64,
    last: Option<u8>,
    /// The rest of the file is only hashed.
    stopped: bool,
}

impl ResultsReader {
    /// The answers may take `memory` bytes, and one record as many. With `keep_rows`, the type and
    /// content of each answer are kept whatever the memory; otherwise, where there is no memory for
    /// all contents, only a fingerprint of each.
    #[must_use]
    pub fn new(reading: Reading, memory: usize, keep_rows: bool) -> Self {
        let mut scanner = Scanner::new(0, 1, true);
        scanner.set_row_limit(memory);
        ResultsReader {
            scanner,
            head: Some(Vec::new()),
            body: Body::new(reading, memory, keep_rows),
            digest: Sha256::new(),
            bytes: 0,
            last: None,
            stopped: false,
        }
    }

    /// The answers that came so far, to be taken.
    pub fn answers(&mut self) -> &mut Answers {
        &mut self.body.answers
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// If the answers or one record take more memory than allowed. The reader cannot be used after
    /// that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ResultsTooLarge> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.last = bytes.last().copied().or(self.last);
        let Some(head) = &mut self.head else { return self.read(bytes) };
        head.extend_from_slice(bytes);
        if head.len() >= BYTE_ORDER_MARK.len() || !BYTE_ORDER_MARK.starts_with(head) {
            self.read_head()?;
        }
        Ok(())
    }

    fn read_head(&mut self) -> Result<(), ResultsTooLarge> {
        let Some(head) = self.head.take() else { return Ok(()) };
        self.read(head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head))
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), ResultsTooLarge> {
        if !self.stopped {
            self.stopped = read_rows(&mut self.body, self.scanner.rows(bytes))?;
        }
        if self.stopped {
            self.scanner = Scanner::new(0, 1, false);
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`ResultsReader::push`].
    pub fn finish(mut self) -> Result<ReadResults, ResultsTooLarge> {
        self.read_head()?;
        self.body.ending = true;
        if !self.stopped {
            self.stopped = read_rows(&mut self.body, self.scanner.last_rows(&[]))?;
        }
        let (form, confirmed) = self.body.form(self.bytes, self.stopped, self.last == Some(b'\n'));
        let digest = hex::encode(self.digest.finalize());
        Ok(ReadResults { answers: self.body.answers, bytes: self.bytes, digest, form, confirmed })
    }
}

/// Reads rows; true if the rest of the file is not to be read.
fn read_rows(body: &mut Body, mut rows: Rows<'_>) -> Result<bool, ResultsTooLarge> {
    loop {
        let is_header = body.columns.is_none();
        let next = match rows.next_row() {
            Ok(None) => return Ok(false),
            Ok(Some(row)) if is_header => body.header(&row),
            Ok(Some(row)) => body.record(&row)?,
            Err(error) => {
                if rows.row_is_too_long() {
                    return Err(ResultsTooLarge(body.memory));
                }
                body.error(&error)
            }
        };
        match next {
            Next::Row => {}
            Next::Resync => rows.resync(),
            Next::Stop => return Ok(true),
        }
        if is_header {
            let skip = rows.saw_spaces();
            rows.set_skip_spaces(skip);
        }
    }
}

/// Where reading continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Row,
    /// On the line after the one where the row began.
    Resync,
    Stop,
}

/// What the rows read so far amount to.
#[derive(Debug)]
struct Body {
    reading: Reading,
    memory: usize,
    columns: Option<Columns>,
    answers: Answers,
    /// The first problem that is not at the file's end, and so is no cut.
    unreadable: Option<ResultsProblem>,
    /// The last record has more or fewer fields than the header.
    last_width_differs: Option<ResultsProblem>,
    /// How the file is cut, if it is.
    cut: Option<ResultsProblem>,
    first_blank: Option<u64>,
    /// No more bytes come.
    ending: bool,
}

impl Body {
    fn new(reading: Reading, memory: usize, keep_rows: bool) -> Self {
        Body {
            reading,
            memory,
            columns: None,
            answers: Answers::new(reading.blank, memory, keep_rows),
            unreadable: None,
            last_width_differs: None,
            cut: None,
            first_blank: None,
            ending: false,
        }
    }

    fn header(&mut self, row: &Row<'_>) -> Next {
        if self.ending {
            self.cut = Some(ResultsProblem::unreadable(
                Some(row.line),
                "the results end within their header line".to_owned(),
            ));
            return Next::Stop;
        }
        let columns = match Columns::read(row) {
            Ok(columns) => columns,
            Err(message) => {
                self.refuse(row.line, &message);
                return Next::Stop;
            }
        };
        let mut next = Next::Row;
        if !columns.has_error() {
            next = self.refuse(
                row.line,
                "the header has no error column (`error`, `errors` or `error_message`)",
            );
        }
        self.columns = Some(columns);
        next
    }

    fn record(&mut self, row: &Row<'_>) -> Result<Next, ResultsTooLarge> {
        if let Some(problem) = self.last_width_differs.take()
            && self.refuse_for(problem) == Next::Stop
        {
            return Ok(Next::Stop);
        }
        // The header is read before any record.
        let Some(columns) = &self.columns else { return Ok(Next::Stop) };
        if row.len() != columns.width {
            let message = format!(
                "line {}: the row has {} fields, the header {}",
                row.line,
                row.len(),
                columns.width
            );
            self.last_width_differs =
                Some(ResultsProblem::unreadable(Some(row.line), ill_formed(&message)));
            return Ok(if self.uses_rows() { Next::Resync } else { Next::Row });
        }
        let record = columns.record(row);
        // The last record, without a line end: its error may be cut off.
        let may_lack_its_error =
            !row.has_line_end() && columns.error_is_last() && record.has_no_label_and_no_error();
        if may_lack_its_error {
            let message = format!(
                "line {}: the last record has no line end, and neither labels nor an error",
                row.line
            );
            self.cut
                .get_or_insert(ResultsProblem::unreadable(Some(row.line), ill_formed(&message)));
        }
        if self.first_blank.is_none() && record.is_blank() {
            self.first_blank = Some(row.line);
        }
        let has_error = columns.has_error() && !may_lack_its_error;
        self.answers.add(&record, has_error)?;
        Ok(Next::Row)
    }

    fn error(&mut self, error: &InputError) -> Next {
        if let Some(problem) = self.last_width_differs.take()
            && self.refuse_for(problem) == Next::Stop
        {
            return Next::Stop;
        }
        let problem = ResultsProblem::unreadable(
            Some(error.line),
            ill_formed(&format!("line {}: {}", error.line, error.message)),
        );
        // An error at the end of the file may be a cut.
        if self.ending && self.cut.is_none() {
            self.cut = Some(problem);
        } else {
            self.refuse_for(problem);
        }
        match error.code {
            _ if !self.uses_rows() || self.columns.is_none() => Next::Stop,
            // The scanner is at the end of such a row.
            Code::Encoding => Next::Row,
            _ => Next::Resync,
        }
    }

    fn refuse(&mut self, line: u64, message: &str) -> Next {
        self.refuse_for(ResultsProblem::unreadable(
            Some(line),
            format!("these are no results: {message}"),
        ))
    }

    /// Records the problem. Reading stops here, or continues if the other rows are used.
    fn refuse_for(&mut self, problem: ResultsProblem) -> Next {
        self.unreadable.get_or_insert(problem);
        if self.uses_rows() { Next::Row } else { Next::Stop }
    }

    fn uses_rows(&self) -> bool {
        self.reading.unreadable == OnUnreadable::Rows
    }

    /// The form now, and the form if the same bytes come twice.
    fn form(&mut self, bytes: u64, stopped: bool, has_line_end: bool) -> (Form, Form) {
        let accepted = self.blank_problem().map_or(Form::Whole, Form::Held);
        if let Some(problem) = self.unreadable.as_ref().filter(|_| !self.uses_rows()) {
            let held = Form::Held(problem.clone());
            return (held.clone(), held);
        }
        let cut = self.cut.take().or_else(|| self.last_width_differs.take()).or_else(|| {
            let no_header = format!("the results have no header line: {bytes} bytes came");
            (self.columns.is_none() && !stopped)
                .then(|| ResultsProblem::unreadable(None, no_header))
        });
        let no_line_end = (!stopped && !has_line_end).then(|| {
            ResultsProblem::unreadable(
                None,
                "the last record of the results has no line end: they may be cut short".to_owned(),
            )
        });
        if self.uses_rows() {
            let unreadable = self.unreadable.take();
            self.answers.unreadable =
                unreadable.or_else(|| cut.clone()).or_else(|| no_line_end.clone());
        }
        match (cut, no_line_end) {
            (Some(problem), _) if self.uses_rows() => (Form::MayBeCut(problem), accepted),
            (None, Some(problem)) if self.uses_rows() => (Form::NoLineEnd(problem), accepted),
            (Some(problem), _) => (Form::MayBeCut(problem.clone()), Form::Held(confirmed(problem))),
            (None, Some(problem)) => {
                let form = if accepted == Form::Whole {
                    Form::NoLineEnd(confirmed(problem.clone()))
                } else {
                    accepted
                };
                (Form::NoLineEnd(problem), form)
            }
            (None, None) => (accepted.clone(), accepted),
        }
    }

    /// Rows with neither labels nor error, if neither a setting nor another row shows what they
    /// mean.
    fn blank_problem(&self) -> Option<ResultsProblem> {
        let blank = self.answers.count_blank();
        if blank == 0 || self.reading.blank.is_some() || self.answers.has_empty_list {
            return None;
        }
        Some(ResultsProblem {
            code: Code::BlankLabels,
            line: self.first_blank,
            message: format!(
                "{blank} rows of the results have neither labels nor error, and no row has `[]`: the API may write \"no label\" so, or it did not evaluate them"
            ),
            setting: "BLANK_LABELS=missing|evaluated",
        })
    }
}

fn ill_formed(message: &str) -> String {
    format!("the results are no well-formed CSV: {message}")
}

fn confirmed(mut problem: ResultsProblem) -> ResultsProblem {
    problem.message.push_str("; a second fetch brought the same bytes");
    problem
}
