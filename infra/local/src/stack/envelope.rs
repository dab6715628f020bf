//! The envelope of an EventBridge event, and the identifiers and times AWS would put into one.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ACCOUNT, REGION};

/// An event as EventBridge delivers it.
pub(crate) fn envelope(source: &str, detail_type: &str, time: Timestamp, resources: &[String], detail: &Value) -> Value {
    json!({
        "version": "0",
        "id": uuid(),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": seconds(time),
        "region": REGION,
        "resources": resources,
        "detail": detail,
    })
}

/// A random (version 4) UUID.
pub(crate) fn uuid() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A time in whole seconds, as EventBridge writes it: `2026-11-23T20:37:40Z`.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_version_4_uuid() {
        let id = uuid();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, uuid());
    }

    #[test]
    fn a_time_has_no_fraction() {
        assert_eq!(seconds(Timestamp::new(1_795_466_260, 999_000_000).unwrap()), "2026-11-23T20:37:40Z");
    }
}
