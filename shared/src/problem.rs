//! Every error code with its effect and its next step, and the message of each problem of a drop.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a problem stops. The order is that of gravity, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// As `StopsUploads`, until the user changes the key or a setting.
    NeedsUser,
    /// What has it, until someone acts.
    Waits,
    /// All uploads of the drop in this invocation: the cause stops them all.
    StopsUploads,
    /// Nothing else than what has it.
    Alone,
    /// Nothing.
    Remark,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $effect:ident, $next:literal;)+) => {
        /// A stable error code.
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

            /// What Moondrop does next, or what the user has to do.
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
    Empty = "E_EMPTY", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// The header lacks a column, has one twice, or has another delimiter than commas.
    Header = "E_HEADER", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// The mapping of the file's folder is invalid.
    Mapping = "E_MAPPING", Alone, "Fix the mapping and drop the file again. Nothing was sent.";
    /// The bytes are not UTF-8 text: UTF-16, an archive, a NUL, an invalid sequence.
    Encoding = "E_ENCODING", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// A quote or a carriage return is where CSV does not allow it, or a quote is never closed.
    Quote = "E_QUOTE", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// A row has more or fewer fields than the header.
    Fields = "E_FIELDS", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// The row's `ref_id` is empty, too long, or a duplicate of an earlier row's.
    RefId = "E_REF_ID", Alone, "Fix the row and drop it in another file.";
    /// The row's `type` is neither `text` nor `image_url`.
    Type = "E_TYPE", Alone, "Fix the row and drop it in another file.";
    /// The row's `content` is empty, or not the URL of an image.
    Content = "E_CONTENT", Alone, "Fix the row and drop it in another file.";
    /// The file exceeds a limit of Moondrop's.
    Limit = "E_LIMIT", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// The file has no policy: it is in no policy's folder, and there is no default policy.
    Policy = "E_POLICY", Alone, "Fix the file and drop it again. Nothing was sent.";
    /// Rows are invalid, and `ON_BAD_ROWS` refuses such a file.
    Rows = "E_ROWS", Alone, "Fix the rows that rejected.csv lists and drop the file again. Nothing was sent.";
    /// The file was overwritten or deleted before it had been checked.
    Gone = "E_GONE", Alone, "A file that took its place is a drop of its own. To have this one evaluated, drop it again.";
    /// The file could not be checked for now.
    Check = "E_CHECK", Alone, "Moondrop tries again by itself. If this lasts for hours, look at the logs of submit.";
    /// The file needs more memory than submit has.
    CheckSize = "E_CHECK_SIZE", Waits, "Action required: give submit more memory, or drop the file as several files. Moondrop tries again by itself.";
    /// The API does not accept the key, or the key has no right to do this; or the key cannot be
    /// read from its secret.
    ApiKey = "E_API_KEY", NeedsUser, "Action required: renew the key in its secret, or give it the right to create, read and cancel batch jobs. The drop continues by itself within half an hour.";
    /// The API refuses to create a job.
    ApiRefused = "E_API_REFUSED", StopsUploads, "Moondrop tries again by itself. If this lasts for an hour, action required: ask the API's vendor.";
    /// The API accepts no more requests for now.
    ApiBusy = "E_API_BUSY", StopsUploads, "Moondrop tries again by itself; a daily limit may take until tomorrow.";
    /// The API could not be reached, or gave no clear answer.
    Api = "E_API", StopsUploads, "Moondrop tries again by itself.";
    /// The API's pre-signed URL points to a host that `SIGNED_URL_HOSTS` does not allow.
    Host = "E_HOST", NeedsUser, "Action required: if that host is the API's, add it to the setting. The drop continues by itself.";
    /// An upload failed.
    Upload = "E_UPLOAD", Alone, "Moondrop tries again by itself.";
    /// A part of the file could not be read or recorded.
    Part = "E_PART", Alone, "Moondrop tries again by itself. If this lasts for hours, look at the logs of submit.";
    /// A job has its rows and does not start.
    NotStarted = "E_NOT_STARTED", Waits, "Action required: ask the API's support about the job. Moondrop waits.";
    /// Results could not be fetched, read or stored.
    Results = "E_RESULTS", Alone, "Moondrop tries again by itself. If this lasts for hours, look at the logs of collect.";
    /// The results of a job need more memory than collect has.
    ResultsSize = "E_RESULTS_SIZE", Waits, "Action required: give collect more memory; half of it is for results. Then the drop continues by itself.";
    /// A job's results are not well-formed, or lack a column.
    ResultsUnreadable = "E_RESULTS_UNREADABLE", Waits, "Action required: look at the kept results.";
    /// Rows have neither labels nor error, and neither a setting nor the other rows say what that
    /// means.
    BlankLabels = "E_BLANK_LABELS", Waits, "Action required: look at the kept results.";
    /// No row of the part is answered.
    ResultsUnrelated = "E_RESULTS_UNRELATED", Waits, "Action required: look at the kept results.";
    /// The texts that came back are not those that were sent.
    ResultsContent = "E_RESULTS_CONTENT", Waits, "Action required: look at the kept results.";
    /// No row was evaluated.
    Nothing = "E_NOTHING", Alone, "Each row of results.csv says why. When the cause is fixed, drop the file again.";
    /// The user cancelled the drop.
    Cancelled = "C_CANCELLED", Remark, "To have its other rows evaluated, drop the file again.";
    /// Another `results.csv` has the drop's key.
    Conflict = "E_CONFLICT", Waits, "Action required: see who wrote it, and move it away. Then the drop goes on by itself, within half an hour.";
    /// The rows were judged by different versions of the policy.
    MixedVersions = "W_MIXED_VERSIONS", Remark, "If that matters, drop the file again: the API judges each job by the version that is active when it starts.";
    /// `results.safe.csv` could not be written.
    Format = "W_FORMAT", Remark, "Use results.csv, which has every row. The logs of collect say why.";
    /// A code that this release does not know: a newer one wrote it.
    Unknown = "E_UNKNOWN", Alone, "See the documentation of the release that wrote this record.";
}

impl Code {
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Code::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Where it stands among other problems: the gravest has the smallest number.
    #[must_use]
    pub fn gravity(self) -> u8 {
        self.effect() as u8
    }

    /// Whether its cause stops the uploads of all parts: the key, the network, a limit, a refusal,
    /// a host.
    #[must_use]
    pub fn stops_uploads(self) -> bool {
        matches!(self.effect(), Effect::StopsUploads | Effect::NeedsUser)
    }

    /// Whether it lasts until the user changes the key or a setting.
    #[must_use]
    pub fn needs_user(self) -> bool {
        self.effect() == Effect::NeedsUser
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

/// What is wrong with a drop or a part, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub code: Code,
    /// Never has content, keys or URLs.
    pub message: String,
    /// What Moondrop does next, or what the user has to do.
    pub next_step: String,
}

impl Problem {
    /// A problem with the next step that its code has.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), next_step: code.next_step().to_owned() }
    }

    #[must_use]
    pub fn with_next_step(self, next_step: impl Into<String>) -> Self {
        Problem { next_step: next_step.into(), ..self }
    }

    /// The API does not accept the key (401), or the key may not do this (403). The API's answers
    /// do not show for certain which.
    #[must_use]
    pub fn key_refused() -> Self {
        Problem::new(
            Code::ApiKey,
            "the API does not take the API key, or the key has no right to do this",
        )
    }

    #[must_use]
    pub fn no_key() -> Self {
        Problem::new(Code::ApiKey, "the API key cannot be read from its secret").with_next_step(
            "Moondrop tries again by itself. If this lasts, action required: put the key, and nothing else, into its secret.",
        )
    }

    /// The API points to a host that is not allowed; `what` is the verb, such as "keeps the results
    /// at".
    #[must_use]
    pub fn host_refused(what: &str, host: &str) -> Self {
        Problem::new(
            Code::Host,
            format!("the API {what} {host}, which SIGNED_URL_HOSTS does not allow"),
        )
    }

    /// The API rejects the request to create a job as invalid. Moondrop asks once more before the
    /// rows end as failed.
    #[must_use]
    pub fn create_invalid(error: &str) -> Self {
        Problem::create_refused(error).with_next_step(
            "Moondrop asks once more in a while. If the API refuses again, the rows end as failed: then check the policy's id.",
        )
    }

    /// `error` is the API's message.
    #[must_use]
    pub fn create_refused(error: &str) -> Self {
        Problem::new(Code::ApiRefused, format!("the API refuses to create a job: {error}"))
    }

    #[must_use]
    pub fn api_busy() -> Self {
        Problem::new(Code::ApiBusy, "the API accepts no more requests for now (429)")
    }

    #[must_use]
    pub fn api_unclear() -> Self {
        Problem::new(Code::Api, "the API could not be reached, or gave no clear answer")
    }

    #[must_use]
    pub fn upload_failed() -> Self {
        Problem::new(Code::Upload, "an upload failed")
    }

    #[must_use]
    pub fn part_failed() -> Self {
        Problem::new(Code::Part, "a part of the file could not be read or recorded")
    }

    #[must_use]
    pub fn check_failed() -> Self {
        Problem::new(Code::Check, "the file could not be read, or its plan could not be recorded")
    }

    /// `limit` says how many rows were read, and what they take.
    #[must_use]
    pub fn check_too_large(limit: &str) -> Self {
        Problem::new(Code::CheckSize, format!("the file is too large for submit: {limit}"))
    }

    #[must_use]
    pub fn file_refused(code: Code, line: u64, message: &str) -> Self {
        Problem::new(code, format!("line {line}: {message}"))
    }

    #[must_use]
    pub fn rows_rejected(rejected: u64, rows: u64) -> Self {
        let message =
            format!("{rejected} of {rows} rows are invalid, and ON_BAD_ROWS refuses such a file");
        Problem::new(Code::Rows, message)
    }

    #[must_use]
    pub fn source_gone() -> Self {
        Problem::new(
            Code::Gone,
            "the file was overwritten or deleted before it was read; nothing was evaluated",
        )
    }

    /// The drop was cancelled before it was planned.
    #[must_use]
    pub fn cancelled_unplanned() -> Self {
        Problem::new(Code::Cancelled, "the drop was cancelled before a row was sent")
            .with_next_step("To have it evaluated, drop the file again.")
    }

    /// The drop was cancelled, and its jobs have not all ended.
    #[must_use]
    pub fn being_cancelled() -> Self {
        Problem::new(Code::Cancelled, "the drop is being cancelled, on request").with_next_step(
            "Moondrop cancels its jobs, and takes the results that come all the same. It ends within a day or so, unless results are held: then it waits for their setting.",
        )
    }

    /// The cancelled drop has ended, and so many rows were evaluated all the same.
    #[must_use]
    pub fn cancelled(evaluated: u64, rows: u64) -> Self {
        let message =
            format!("the drop was cancelled on request; {evaluated} of {rows} rows were evaluated");
        Problem::new(Code::Cancelled, message)
    }

    /// The API starts no job: `job` is one that has had its rows for long.
    #[must_use]
    pub fn nothing_starts(job: &str) -> Self {
        let message = format!(
            "the API starts no job of this stack: job {job} has had its rows for over an hour, and no other has started since"
        );
        Problem::new(Code::NotStarted, message)
    }

    /// The jobs were judged by so many versions of the policy.
    #[must_use]
    pub fn mixed_versions(versions: usize) -> Self {
        let message = format!("the rows were judged by {versions} versions of the policy");
        Problem::new(Code::MixedVersions, message)
    }

    #[must_use]
    pub fn format_failed() -> Self {
        let message =
            "results.safe.csv could not be written in three attempts; results.csv is complete";
        Problem::new(Code::Format, message)
    }

    #[must_use]
    pub fn results_failed() -> Self {
        Problem::new(Code::Results, "results could not be fetched, read or stored")
    }

    #[must_use]
    pub fn publish_failed() -> Self {
        Problem::new(
            Code::Results,
            "all rows are collected, and results.csv could not be put together or stored",
        )
    }

    /// Results that cannot be used, seen for the first time.
    #[must_use]
    pub fn results_unconfirmed(part: u32, error: &str) -> Self {
        Problem::new(Code::Results, format!("the results of part {part} cannot be used: {error}")).with_next_step(
            "Moondrop fetches them again by itself. If it gets the same again, it keeps them, and an event reports that.",
        )
    }

    /// `limit` is in bytes.
    #[must_use]
    pub fn results_too_large(limit: usize) -> Self {
        let message = format!(
            "the results of a job need more than the {} MiB that collect has for them",
            limit >> 20
        );
        Problem::new(Code::ResultsSize, message)
    }

    #[must_use]
    pub fn conflict() -> Self {
        Problem::new(
            Code::Conflict,
            "there is another results.csv under this drop's key; it is not overwritten",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_and_an_unknown_one_is_no_error() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
        }
        assert_eq!(serde_json::from_str::<Code>("\"E_OF_TOMORROW\"").unwrap(), Code::Unknown);
    }

    #[test]
    fn a_code_that_needs_the_user_stops_all_uploads() {
        for code in Code::ALL.iter().filter(|code| code.needs_user()) {
            assert!(code.stops_uploads(), "{code}");
            assert!(code.next_step().contains("Action required"), "{code}");
        }
    }
}
