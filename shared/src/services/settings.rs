//! The settings of a deployment, read from the environment once, at cold start.

use crate::csv::mapping::Mapping;
use crate::job::SignedUrlHosts;
use crate::plan::{OnBadRows, PartLimits};
use crate::results::{BlankLabels, OnOtherContent, OnUnreadable, Reading};
use std::collections::BTreeMap;
use std::time::Duration;
use url::{Host, Url};

/// The API's URL (Batch API's OpenAPI document, `servers`).
pub const DEFAULT_API_URL: &str = "https://gateway.app.clavata.ai:8443";

/// The default of `SIGNED_URL_HOSTS`: S3's hosts, to which such pre-signed URLs usually point, and
/// the vendor's own (`clavata.ai` serves the API, `moonbounce.io` is its site).
pub const DEFAULT_SIGNED_URL_HOSTS: &str = "amazonaws.com,clavata.ai,moonbounce.io";

/// The bytes of a piece that one of several connections reads: so many that waiting for the first
/// byte of each costs little (S3 takes some 25 ms for it), and so few that several fit into memory.
pub const READ_PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// A setting that is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the setting {name} {problem}")]
pub struct SettingError {
    pub name: &'static str,
    /// Never has the value.
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `STACK`: distinguishes this stack's jobs from another's on the same API account. At most 128
    /// letters, digits and dashes.
    pub stack: String,
    /// `RESULTS_BUCKET`: where results go.
    pub results_bucket: String,
    /// `TABLE`: the ledger.
    pub table: String,
    /// `EVENT_BUS`: where events are put.
    pub event_bus: String,
    /// `API_KEY_SECRET`: the name or ARN of the secret that holds the API key.
    pub api_key_secret: String,
    /// `API_URL`: the Batch API; https, or http for loopback. Default [`DEFAULT_API_URL`].
    pub api_url: Url,
    /// `SIGNED_URL_HOSTS`: the hosts, with their subdomains, that pre-signed URLs may point to,
    /// separated by commas. Default [`DEFAULT_SIGNED_URL_HOSTS`]; loopback is also allowed if the
    /// API is on it.
    pub signed_url_hosts: SignedUrlHosts,
    /// `DEFAULT_POLICY`: the policy of drops whose key names none. Default none.
    pub default_policy: Option<String>,
    /// `POLICY_ALIASES`: a JSON object that maps folder names to policy ids. Default empty.
    pub policy_aliases: BTreeMap<String, String>,
    /// `POLICY_FOLDERS`: `any` (default), where the name of a folder that is no alias is itself a
    /// policy's id, or `aliases`, where only the folders of aliases are taken.
    pub only_aliases: bool,
    /// `DROP_BUCKETS`: the names or ARNs of the buckets that drops are taken from, separated by
    /// commas. Default any, as their events say.
    pub drop_buckets: Vec<String>,
    /// `MAX_ROWS_PER_DROP`: a file with more rows is refused. Default no limit but the parts'.
    pub max_rows: Option<u64>,
    /// `MAX_BYTES_PER_DROP`: a larger file is refused. Default no limit.
    pub max_bytes: Option<u64>,
    /// `ON_BAD_ROWS`: `submit_valid` (default) or `reject_file`.
    pub on_bad_rows: OnBadRows,
    /// `ROWS_PER_JOB` (default 25,000) and `BYTES_PER_JOB` (default 32 MiB): where a part ends.
    pub limits: PartLimits,
    /// `READS_AT_ONCE`: over how many connections a file is read when it is checked. Each takes a
    /// piece of 8 MiB. By default as many as an eighth of the function's memory has room for, at
    /// most 8.
    pub reads_at_once: usize,
    /// `UPLOADS_AT_ONCE`: how many parts of a drop are uploaded at the same time. Default 4.
    pub uploads_at_once: usize,
    /// `REPORT_EVERY_SECONDS`: how often submit writes a drop's progress to `status.json` and its
    /// record. Default 30.
    pub report_every: Duration,
    /// `SAVE_CHECK_EVERY_SECONDS`: how often submit saves how far the check of a file is, so that
    /// another invocation can go on with it; 0 is all the time. Default 60.
    pub save_check_every: Duration,
    /// `REMIND_AFTER_SECONDS`: after how long poll announces an ended job again, if collect has
    /// neither collected it nor recorded a failure. Default 3,600.
    pub remind_after: Duration,
    /// `RETRY_AFTER_SECONDS`: how long after its first failure collect tries a part again; it
    /// doubles with each failure, up to `REMIND_AFTER_SECONDS`. And after how long a drop that waits
    /// is requeued at first; later, after as long as it has waited, up to `STALLED_AFTER_SECONDS`.
    /// Default 120.
    pub retry_after: Duration,
    /// `CONFIRM_AFTER_SECONDS`: an answer of the API that ends or holds rows counts only if it
    /// comes twice, at least this far apart. Default 600.
    pub confirm_after: Duration,
    /// `POLL_EVERY`: the time from one tick of poll to the next, as EventBridge's `rate(5 minutes)`
    /// or as `5 seconds`. Default five minutes.
    pub poll_every: Duration,
    /// `LOST_AFTER_HOURS`: after how long an absence from the API's answers a job is lost. Default
    /// 24.
    pub lost_after: Duration,
    /// `STALLED_AFTER_SECONDS`: after how long an unfinished drop that no function works on is
    /// requeued. Default 1,200, which is more than a function may run.
    pub stalled_after: Duration,
    /// `RESULTS_UNREADABLE` (`hold`, default, or `rows`), `BLANK_LABELS` (`missing` or `evaluated`;
    /// default neither) and `RESULTS_CONTENT_CHECK` (`hold`, default, or `warn`): how the API's
    /// results are read.
    pub reading: Reading,
    /// `RESULTS_FORMATS`: `csv` (default), or `csv,csv-safe` for `results.safe.csv` beside
    /// `results.csv`, see [`crate::csv::safe`].
    pub safe_results: bool,
    /// `FILE_MAPPING`: a mapping in JSON, by which the columns of every drop are read, whatever its
    /// folder says. Default none.
    pub mapping: Option<Mapping>,
    /// `METRICS`: `emf` (default) writes the metrics to the log at the end of an invocation, `off`
    /// does not.
    pub metrics: bool,
    /// How many bytes the answers of one job may take: half of `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`.
    /// Lambda sets that variable, in MiB (AWS Lambda Developer Guide, "Defined runtime environment
    /// variables"); the default is 1,024.
    pub answer_memory: usize,
    /// How many rows a file may have for their hashes to fit into that memory: 9 bytes per row, the
    /// pieces of `READS_AT_ONCE`, and 64 MiB for all else.
    pub rows_in_memory: u64,
}

impl Settings {
    /// Reads the settings of this process; see [`Settings::read`].
    ///
    /// # Errors
    /// Names the first variable that is missing or invalid.
    pub fn from_env() -> Result<Self, SettingError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the settings from any source of variables. An empty one counts as absent.
    ///
    /// ```
    /// use moondrop_shared::services::settings::Settings;
    ///
    /// let variable = |name: &str| match name {
    ///     "STACK" | "RESULTS_BUCKET" | "TABLE" | "EVENT_BUS" | "API_KEY_SECRET" => Some("moondrop".to_owned()),
    ///     "ROWS_PER_JOB" => Some("1000".to_owned()),
    ///     _ => None,
    /// };
    /// assert_eq!(Settings::read(variable)?.limits.rows, 1_000);
    /// assert_eq!(Settings::read(|_| None).unwrap_err().to_string(), "the setting STACK is missing");
    /// # Ok::<(), moondrop_shared::services::settings::SettingError>(())
    /// ```
    ///
    /// # Errors
    /// Names the first variable that is missing or invalid.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let optional =
            |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let needed = |name: &'static str| optional(name).ok_or_else(|| error(name, "is missing"));
        let number = |name: &'static str,
                      default: u64,
                      least: u64,
                      most: u64|
         -> Result<u64, SettingError> {
            let Some(text) = optional(name) else { return Ok(default) };
            let fits = text.parse().ok().filter(|n| (least..=most).contains(n));
            fits.ok_or_else(|| error(name, format!("is not a whole number from {least} to {most}")))
        };
        let stack = needed("STACK")?;
        if stack.len() > 128 || !stack.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(error("STACK", "may have at most 128 letters, digits and dashes"));
        }
        let api_url = read_api_url(optional("API_URL").as_deref().unwrap_or(DEFAULT_API_URL))?;
        let hosts =
            optional("SIGNED_URL_HOSTS").unwrap_or_else(|| DEFAULT_SIGNED_URL_HOSTS.to_owned());
        let policy_aliases = match optional("POLICY_ALIASES") {
            None => BTreeMap::new(),
            Some(json) => serde_json::from_str(&json).map_err(|_| {
                error("POLICY_ALIASES", "is not a JSON object of folder names and policy ids")
            })?,
        };
        let only_aliases = match optional("POLICY_FOLDERS").as_deref() {
            None | Some("any") => false,
            Some("aliases") => true,
            Some(_) => return Err(error("POLICY_FOLDERS", "is neither any nor aliases")),
        };
        let drop_buckets = optional("DROP_BUCKETS").unwrap_or_default();
        let drop_buckets = drop_buckets.split(',').map(str::trim).filter(|name| !name.is_empty());
        // 0 stands for no limit.
        let most = |name| number(name, 0, 0, u64::MAX).map(|most| Some(most).filter(|n| *n > 0));
        let on_bad_rows = match optional("ON_BAD_ROWS").as_deref() {
            None | Some("submit_valid" | "submit-valid") => OnBadRows::SubmitValid,
            Some("reject_file" | "reject-file") => OnBadRows::RejectFile,
            Some(_) => return Err(error("ON_BAD_ROWS", "is neither submit_valid nor reject_file")),
        };
        let metrics = match optional("METRICS").as_deref() {
            None | Some("emf") => true,
            Some("off") => false,
            Some(_) => return Err(error("METRICS", "is neither emf nor off")),
        };
        let formats = optional("RESULTS_FORMATS").unwrap_or_else(|| "csv".to_owned());
        let formats: Vec<&str> = formats.split(',').map(str::trim).collect();
        let safe_results = match formats.as_slice() {
            ["csv"] => false,
            ["csv", "csv-safe"] | ["csv-safe", "csv"] => true,
            _ => return Err(error("RESULTS_FORMATS", "is neither csv nor csv,csv-safe")),
        };
        let mapping = optional("FILE_MAPPING").map(|json| Mapping::read(json.as_bytes()));
        let mapping = mapping
            .transpose()
            .map_err(|problem| error("FILE_MAPPING", format!("is invalid: {problem}")))?;
        let reading = Reading {
            unreadable: match optional("RESULTS_UNREADABLE") {
                None => OnUnreadable::default(),
                Some(text) => OnUnreadable::from_word(&text)
                    .ok_or_else(|| error("RESULTS_UNREADABLE", "is neither hold nor rows"))?,
            },
            blank: match optional("BLANK_LABELS") {
                None => None,
                Some(text) => Some(
                    BlankLabels::from_word(&text)
                        .ok_or_else(|| error("BLANK_LABELS", "is neither missing nor evaluated"))?,
                ),
            },
            content: match optional("RESULTS_CONTENT_CHECK") {
                None => OnOtherContent::default(),
                Some(text) => OnOtherContent::from_word(&text)
                    .ok_or_else(|| error("RESULTS_CONTENT_CHECK", "is neither hold nor warn"))?,
            },
        };
        let defaults = PartLimits::default();
        let memory = number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 1_024, 1, 1 << 20)?;
        let piece = READ_PIECE_BYTES >> 20;
        let reads = optional("READS_AT_ONCE").is_some();
        let reads_at_once = number("READS_AT_ONCE", (memory / 8 / piece).clamp(1, 8), 1, 64)?;
        let rows_in_memory = (memory.saturating_sub(64 + reads_at_once * piece) << 20) / 9;
        if reads && rows_in_memory == 0 {
            let problem = format!(
                "takes {} MiB, which leaves nothing of {memory}: set a smaller one, or give the function more memory",
                reads_at_once * piece
            );
            return Err(error("READS_AT_ONCE", problem));
        }
        Ok(Settings {
            stack,
            results_bucket: needed("RESULTS_BUCKET")?,
            table: needed("TABLE")?,
            event_bus: needed("EVENT_BUS")?,
            api_key_secret: needed("API_KEY_SECRET")?,
            api_url,
            signed_url_hosts: SignedUrlHosts::parse(&hosts)
                .map_err(|problem| error("SIGNED_URL_HOSTS", problem))?,
            default_policy: optional("DEFAULT_POLICY"),
            policy_aliases,
            only_aliases,
            drop_buckets: drop_buckets.map(bucket_name).collect(),
            max_rows: most("MAX_ROWS_PER_DROP")?,
            max_bytes: most("MAX_BYTES_PER_DROP")?,
            on_bad_rows,
            limits: PartLimits {
                rows: number("ROWS_PER_JOB", defaults.rows, 1, 10_000_000)?,
                // At most 1 GiB: a part is uploaded in one request, within the time a function may
                // run.
                bytes: number("BYTES_PER_JOB", defaults.bytes, 1, 1 << 30)?,
            },
            reads_at_once: reads_at_once as usize,
            uploads_at_once: number("UPLOADS_AT_ONCE", 4, 1, 64)? as usize,
            report_every: Duration::from_secs(number("REPORT_EVERY_SECONDS", 30, 1, 600)?),
            save_check_every: Duration::from_secs(number(
                "SAVE_CHECK_EVERY_SECONDS",
                60,
                0,
                600,
            )?),
            remind_after: Duration::from_secs(number("REMIND_AFTER_SECONDS", 3_600, 1, 86_400)?),
            retry_after: Duration::from_secs(number("RETRY_AFTER_SECONDS", 120, 1, 86_400)?),
            confirm_after: Duration::from_secs(number("CONFIRM_AFTER_SECONDS", 600, 1, 86_400)?),
            poll_every: match optional("POLL_EVERY") {
                None => Duration::from_secs(300),
                Some(text) => rate(&text).ok_or_else(|| {
                    error("POLL_EVERY", "is not a time such as `rate(5 minutes)` or `5 seconds`, of a second to a day")
                })?,
            },
            lost_after: Duration::from_secs(number("LOST_AFTER_HOURS", 24, 1, 720)? * 3_600),
            stalled_after: Duration::from_secs(number("STALLED_AFTER_SECONDS", 1_200, 1, 86_400)?),
            reading,
            safe_results,
            mapping,
            metrics,
            answer_memory: (memory << 20) as usize / 2,
            rows_in_memory,
        })
    }

    /// The policy of a drop: its folder's, which is an alias or an id, or else the default one.
    #[must_use]
    pub fn policy_for(&self, folder: Option<&str>) -> Option<String> {
        let Some(folder) = folder else { return self.default_policy.clone() };
        match self.policy_aliases.get(folder) {
            Some(policy) => Some(policy.clone()),
            None if self.only_aliases => None,
            None => Some(folder.to_owned()),
        }
    }

    /// Whether drops are taken from the bucket with this name.
    #[must_use]
    pub fn takes_drops_from(&self, bucket: &str) -> bool {
        self.drop_buckets.is_empty() || self.drop_buckets.iter().any(|taken| taken == bucket)
    }
}

/// The name in a bucket's ARN, such as `arn:aws:s3:::name`, or the name itself.
fn bucket_name(text: &str) -> String {
    text.rsplit_once(":::").map_or(text, |(_, name)| name).to_owned()
}

fn error(name: &'static str, problem: impl Into<String>) -> SettingError {
    SettingError { name, problem: problem.into() }
}

/// A time as in EventBridge's schedules (Amazon EventBridge User Guide, "Rate expressions"), or in
/// seconds.
fn rate(text: &str) -> Option<Duration> {
    let text = text.strip_prefix("rate(").and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let (number, unit) = text.trim().split_once(' ')?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    let every = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=86_400).contains(&every).then(|| Duration::from_secs(every))
}

/// Whether the URL's host is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn read_api_url(text: &str) -> Result<Url, SettingError> {
    let url = Url::parse(text).map_err(|_| error("API_URL", "is not a URL"))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(error("API_URL", "must begin with https://, unless its host is this machine"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
