//! Every error code, with what happens next, and the words for each problem of a drop. Values only: nothing here is tried, read or
//! written.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What an error code means for the drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The row is not sent.
    RejectsRow,
    /// The drop ends.
    EndsDrop,
    /// What failed is tried again.
    Retried,
    /// As `Retried`; and no other part of the drop is uploaded meanwhile, since what stops one stops all.
    StopsUploads,
    /// As `StopsUploads`, until the user changes the key or a setting.
    NeedsUser,
    /// The part waits for the user, and no other part does.
    HoldsPart,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $effect:ident, $next:literal;)+) => {
        /// The stable code of each thing that can be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "&'static str")]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Code] = &[$(Code::$name),+];

            /// The code as users see it, such as `E_QUOTE`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)+
                }
            }

            /// What happens next, or what the user has to do.
            #[must_use]
            pub fn next_step(self) -> &'static str {
                match self {
                    $(Code::$name => $next,)+
                }
            }

            fn effect(self) -> Effect {
                match self {
                    $(Code::$name => Effect::$effect,)+
                }
            }
        }
    };
}

codes! {
    /// The file has no bytes, or no row below its header.
    Empty = "E_EMPTY", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// The header lacks a column, has one twice, or uses another separator.
    Header = "E_HEADER", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// The bytes are not UTF-8 text: UTF-16, an archive, a NUL, an invalid sequence.
    Encoding = "E_ENCODING", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// A quote or a carriage return stands where CSV does not allow it, or a quote is never closed.
    Quote = "E_QUOTE", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// A row has more or fewer fields than the header.
    Fields = "E_FIELDS", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// The row's `ref_id` is empty, too long, or is on an earlier row.
    RefId = "E_REF_ID", RejectsRow, "Fix the row and drop it in another file.";
    /// The row's `type` is neither `text` nor `image_url`.
    Type = "E_TYPE", RejectsRow, "Fix the row and drop it in another file.";
    /// The row's `content` is empty, or not the URL of an image.
    Content = "E_CONTENT", RejectsRow, "Fix the row and drop it in another file.";
    /// Something is larger than Moondrop takes.
    Limit = "E_LIMIT", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// No policy is named for the file: it is in no policy's folder, and there is no default policy.
    Policy = "E_POLICY", EndsDrop, "Fix the file and drop it again. Nothing was sent.";
    /// Rows are invalid, and such a file is to be held back as a whole.
    Rows = "E_ROWS", EndsDrop, "Fix the rows that rejected.csv lists and drop the file again. Nothing was sent.";
    /// The file was overwritten or deleted before it had been checked.
    Gone = "E_GONE", EndsDrop, "A file that took its place is a drop of its own. To have this one evaluated, drop it again.";
    /// The file could not be checked for now.
    Check = "E_CHECK", Retried, "It will be tried again by itself. If it stays so for hours, look at the logs of submit.";
    /// The file needs more memory or time than submit has.
    CheckSize = "E_CHECK_SIZE", Retried, "Action required: give submit more memory, with which it is also quicker, or drop the file in several. It is tried again by itself.";
    /// The API does not take the key, or the key has no right to do this; or the key cannot be had from its secret.
    ApiKey = "E_API_KEY", NeedsUser, "Action required: renew the key in its secret, or give it the right to create, read and cancel batch jobs. The drop goes on by itself within minutes.";
    /// The API refuses to create a job.
    ApiRefused = "E_API_REFUSED", StopsUploads, "It will be tried again by itself. If it stays so for an hour, action required: ask the API's support.";
    /// The API takes no more requests for now.
    ApiBusy = "E_API_BUSY", StopsUploads, "It will be tried again by itself; a daily limit may take until tomorrow.";
    /// The API could not be reached, or gave no clear answer.
    Api = "E_API", StopsUploads, "It will be tried again by itself.";
    /// The API points to a host that is not to be contacted.
    Host = "E_HOST", NeedsUser, "Action required: if that host is the API's, add it to the setting SIGNED_URL_HOSTS. The drop goes on by itself.";
    /// An upload did not succeed.
    Upload = "E_UPLOAD", Retried, "It will be tried again by itself.";
    /// A part of the file could not be read or recorded.
    Part = "E_PART", Retried, "It will be tried again by itself. If it stays so for hours, look at the logs of submit.";
    /// A job has its rows and does not start.
    NotStarted = "E_NOT_STARTED", HoldsPart, "Action required: ask the API's support about the job. Moondrop waits.";
    /// Results could not be fetched, read or stored.
    Results = "E_RESULTS", Retried, "It will be tried again by itself. If it stays so for hours, look at the logs of collect.";
    /// The results of a job need more memory than collect has.
    ResultsSize = "E_RESULTS_SIZE", Retried, "Action required: give collect more memory; half of it is for results. The drop goes on by itself then.";
    /// A job's results are not well-formed, or lack a column.
    ResultsUnreadable = "E_RESULTS_UNREADABLE", HoldsPart, "Action required: look at the kept results.";
    /// Rows have neither labels nor error, and nothing says what that means.
    BlankLabels = "E_BLANK_LABELS", HoldsPart, "Action required: look at the kept results.";
    /// No row of the part is answered.
    ResultsUnrelated = "E_RESULTS_UNRELATED", HoldsPart, "Action required: look at the kept results.";
    /// The texts that came back are not those that were sent.
    ResultsContent = "E_RESULTS_CONTENT", HoldsPart, "Action required: look at the kept results.";
    /// No row was evaluated.
    Nothing = "E_NOTHING", EndsDrop, "Each row of results.csv says why. When the cause is fixed, drop the file again.";
    /// Another `results.csv` is in the drop's place.
    Conflict = "E_CONFLICT", EndsDrop, "Action required: see who wrote it. To have this drop's results, move it away and drop the file again.";
    /// A code that this release does not know: a newer one wrote it.
    Unknown = "E_UNKNOWN", Retried, "See the documentation of the release that wrote this record.";
}

impl Code {
    /// The code that is written so.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Code::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Whether the row has it, rather than the file.
    #[must_use]
    pub fn rejects_row(self) -> bool {
        self.effect() == Effect::RejectsRow
    }

    /// Whether what stops one part's upload stops all of them: the key, the network, a limit, a refusal, a host.
    #[must_use]
    pub fn stops_uploads(self) -> bool {
        matches!(self.effect(), Effect::StopsUploads | Effect::NeedsUser)
    }

    /// Whether it stays until the user changes the key or a setting.
    #[must_use]
    pub fn needs_user(self) -> bool {
        self.effect() == Effect::NeedsUser
    }

    /// Whether it holds one part until the user acts.
    #[must_use]
    pub fn holds_part(self) -> bool {
        self.effect() == Effect::HoldsPart
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for Code {
    fn from(text: String) -> Self {
        Code::read(&text).unwrap_or(Code::Unknown)
    }
}

impl From<Code> for &'static str {
    fn from(code: Code) -> Self {
        code.as_str()
    }
}

/// What is wrong with a drop or a part, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its stable code.
    pub code: Code,
    /// What is wrong; never content, keys or URLs.
    pub message: String,
    /// What happens next, or what the user has to do.
    pub next_step: String,
}

impl Problem {
    /// A problem with the next step that its code has.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), next_step: code.next_step().to_owned() }
    }

    /// The same with another next step.
    #[must_use]
    pub fn with_next_step(self, next_step: impl Into<String>) -> Self {
        Problem { next_step: next_step.into(), ..self }
    }

    /// The API does not take the key (401), or does not let it do what Moondrop does (403): it does not say for sure which.
    #[must_use]
    pub fn key_refused() -> Self {
        Problem::new(Code::ApiKey, "the API does not take the API key, or the key has no right to do this")
    }

    /// The key cannot be had from its secret.
    #[must_use]
    pub fn no_key() -> Self {
        Problem::new(Code::ApiKey, "the API key cannot be had from its secret").with_next_step(
            "It will be tried again by itself. If it stays so, action required: put the key, and nothing else, into its secret.",
        )
    }

    /// The API points to a host that is not to be contacted; `what` says for what.
    #[must_use]
    pub fn host_refused(what: &str, host: &str) -> Self {
        Problem::new(Code::Host, format!("the API {what} {host}, which SIGNED_URL_HOSTS does not allow"))
    }

    /// The API blames the request to create a job; it is asked once more before rows end as failed.
    #[must_use]
    pub fn create_invalid(message: &str) -> Self {
        Problem::create_refused(message).with_next_step(
            "It will be asked once more in a while. If it refuses again, the rows end as failed: then check the policy's id.",
        )
    }

    /// The API refuses to create a job, with this message.
    #[must_use]
    pub fn create_refused(message: &str) -> Self {
        Problem::new(Code::ApiRefused, format!("the API refuses to create a job: {message}"))
    }

    /// Too many requests.
    #[must_use]
    pub fn api_busy() -> Self {
        Problem::new(Code::ApiBusy, "the API takes no more requests for now (429)")
    }

    /// It is not known what the API did.
    #[must_use]
    pub fn api_unclear() -> Self {
        Problem::new(Code::Api, "the API could not be reached, or gave no clear answer")
    }

    /// An upload did not succeed.
    #[must_use]
    pub fn upload_failed() -> Self {
        Problem::new(Code::Upload, "an upload did not succeed")
    }

    /// A part could not be read or recorded.
    #[must_use]
    pub fn part_failed() -> Self {
        Problem::new(Code::Part, "a part of the file could not be read or recorded")
    }

    /// The file could not be read, or the plan not be recorded.
    #[must_use]
    pub fn check_failed() -> Self {
        Problem::new(Code::Check, "the file could not be read, or what was found not be recorded")
    }

    /// The file needs more memory or time than there is: which, and how far the check came.
    #[must_use]
    pub fn check_too_large(limit: &str) -> Self {
        Problem::new(Code::CheckSize, format!("the file is too large for submit: {limit}"))
    }

    /// The file cannot be used, for what is on this line.
    #[must_use]
    pub fn file_refused(code: Code, line: u64, message: &str) -> Self {
        Problem::new(code, format!("line {line}: {message}"))
    }

    /// Rows are invalid, and the file is held back.
    #[must_use]
    pub fn rows_rejected(rejected: u64, rows: u64) -> Self {
        let message = format!("{rejected} of {rows} rows are not fit to be evaluated, and such a file is held back as a whole");
        Problem::new(Code::Rows, message)
    }

    /// The file was gone before it was checked.
    #[must_use]
    pub fn source_gone() -> Self {
        Problem::new(Code::Gone, "the file was overwritten or deleted before it had been read; nothing was evaluated")
    }

    /// Results could not be had for now.
    #[must_use]
    pub fn results_failed() -> Self {
        Problem::new(Code::Results, "results could not be fetched, read or stored")
    }

    /// Results cannot be used, for the first time.
    #[must_use]
    pub fn results_unconfirmed(part: u32, error: &str) -> Self {
        Problem::new(Code::Results, format!("the results of part {part} cannot be used as they came: {error}")).with_next_step(
            "They are fetched again by themselves. If they come the same way again, they are kept, and an event says so.",
        )
    }

    /// Results take more memory than the `limit` there is, in bytes.
    #[must_use]
    pub fn results_too_large(limit: usize) -> Self {
        let message = format!("the results of a job take more than the {} MiB that collect has for them", limit >> 20);
        Problem::new(Code::ResultsSize, message)
    }

    /// Another object is where the results were to be.
    #[must_use]
    pub fn conflict() -> Self {
        Problem::new(Code::Conflict, "another results.csv stands in this drop's place; it was not overwritten")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_an_unknown_one_is_no_error() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
        }
        assert_eq!(serde_json::from_str::<Code>("\"E_OF_TOMORROW\"").unwrap(), Code::Unknown);
    }

    #[test]
    fn what_needs_the_user_stops_all_uploads() {
        for code in Code::ALL.iter().filter(|code| code.needs_user()) {
            assert!(code.stops_uploads(), "{code}");
            assert!(code.next_step().contains("Action required"), "{code}");
        }
    }
}
