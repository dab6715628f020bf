//! `PutEvents`: what EventBridge checks, and what it answers.

use super::envelope::Event;
use crate::aws::names::DEFAULT_BUS;
use jiff::Timestamp;
use serde_json::{Value, json};

/// EventBridge takes at most 10 entries in a request, and 256 KiB together
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>).
const ENTRIES: usize = 10;
const BYTES: usize = 256 * 1024;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) struct Put {
    /// The events to publish, each with its bus.
    pub(crate) events: Vec<(String, Value)>,
    pub(crate) answer: Value,
}

/// Checks a request; the error is the message of a `ValidationException` about the whole of it.
pub(crate) fn check(request: &Value, now: Timestamp) -> Result<Put, String> {
    let entries = request["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() || entries.len() > ENTRIES {
        return Err(format!(
            "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length \
             between 1 and {ENTRIES}, and has {}",
            entries.len()
        ));
    }
    if entries.iter().map(size).sum::<usize>() > BYTES {
        return Err("Total size of the entries in the request is over the limit.".to_owned());
    }
    let (mut events, mut answers, mut failed) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        match event(entry, now) {
            Ok(event) => {
                answers.push(json!({"EventId": event["id"]}));
                events.push((bus(entry), event));
            }
            Err((code, message)) => {
                failed += 1;
                answers.push(json!({"ErrorCode": code, "ErrorMessage": message}));
            }
        }
    }
    Ok(Put { events, answer: json!({"FailedEntryCount": failed, "Entries": answers}) })
}

/// The event of an entry, or the code and the message of its refusal.
fn event(entry: &Value, now: Timestamp) -> Result<Value, (&'static str, String)> {
    let text = |name: &str| {
        let text = entry[name].as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| {
            (
                "InvalidArgument",
                format!("Parameter {name} is not valid. Reason: {name} is a required argument."),
            )
        })
    };
    let (source, detail_type, detail) = (text("Source")?, text("DetailType")?, text("Detail")?);
    if source.starts_with("aws.") {
        return Err((
            "NotAuthorizedForSourceException",
            "Not authorized for the source.".to_owned(),
        ));
    }
    let detail = serde_json::from_str::<Value>(detail).ok().filter(Value::is_object);
    let detail = detail.ok_or_else(|| ("MalformedDetail", "Detail is malformed.".to_owned()))?;
    let resources = entry["Resources"].as_array().into_iter().flatten();
    let resources = resources.filter_map(|r| r.as_str().map(str::to_owned)).collect();
    // The protocol's times are seconds with a fraction; an event's time has none.
    let time = entry["Time"]
        .as_f64()
        .and_then(|time| Timestamp::from_second(time as i64).ok())
        .unwrap_or(now);
    Ok(Event { source, detail_type, time, resources, detail }.envelope())
}

/// The name of an entry's bus, which may be given by its ARN.
fn bus(entry: &Value) -> String {
    let name = entry["EventBusName"].as_str().unwrap_or(DEFAULT_BUS);
    name.rsplit_once('/').map_or(name, |(_, name)| name).to_owned()
}

/// The size of an entry as EventBridge counts it: 14 bytes for a time, and the UTF-8 length of the
/// rest.
fn size(entry: &Value) -> usize {
    let text = |name: &str| entry[name].as_str().map_or(0, str::len);
    let resources: usize = entry["Resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::len)
        .sum();
    let time = if entry["Time"].is_null() { 0 } else { 14 };
    time + text("Source") + text("DetailType") + text("Detail") + resources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> Value {
        json!({"Source": "moondrop", "DetailType": "Job Completed", "Detail": detail, "EventBusName": "moondrop"})
    }

    #[test]
    fn an_entry_becomes_an_event_on_its_bus() {
        let mut timed = entry(r#"{"job":"j"}"#);
        timed["Time"] = json!(1_795_466_260.5);
        timed["EventBusName"] = json!("arn:aws:events:us-east-1:000000000000:event-bus/moondrop");
        let put = check(&json!({"Entries": [timed]}), Timestamp::UNIX_EPOCH).unwrap();
        let (bus, event) = &put.events[0];
        assert_eq!(bus, "moondrop");
        assert_eq!(event["detail"], json!({"job": "j"}));
        assert_eq!(event["time"], "2026-11-23T20:37:40Z");
        assert_eq!(
            put.answer,
            json!({"FailedEntryCount": 0, "Entries": [{"EventId": event["id"]}]})
        );
    }

    #[test]
    fn a_bad_entry_fails_alone() {
        let mut nameless = entry("{}");
        nameless["Source"] = json!("");
        let mut amazon = entry("{}");
        amazon["Source"] = json!("aws.s3");
        let entries =
            json!([entry("{}"), entry("[]"), entry("{"), nameless, amazon, {"Source": "moondrop"}]);
        let put = check(&json!({"Entries": entries}), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(put.events.len(), 1);
        assert_eq!(put.answer["FailedEntryCount"], 5);
        let codes: Vec<_> = put.answer["Entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["ErrorCode"].as_str())
            .collect();
        let (malformed, invalid) = (Some("MalformedDetail"), Some("InvalidArgument"));
        assert_eq!(
            codes,
            [None, malformed, malformed, invalid, Some("NotAuthorizedForSourceException"), invalid]
        );
    }

    #[test]
    fn a_request_too_large_is_refused_whole() {
        let eleven: Vec<_> = (0..11).map(|_| entry("{}")).collect();
        assert!(
            check(&json!({"Entries": eleven}), Timestamp::UNIX_EPOCH)
                .unwrap_err()
                .contains("has 11")
        );
        assert!(check(&json!({}), Timestamp::UNIX_EPOCH).is_err());
        let large = entry(&format!("{{\"x\":\"{}\"}}", "x".repeat(BYTES)));
        assert!(
            check(&json!({"Entries": [large]}), Timestamp::UNIX_EPOCH)
                .unwrap_err()
                .contains("over the limit")
        );
    }
}
