//! Log lines: a JSON object per line. It has the fields of the event and of the spans around it at
//! its root, so that one field name each finds all lines of a drop, a part, a job or a request.

use jiff::Timestamp;
use serde_json::{Map, Value};
use std::fmt::{Debug, Result};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::FmtSubscriber;
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Writes logs to standard output, at the level of `RUST_LOG` (default `info`).
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call, as in tests, changes nothing.
    let _ = tracing::subscriber::set_global_default(to(std::io::stdout, filter));
}

pub fn to<W>(writer: W, mut filter: EnvFilter) -> FmtSubscriber<JsonFields, Line, EnvFilter, W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The clients' own debug and trace lines show requests with content, keys and URLs: they stay
    // off at every level.
    const CLIENTS: [&str; 8] =
        ["aws_config", "aws_runtime", "aws_sdk", "aws_smithy", "h2", "hyper", "reqwest", "rustls"];
    for client in CLIENTS {
        if let Ok(directive) = format!("{client}=info").parse() {
            filter = filter.add_directive(directive);
        }
    }
    let lines = FmtSubscriber::builder().fmt_fields(JsonFields::new()).event_format(Line);
    lines.with_env_filter(filter).with_writer(writer).finish()
}

/// The format of a line. A field of an inner span replaces one of an outer span, and the event's
/// own field replaces both.
#[derive(Debug, Clone, Copy)]
pub struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        let mut line = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<N>>() else { continue };
            let fields: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
            fields.into_iter().for_each(|(name, value)| line.put(&name, value));
        }
        event.record(&mut line);
        let metadata = event.metadata();
        line.put("timestamp", Timestamp::now().to_string());
        line.put("level", metadata.level().as_str());
        line.put("target", metadata.target());
        let line = serde_json::to_string(&line.0).map_err(|_| std::fmt::Error)?;
        writer.write_str(&line)?;
        writer.write_char('\n')
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        // The runtime's span names our fields differently.
        let name = match name {
            "requestId" => "request_id",
            "xrayTraceId" => "xray_trace_id",
            name => name,
        };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, log: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::subscriber::with_default(to(move || writer.clone(), EnvFilter::new(level)), log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_of_the_spans_and_of_the_event_are_at_the_root() {
        let lines = logged("info", || {
            let _invocation =
                tracing::info_span!("Lambda runtime invoke", requestId = "r-1").entered();
            let _part =
                tracing::info_span!("part", drop = %"d-1", part = 3, job = tracing::field::Empty)
                    .entered();
            tracing::info!(
                rows = 7_u64,
                job = "j-1",
                share = 0.5,
                whole = true,
                "the part is \"uploaded\"\n"
            );
            tracing::warn!(part = 4, "another");
        });
        let mut first = lines[0].clone();
        assert!(first["timestamp"].take().as_str().unwrap().parse::<Timestamp>().is_ok());
        let expected = json!({"timestamp": null, "level": "INFO", "target": module_path!(), "request_id": "r-1", "drop": "d-1",
            "part": 3, "job": "j-1", "rows": 7, "share": 0.5, "whole": true, "message": "the part is \"uploaded\"\n"});
        assert_eq!(first, expected);
        assert_eq!(
            (&lines[1]["part"], &lines[1]["drop"], &lines[1]["job"]),
            (&json!(4), &json!("d-1"), &Value::Null)
        );
    }

    #[test]
    fn the_clients_traces_are_never_logged() {
        let lines = logged("trace", || {
            tracing::trace!(target: "aws_smithy_runtime::client", "the request, with its key");
            tracing::debug!(target: "hyper_util", "a URL");
            tracing::trace!("ours");
        });
        assert_eq!(
            lines.iter().map(|line| line["message"].as_str().unwrap()).collect::<Vec<_>>(),
            ["ours"]
        );
    }
}
