//! The envelope of an EventBridge event.

use crate::aws::names::{ACCOUNT, REGION};
use crate::uuid::uuid;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What an event says; the rest of its envelope is the same for all.
pub(crate) struct Event<'a> {
    pub(crate) source: &'a str,
    pub(crate) detail_type: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) resources: Vec<String>,
    pub(crate) detail: Value,
}

impl Event<'_> {
    /// The event as EventBridge delivers it.
    pub(crate) fn envelope(self) -> Value {
        json!({
            "version": "0",
            "id": uuid(),
            "detail-type": self.detail_type,
            "source": self.source,
            "account": ACCOUNT,
            "time": seconds(self.time),
            "region": REGION,
            "resources": self.resources,
            "detail": self.detail,
        })
    }
}

/// A time in whole seconds, as EventBridge writes it: `2026-11-23T20:37:40Z`.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_no_fraction() {
        assert_eq!(
            seconds(Timestamp::new(1_795_466_260, 999_000_000).unwrap()),
            "2026-11-23T20:37:40Z"
        );
    }
}
