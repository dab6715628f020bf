//! The rules have a version: a drop is uploaded and joined by those it was checked by, whatever
//! release does it.

use moondrop_shared::csv::rules::Rules;
use moondrop_shared::drop::{DropRecord, OnBadRows, Terms};
use moondrop_shared::plan::PartLimits;
use moondrop_shared::source::Source;
use serde_json::Value;

fn record() -> Value {
    let source = Source {
        bucket: "drops".to_owned(),
        key: "incoming/posts.csv".to_owned(),
        version_id: None,
        etag: "e".to_owned(),
        sequencer: None,
        size: 1,
    };
    let limits = PartLimits::default();
    let terms = Terms { policy: None, limits, on_bad_rows: OnBadRows::SubmitValid };
    let now = jiff::Timestamp::UNIX_EPOCH;
    serde_json::to_value(DropRecord::new(source, now, terms, now)).unwrap()
}

#[test]
fn a_new_drop_keeps_the_newest_rules_and_a_record_without_a_number_has_the_first() {
    let mut record = record();
    assert_eq!(record["rules"], 2);
    let read = |record: &Value| serde_json::from_value::<DropRecord>(record.clone());
    assert_eq!(read(&record).unwrap().rules, Rules::Two);
    record.as_object_mut().unwrap().remove("rules");
    assert_eq!(read(&record).unwrap().rules, Rules::One);
    record["rules"] = 3.into();
    let error = read(&record).unwrap_err().to_string();
    assert!(error.contains("checked by rules 3"), "{error}");
}
