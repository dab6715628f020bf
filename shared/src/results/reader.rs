//! The reader of a results file that is pushed through it piece by piece.

use super::answers::Answers;
use super::columns::Columns;
use super::{OnUnreadable, Reading, ResultsProblem, ResultsTooLarge};
use crate::csv::Row;
use crate::csv::error::InputError;
use crate::csv::scan::Scanner;
use crate::problem::Code;
use sha2::{Digest, Sha256};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was read.
#[derive(Debug)]
pub struct ReadResults {
    /// What the API answered.
    pub answers: Answers,
    /// How many bytes the file had.
    pub bytes: u64,
    /// The SHA-256 of its bytes as they came, in hexadecimal.
    pub digest: String,
    /// Whether the answers can be used.
    pub form: Form,
    confirmed: Form,
}

impl ReadResults {
    /// The form once a second fetch brought the same bytes. Then nothing may be a cut any more: what seemed one is unreadable
    /// or, under [`OnUnreadable::Rows`], is used as far as it is well-formed. [`Form::NoLineEnd`] stays, for the caller to use
    /// if every row is answered and to hold if not.
    #[must_use]
    pub fn confirmed(&self) -> &Form {
        &self.confirmed
    }
}

/// What a results file is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Well-formed to its last line end. Under [`OnUnreadable::Rows`]: or used as far as it is.
    Whole,
    /// Well-formed, but the last record has no line end. It may lack more than that.
    NoLineEnd(ResultsProblem),
    /// The file ends before its end, or the last record has another width: it may be cut short, and is to be fetched again.
    MayBeCut(ResultsProblem),
    /// The file cannot be used, however often it is fetched.
    Held(ResultsProblem),
}

/// Reads a results file. See the module's documentation.
#[derive(Debug)]
pub struct ResultsReader {
    scanner: Scanner,
    /// The first bytes, until it is known whether they are a byte-order mark.
    head: Option<Vec<u8>>,
    body: Body,
    digest: Sha256,
    bytes: u64,
    last: Option<u8>,
    /// The rest of the file is hashed, and not read.
    stopped: bool,
}

impl ResultsReader {
    /// The answers may take `memory` bytes, and one record as many. With `keep_rows`, type and content of each answer are kept
    /// as they came; without it, only what it takes to compare the content.
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

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// If the answers, or one record, take more memory than there is; the reader is then of no more use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ResultsTooLarge> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.last = bytes.last().copied().or(self.last);
        let Some(head) = &mut self.head else {
            if !self.stopped {
                self.scanner.push(bytes);
            }
            return self.read();
        };
        head.extend_from_slice(bytes);
        if head.len() >= BYTE_ORDER_MARK.len() || !BYTE_ORDER_MARK.starts_with(head) {
            self.read_head();
        }
        self.read()
    }

    fn read_head(&mut self) {
        if let Some(head) = self.head.take() {
            self.scanner.push(head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head));
        }
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    /// As [`ResultsReader::push`].
    pub fn finish(mut self) -> Result<ReadResults, ResultsTooLarge> {
        self.read_head();
        self.scanner.finish();
        self.body.ending = true;
        self.read()?;
        let (form, confirmed) = self.body.form(self.bytes, self.stopped, self.last == Some(b'\n'));
        let digest = hex::encode(self.digest.finalize());
        Ok(ReadResults { answers: self.body.answers, bytes: self.bytes, digest, form, confirmed })
    }

    fn read(&mut self) -> Result<(), ResultsTooLarge> {
        while !self.stopped {
            let is_header = self.body.columns.is_none();
            let next = match self.scanner.next_row() {
                Ok(None) => break,
                Ok(Some(row)) if is_header => self.body.header(&row),
                Ok(Some(row)) => self.body.record(&row)?,
                Err(error) => {
                    if self.scanner.row_is_too_long() {
                        return Err(ResultsTooLarge(self.body.memory));
                    }
                    self.body.error(&error)
                }
            };
            match next {
                Next::Row => {}
                Next::Resync => self.scanner.resync(),
                Next::Stop => self.stopped = true,
            }
            if is_header {
                self.scanner.set_skip_spaces(self.scanner.saw_spaces());
            }
        }
        if self.stopped {
            self.scanner = Scanner::new(0, 1, false);
        }
        Ok(())
    }
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Row,
    /// At the line behind the one the row began on.
    Resync,
    Stop,
}

/// What the rows of the file come to.
#[derive(Debug)]
struct Body {
    reading: Reading,
    memory: usize,
    columns: Option<Columns>,
    answers: Answers,
    /// The first thing that is unreadable wherever the file ends.
    unreadable: Option<ResultsProblem>,
    /// The last record has another width than the header.
    last_width_differs: Option<ResultsProblem>,
    /// How the file breaks off.
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
            self.cut = Some(ResultsProblem::unreadable(Some(row.line), "the results end within their header line".to_owned()));
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
            next = self.refuse(row.line, "the header has no error column (`error`, `errors` or `error_message`)");
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
            let message = format!("line {}: the row has {} fields, the header {}", row.line, row.len(), columns.width);
            self.last_width_differs = Some(ResultsProblem::unreadable(Some(row.line), ill_formed(&message)));
            return Ok(if self.rows() { Next::Resync } else { Next::Row });
        }
        let record = columns.record(row);
        // The last record, without a line end: what a cut may have taken of it is its error.
        let may_lack_its_error = !row.has_line_end() && columns.error_is_last() && record.says_nothing();
        if may_lack_its_error {
            let message = format!("line {}: the last record has no line end, and neither labels nor an error", row.line);
            self.cut.get_or_insert(ResultsProblem::unreadable(Some(row.line), ill_formed(&message)));
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
        let problem =
            ResultsProblem::unreadable(Some(error.line), ill_formed(&format!("line {}: {}", error.line, error.message)));
        // What is wrong only since the file ends may be a cut.
        if self.ending && self.cut.is_none() {
            self.cut = Some(problem);
        } else {
            self.refuse_for(problem);
        }
        match error.code {
            _ if !self.rows() || self.columns.is_none() => Next::Stop,
            // The scanner knows where such a row ends, and is there.
            Code::Encoding => Next::Row,
            _ => Next::Resync,
        }
    }

    fn refuse(&mut self, line: u64, message: &str) -> Next {
        self.refuse_for(ResultsProblem::unreadable(Some(line), format!("these are no results: {message}")))
    }

    /// Whether the file ends here, or its other rows are used.
    fn refuse_for(&mut self, problem: ResultsProblem) -> Next {
        self.unreadable.get_or_insert(problem);
        if self.rows() { Next::Row } else { Next::Stop }
    }

    fn rows(&self) -> bool {
        self.reading.unreadable == OnUnreadable::Rows
    }

    /// The form as it is, and as it is once the same bytes came twice.
    fn form(&mut self, bytes: u64, stopped: bool, has_line_end: bool) -> (Form, Form) {
        let blank = self.blank_problem();
        let accepted = blank.map_or(Form::Whole, Form::Held);
        if let Some(problem) = self.unreadable.as_ref().filter(|_| !self.rows()) {
            let held = Form::Held(problem.clone());
            return (held.clone(), held);
        }
        let cut = self.cut.take().or_else(|| self.last_width_differs.take()).or_else(|| {
            let nothing = format!("the results have no header line: {bytes} bytes came");
            (self.columns.is_none() && !stopped).then(|| ResultsProblem::unreadable(None, nothing))
        });
        let open = (!stopped && !has_line_end).then(|| {
            ResultsProblem::unreadable(None, "the last record of the results has no line end: they may be cut short".to_owned())
        });
        if self.rows() {
            let unreadable = self.unreadable.take();
            self.answers.unreadable = unreadable.or_else(|| cut.clone()).or_else(|| open.clone());
        }
        match (cut, open) {
            (Some(problem), _) if self.rows() => (Form::MayBeCut(problem), accepted),
            (None, Some(problem)) if self.rows() => (Form::NoLineEnd(problem), accepted),
            (Some(problem), _) => (Form::MayBeCut(problem.clone()), Form::Held(twice(problem))),
            (None, Some(problem)) => {
                let confirmed = if accepted == Form::Whole { Form::NoLineEnd(twice(problem.clone())) } else { accepted };
                (Form::NoLineEnd(problem), confirmed)
            }
            (None, None) => (accepted.clone(), accepted),
        }
    }

    /// Rows with neither labels nor error, which nothing says how to take.
    fn blank_problem(&self) -> Option<ResultsProblem> {
        let blanks = self.answers.blanks();
        if blanks == 0 || self.reading.blank.is_some() || self.answers.has_empty_list {
            return None;
        }
        Some(ResultsProblem {
            code: Code::BlankLabels,
            line: self.first_blank,
            message: format!(
                "{blanks} rows of the results have neither labels nor error, and no row has `[]`: the API may write \"no label\" so, or it did not evaluate them"
            ),
            setting: "BLANK_LABELS=missing|evaluated",
        })
    }
}

fn ill_formed(message: &str) -> String {
    format!("the results are no well-formed CSV: {message}")
}

fn twice(mut problem: ResultsProblem) -> ResultsProblem {
    problem.message.push_str("; a second fetch brought the same bytes");
    problem
}
