//! Where parts end, and what happens when a part's bytes are no longer those that were planned.

use crate::support;
use bytes::Bytes;
use moondrop_shared::check::rejected::Rejections;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::part::join::{Join, PartResult};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::PartLimits;

const SOURCE: &[u8] =
    b"ref_id,type,content\n1,text,a\n2,text,\"b\nc\"\n\n3,text,\n4,text,d\n5,video,e\n";

/// The first part of [`SOURCE`] with other bytes in its place: uploaded and joined.
fn carried(bytes: &[u8], limits: PartLimits) -> [anyhow::Result<()>; 2] {
    let taken = support::check(SOURCE, 5, limits).unwrap();
    let (header, part) = (&taken.checked.header, &taken.checked.parts[0]);
    let mut encoder = UploadEncoder::new(header.clone(), part.clone(), taken.rejections(part));
    let uploaded =
        encoder.push(&Bytes::copy_from_slice(bytes)).and_then(|_| encoder.finish()).map(drop);
    let mut join = Join::new(
        header.clone(),
        part.clone(),
        taken.rejections(part),
        PartResult::Answered(Box::default()),
    );
    [uploaded, join.push(bytes).and_then(|_| join.finish()).map(drop)]
}

#[test]
fn parts_end_at_their_rows_or_bytes_and_know_their_first_line() {
    let plan = |rows, bytes| {
        let taken = support::check(SOURCE, 5, PartLimits { rows, bytes }).unwrap();
        let part =
            |p: &moondrop_shared::plan::PlannedPart| (p.number, p.first_line, p.rows, p.accepted);
        taken.checked.parts.iter().map(part).collect::<Vec<_>>()
    };
    assert_eq!(plan(25_000, 1 << 20), [(1, 2, 5, 3)]);
    assert_eq!(plan(2, 1 << 20), [(1, 2, 2, 2), (2, 6, 2, 1), (3, 8, 1, 0)]);
    assert_eq!(
        plan(1, 1 << 20),
        [(1, 2, 1, 1), (2, 3, 1, 1), (3, 6, 1, 0), (4, 7, 1, 1), (5, 8, 1, 0)]
    );
    assert_eq!(plan(25_000, 1), plan(1, 1 << 20), "a part has one row at the least");
    // The upload of rows 1 and 2 has 20 + 9 + 13 bytes.
    assert_eq!(plan(25_000, 42), [(1, 2, 3, 2), (2, 7, 2, 1)]);
    assert_eq!(plan(25_000, 41), [(1, 2, 1, 1), (2, 3, 2, 1), (3, 7, 2, 1)]);
}

#[test]
fn a_part_without_a_sound_row_has_nothing_to_upload() {
    let file = b"ref_id,type,content\n1,video,a\n2,text,\n";
    let taken = support::check(file, 5, PartLimits::default()).unwrap();
    let part = &taken.checked.parts[0];
    let mut encoder =
        UploadEncoder::new(taken.checked.header.clone(), part.clone(), taken.rejections(part));
    let upload = support::encode(&mut encoder, &file[20..], usize::MAX);
    assert_eq!(upload, b"ref_id,type,content\n");
    assert_eq!((part.rows, part.accepted), (2, 0));
}

#[test]
fn the_bytes_that_were_planned_are_carried() {
    for result in carried(&SOURCE[20..], PartLimits::default()) {
        result.unwrap();
    }
}

#[test]
fn other_bytes_than_were_planned_are_neither_uploaded_nor_joined() {
    let source = String::from_utf8(SOURCE[20..].to_vec()).unwrap();
    for (name, other) in [
        ("cut at a row's end", source.replace("5,video,e\n", "")),
        ("cut within a row", source.replace("video,e\n", "vi")),
        ("cut before the last newline", source.trim_end().to_owned()),
        ("cut within quotes", "1,text,a\n2,text,\"b".to_owned()),
        ("a row more", source.clone() + "6,text,f\n"),
        ("a row less at the start", source.replace("1,text,a\n", "")),
        ("nothing", String::new()),
        ("a sound row made unfit", source.replace("1,text,a", "1,tent,a")),
        ("a quote put in", source.replace("4,text,d", "4,text,d\"")),
    ] {
        for result in carried(other.as_bytes(), PartLimits::default()) {
            let error = format!("{:#}", result.expect_err(name));
            assert!(
                error.contains("were planned")
                    || error.contains("not as it was when it was checked"),
                "{name}: {error}"
            );
        }
    }
    let [uploaded, _] =
        carried(source.replace("4,text,d\n5", "4,text,dd\n").as_bytes(), PartLimits::default());
    assert!(uploaded.is_err(), "an upload is of the length that was announced, or none");
}

#[test]
fn a_rejected_csv_that_was_changed_is_an_error() {
    for lines in [
        "2,20,1,E_TYPE\n",
        "2,20,1,E_NOVEL,why\n",
        "2,twenty,1,E_TYPE,why\n",
        "2,20,1,E_TYPE,why\n3,29\n",
        "line,byte_offset,ref_id,code,message\n",
    ] {
        assert!(Rejections::read(lines.as_bytes()).is_err(), "{lines}");
    }
    assert_eq!(Rejections::read(b"").unwrap().left(), 0);
}

#[test]
fn rejections_are_met_in_the_order_of_their_rows() {
    let mut rejections =
        Rejections::read(b"2,20,1,E_TYPE,why\n4,50,\"a\nb\",E_REF_ID,\"x, y\"\n").unwrap();
    assert!(rejections.at(30).is_none() && rejections.at(50).is_none());
    assert_eq!(rejections.at(20).unwrap().message, "why");
    assert!(rejections.at(20).is_none(), "each is met once");
    assert_eq!(rejections.left(), 1);
    assert_eq!(rejections.at(50).unwrap().message, "x, y");
}

#[test]
fn a_field_is_quoted_where_a_reader_needs_it() {
    for (value, written) in [
        ("", ""),
        ("a b", "a b"),
        ("a,b", "\"a,b\""),
        ("\"", "\"\"\"\""),
        ("a\rb", "\"a\rb\""),
        ("a\n", "\"a\n\""),
        (" a", "\" a\""),
        ("a\t", "\"a\t\""),
        ("é", "é"),
    ] {
        let mut out = Vec::new();
        write_field(&mut out, value.as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), written);
    }
}
