//! The rules have a version: a drop is uploaded and joined by those it was checked by, whatever
//! release does it.

use crate::support::walk::outcome;
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
    let terms =
        Terms { policy: None, limits, on_bad_rows: OnBadRows::SubmitValid, wants_safe: false };
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

/// A file of a kind that later rules read otherwise, and what the first rules send and write. A drop
/// that an earlier release checked is uploaded and joined so by this one.
type FirstRules = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const FIRST_RULES: [FirstRules; 8] = [
    ("a mark", "\u{feff}ref_id,type,content\n1,text,a\n", "1,text,a\n", "ref_id,type,labels,content,error\n1,text,,a,\n"),
    ("a space after one comma", "ref_id,type, content\n1,text,  a\n", "1,text,a\n", "ref_id,type,labels,content,error\n1,text,,a,\n"),
    ("a mark in an id", "ref_id,type,content\n\u{feff}1,text,a\n1,text,b\n", "\u{feff}1,text,a\n1,text,b\n", "ref_id,type,labels,content,error\n\u{feff}1,text,,a,\n1,text,,b,\n"),
    ("Unicode's spaces around an id", "ref_id,type,content\n1\u{a0},text,a\n1,text,b\n", "1\u{a0},text,a\n1,text,b\n", "ref_id,type,labels,content,error\n1\u{a0},text,,a,\n1,text,,b,\n"),
    ("Unicode's spaces around a type", "ref_id,type,content\n1,\u{a0}text,a\n2,text,b\n", "2,text,b\n", "ref_id,type,labels,content,error\n1,\u{a0}text,,a,rejected: E_TYPE `type` is neither `text` nor `image_url`\n2,text,,b,\n"),
    ("the header once more", "ref_id,type,content\n1,text,a\nref_id,type,content\n2,text,b\n", "1,text,a\n2,text,b\n", "ref_id,type,labels,content,error\n1,text,,a,\nref_id,type,,content,rejected: E_TYPE `type` is neither `text` nor `image_url`\n2,text,,b,\n"),
    ("a URL that is none to the standard", "ref_id,type,content\n1,image_url,http:a.example\n", "1,image_url,http:a.example\n", "ref_id,type,labels,content,error\n1,image_url,,http:a.example,\n"),
    ("a URL with a mark", "ref_id,type,content\n1,image_url,https://a.example/\u{200b}\n", "1,image_url,https://a.example/\u{200b}\n", "ref_id,type,labels,content,error\n1,image_url,,https://a.example/\u{200b},\n"),
];

#[test]
fn what_the_first_rules_checked_is_sent_and_joined_by_them_to_the_byte() {
    for (name, file, upload, results) in FIRST_RULES {
        let first = outcome(Rules::One, file.as_bytes());
        assert_eq!((first.upload.as_str(), first.results.as_str()), (upload, results), "{name}");
        assert_eq!(first.notices, Vec::<String>::new(), "{name}");
        let second = outcome(Rules::Two, file.as_bytes());
        assert_ne!((first.upload, first.results), (second.upload, second.results), "{name}");
    }
}

#[test]
fn a_sound_file_comes_to_the_same_bytes_by_both_rules() {
    for file in [
        "ref_id,type,content\n1,text,a\n2,image_url,https://a.example/b.jpg\n",
        "ref_id, type, content\r\n1, text, \" a\"\r\n\r\n2,text,b",
        "content,note,type,ref_id\n\"a\nb, \"\"c\"\"\", n ,text,1\n d\t,,image,\u{e9}\n,,text,2\n",
        "ref_id,type,content,,\n 1 ,\ttext , a ,b,c\n1,text,d,e,f\n",
    ] {
        let [one, two] = [Rules::One, Rules::Two].map(|rules| outcome(rules, file.as_bytes()));
        assert_eq!(one.errors, two.errors, "{file}");
        assert_eq!((one.upload, one.results), (two.upload, two.results), "{file}");
    }
}
