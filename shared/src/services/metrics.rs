//! CloudWatch metrics: measured during an invocation, and written as log lines in the embedded
//! metric format, which CloudWatch turns into metrics. It takes no API call.
//!
//! The namespace is [`NAMESPACE`] and the only dimension is [`DIMENSION`]: single drops and jobs
//! are in the logs. Where there is a level, such as the number of open jobs, it is read from the
//! ledger at each tick: what an interrupted invocation did not count, the next one does. What
//! happens once is counted where the conditional write succeeds that made it happen, so that
//! retries do not count it twice, and written at once.

use metrique_writer_core::format::Format;
use metrique_writer_core::unit::NegativeScale;
use metrique_writer_core::value::{MetricFlags, Observation};
use metrique_writer_core::{Entry, EntryWriter, Unit, Value, ValueWriter};
use metrique_writer_format_emf::Emf;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub const NAMESPACE: &str = "Moondrop";
/// The dimension; its value is the stack's name.
pub const DIMENSION: &str = "Stack";
const SECONDS: Unit = Unit::Second(NegativeScale::One);

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident in $unit:expr;)+) => {
        /// Every metric. Its name in CloudWatch is the variant's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Metric {
            pub const ALL: &[Metric] = &[$(Metric::$name),+];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Metric::$name => stringify!($name),)+
                }
            }

            fn unit(self) -> Unit {
                match self {
                    $(Metric::$name => $unit,)+
                }
            }
        }
    };
}

metrics! {
    /// Files that were checked and planned.
    DropsAccepted in Unit::Count;
    /// Objects below `incoming/` that are no drops, since a name begins with `_` or `.`.
    DropsIgnored in Unit::Count;
    /// Rows of accepted files that are sent.
    RowsAccepted in Unit::Count;
    /// Rows that were invalid and not sent.
    RowsRejected in Unit::Count;
    /// Jobs created and recorded.
    JobsCreated in Unit::Count;
    /// Ticks of poll.
    Ticks in Unit::Count;
    /// At a tick: 1 if all is paused, otherwise 0.
    Paused in Unit::Count;
    /// At a tick: drops that have not reached their end.
    OpenDrops in Unit::Count;
    /// At a tick: jobs that have not ended.
    OpenJobs in Unit::Count;
    /// At a tick: the age of the oldest open drop; 0 without one.
    OldestDropAge in SECONDS;
    /// At a tick: the age of the oldest open job; 0 without one.
    OldestJobAge in SECONDS;
    /// At a tick: open jobs older than 48 hours.
    JobsOver48h in Unit::Count;
    /// At a tick: open jobs older than 72 hours.
    JobsOver72h in Unit::Count;
    /// At a tick: drops that came to be 72 hours old within the last ten minutes. For each, this is
    /// back at 0 at a later tick: so an alarm on it notifies again for the next one.
    DropsOverdue in Unit::Count;
    /// At a tick: parts that wait for a job.
    PartsWaiting in Unit::Count;
    /// At a tick: the age of the oldest plan of which a part waits for a job; 0 without one.
    OldestWaitingAge in SECONDS;
    /// At a tick: jobs that failed, that the API cancelled or refused to create, or whose rows were
    /// gone before they were sent, and whose rows are not stored yet. Every such job is in the level
    /// of one tick at least. Jobs that the user cancelled are not in it.
    JobsFailed in Unit::Count;
    /// At a tick: jobs that are lost, since the API has not reported them for a long time, and whose
    /// rows are not stored yet; as [`Metric::JobsFailed`].
    JobsLost in Unit::Count;
    /// At a tick: jobs that have ended and whose rows are not stored, and that are not held.
    JobsUncollected in Unit::Count;
    /// At a tick: for how long the oldest of them has ended; 0 without one.
    OldestUncollectedAge in SECONDS;
    /// At a tick: jobs that have been absent from the API's answers for an hour or more.
    JobsUnknown in Unit::Count;
    /// At a tick: for how long the longest of them has been absent; 0 without one.
    OldestUnknownAge in SECONDS;
    /// At a tick: jobs that have their rows and do not start.
    JobsNotStarted in Unit::Count;
    /// At a tick: hosts of pre-signed URLs that are not allowed, and wanted by the API.
    HostsRefused in Unit::Count;
    /// At a tick: parts whose results are held.
    PartsHeld in Unit::Count;
    /// At a tick: for how long the results of a part have been held, at most; 0 without one.
    OldestHeldAge in SECONDS;
    /// At a tick: drops for which the API has refused to create jobs for over an hour.
    CreatesRefused in Unit::Count;
    /// Ticks in which the API reported none of the jobs it was asked for.
    NoJobReported in Unit::Count;
    /// Stalled drops that were requeued.
    DropsStalled in Unit::Count;
    /// Drops that ended as `completed`.
    DropsCompleted in Unit::Count;
    /// Drops that ended as `completed_with_errors`.
    DropsCompletedWithErrors in Unit::Count;
    /// Drops that ended as `rejected`.
    DropsRejected in Unit::Count;
    /// Drops that ended as `failed`.
    DropsFailed in Unit::Count;
    /// Rows evaluated, of drops that ended.
    RowsEvaluated in Unit::Count;
    /// Rows that failed, of drops that ended.
    RowsFailed in Unit::Count;
    /// Rows that the API did not answer, of drops that ended.
    RowsMissing in Unit::Count;
    /// Results for rows that were never sent, of drops that ended.
    RowsUnexpected in Unit::Count;
    /// API calls given up because the API does not accept the key, or the key cannot be read from
    /// its secret.
    ApiKeyRefused in Unit::Count;
    /// The API's answers with 429, for each attempt.
    ApiThrottled in Unit::Count;
    /// Drops whose `results.csv` could not be written because another object had its key.
    ResultsConflicts in Unit::Count;
    /// How often the results of a job could not be used.
    ResultsUnreadable in Unit::Count;
    /// How often collect failed to collect a part; it tries again.
    CollectAttemptsFailed in Unit::Count;
    /// Results whose labels are in an unknown form.
    LabelsUnreadable in Unit::Count;
}

/// The values since the last line was written. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    stack: String,
    written: bool,
    measured: Arc<Mutex<BTreeMap<Metric, u64>>>,
    request: Arc<Mutex<String>>,
}

impl Metrics {
    #[must_use]
    pub fn new(stack: &str, written: bool) -> Self {
        Metrics {
            stack: stack.to_owned(),
            written,
            measured: Arc::default(),
            request: Arc::default(),
        }
    }

    /// Adds to a metric. Adding 0 writes the metric too: an absent value would mean that it was not
    /// measured.
    pub fn count(&self, metric: Metric, more: u64) {
        *self.measured().entry(metric).or_default() += more;
    }

    /// Sets the current value of a metric.
    pub fn note(&self, metric: Metric, now: u64) {
        self.measured().insert(metric, now);
    }

    /// Sets the request whose id the next lines have.
    pub fn set_request(&self, id: &str) {
        id.clone_into(&mut self.request.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The next line, with its newline; empty if nothing was measured since the last one.
    #[must_use]
    pub fn take_line(&self) -> Vec<u8> {
        let request_id = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request_id = request_id.as_str();
        let measured = std::mem::take(&mut *self.measured());
        let mut line = Vec::new();
        if measured.is_empty() {
            return line;
        }
        let mut format =
            Emf::all_validations(NAMESPACE.to_owned(), vec![vec![DIMENSION.to_owned()]]);
        if let Err(error) =
            format.format(&Measured { stack: &self.stack, request_id, measured }, &mut line)
        {
            tracing::error!(%error, "the metrics were not written");
            line.clear();
        }
        line
    }

    /// Writes the line now. What is measured after it goes into a line of its own, and CloudWatch
    /// adds both up: so an invocation that is interrupted later takes nothing of it along. In one
    /// piece to standard output, since log lines go there too. Where metrics are off, they stay.
    pub fn flush(&self) {
        if !self.written {
            return;
        }
        let line = self.take_line();
        if let Err(error) = std::io::stdout().lock().write_all(&line) {
            tracing::error!(%error, "the metrics were not written");
        }
    }

    fn measured(&self) -> std::sync::MutexGuard<'_, BTreeMap<Metric, u64>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Measured<'a> {
    stack: &'a str,
    request_id: &'a str,
    measured: BTreeMap<Metric, u64>,
}

impl Entry for Measured<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(SystemTime::now());
        writer.value(DIMENSION, self.stack);
        // Neither a metric nor a dimension: it can be searched for, and costs nothing.
        writer.value("request_id", self.request_id);
        for (metric, value) in &self.measured {
            writer.value(metric.name(), &Reading { value: *value, unit: metric.unit() });
        }
    }
}

struct Reading {
    value: u64,
    unit: Unit,
}

impl Value for Reading {
    fn write(&self, writer: impl ValueWriter) {
        writer.metric([Observation::Unsigned(self.value)], self.unit, [], MetricFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn line(metrics: &Metrics) -> Value {
        let line = {
            metrics.set_request("r-1");
            metrics.take_line()
        };
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        assert_eq!(line.last(), Some(&b'\n'));
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn the_line_is_in_the_embedded_metric_format() {
        let before =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let metrics = Metrics::new("moon", true);
        let same = metrics.clone();
        metrics.count(Metric::RowsAccepted, 3);
        same.count(Metric::RowsAccepted, 4);
        metrics.count(Metric::JobsFailed, 0);
        metrics.note(Metric::OldestJobAge, 9);
        metrics.note(Metric::OldestJobAge, 7);
        let mut line = line(&metrics);
        let at = line["_aws"]["Timestamp"].take().as_u64().unwrap();
        assert!((before..before + 60_000).contains(&at), "milliseconds since the epoch: {at}");
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": null,
                    "CloudWatchMetrics": [{
                        "Namespace": "Moondrop",
                        "Dimensions": [["Stack"]],
                        "Metrics": [
                            {"Name": "RowsAccepted", "Unit": "Count"},
                            {"Name": "OldestJobAge", "Unit": "Seconds"},
                            {"Name": "JobsFailed", "Unit": "Count"},
                        ],
                    }],
                },
                "Stack": "moon",
                "request_id": "r-1",
                "RowsAccepted": 7,
                "OldestJobAge": 7,
                "JobsFailed": 0,
            })
        );
    }

    #[test]
    fn what_is_measured_is_in_one_line_and_nothing_makes_none() {
        let metrics = Metrics::new("moon", true);
        assert!(metrics.take_line().is_empty());
        metrics.count(Metric::Ticks, 1);
        assert_eq!(line(&metrics)["Ticks"], 1);
        assert!(metrics.take_line().is_empty());
    }

    /// EMF allows at most 100 metrics per line, and names of at most 1,024 characters.
    #[test]
    fn one_line_holds_every_metric_under_its_own_name() {
        let metrics = Metrics::new("moon", true);
        Metric::ALL.iter().for_each(|metric| metrics.count(*metric, 1));
        let line = line(&metrics);
        let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        assert_eq!(declared.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert_eq!(line[metric.name()], 1, "{metric:?}");
        }
    }
}
