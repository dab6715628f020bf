//! Files at and over Moondrop's limits. Here too it makes no difference in which pieces the bytes
//! come.

use crate::support;
use moondrop_shared::check::duplicates::{Duplicates, MAX_DUPLICATED_REF_IDS, RefIdHashes};
use moondrop_shared::check::{Checker, MAX_PARTS, Step};
use moondrop_shared::csv::error::InputError;
use moondrop_shared::csv::header::MAX_HEADER_BYTES;
use moondrop_shared::csv::row::{MAX_IMAGE_URL_BYTES, MAX_REF_ID_BYTES};
use moondrop_shared::csv::scan::MAX_ROW_BYTES;
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::Code;

/// A mebibyte, as S3 may hand it out, beside the whole file, single bytes and sevens.
const MIB: usize = 1 << 20;

const HEADER: &str = "ref_id,type,content\n";

/// Refused, and with the same words however the bytes come.
fn refused(bytes: &[u8]) -> InputError {
    let fault = support::check(bytes, bytes.len(), PartLimits::default()).unwrap_err();
    for chunk in [1, 7, MIB] {
        assert_eq!(
            support::check(bytes, chunk, PartLimits::default()).unwrap_err(),
            fault,
            "by {chunk}"
        );
    }
    fault
}

/// The rejected rows' lines, classes and reasons.
fn rejected(bytes: &[u8]) -> Vec<(u64, String, String)> {
    let rows = |chunk| support::check(bytes, chunk, PartLimits::default()).unwrap().rejected();
    assert!(rows(1) == rows(7) && rows(7) == rows(bytes.len()));
    rows(7).into_iter().map(|r| (r.line, r.code, r.message)).collect()
}

#[test]
fn a_row_of_sixteen_mebibytes_is_taken_and_a_byte_more_is_refused() {
    let content = |bytes: usize| {
        format!("{HEADER}1,text,a\n2,text,{}\n", "x".repeat(bytes - "2,text,".len()))
    };
    for chunk in [1, 7, MIB, 2 * MAX_ROW_BYTES] {
        let taken = support::check(content(MAX_ROW_BYTES).as_bytes(), chunk, PartLimits::default())
            .unwrap();
        assert_eq!((taken.checked.rows, taken.checked.rejected), (2, 0));
    }
    let fault = refused(content(MAX_ROW_BYTES + 1).as_bytes());
    assert_eq!((fault.code, fault.line, fault.offset), (Code::Limit, 3, 29));
    assert!(fault.message.contains(&MAX_ROW_BYTES.to_string()), "{fault}");
}

#[test]
fn a_row_that_is_too_long_is_refused_for_that_whatever_comes_later_in_it() {
    let long = "x".repeat(MAX_ROW_BYTES);
    for (name, later) in [
        ("a quote", "\"\n"),
        ("a bare return", "\rx\n"),
        ("NUL", "\0\n"),
        ("commas", ",,,\n"),
        ("the end", ""),
    ] {
        let fault = refused(format!("{HEADER}1,text,{long}{later}").as_bytes());
        assert_eq!((fault.code, fault.line), (Code::Limit, 2), "{name}: {fault}");
    }
}

#[test]
fn a_quote_not_closed_within_a_rows_limit_is_pointed_at() {
    let rows = "2,text,b\n".repeat(MAX_ROW_BYTES / 9 + 1);
    for later in ["", "\"\n", "\"x", "\"\"\""] {
        let fault = refused(format!("{HEADER}\"1\n\",text,\"a\n{rows}{later}").as_bytes());
        assert_eq!((fault.code, fault.line), (Code::Limit, 3), "{fault}");
        assert!(fault.message.starts_with("a quote is opened here"), "{fault}");
    }
}

#[test]
fn a_row_of_too_many_fields_is_refused_and_takes_no_memory_for_them() {
    let line = ",".repeat(8 << 20);
    for (file, at) in [
        (format!("{line}\n"), 1),
        (format!("ref_id,type,content\n1,text,a\n{line}\n"), 3),
        (line, 1),
    ] {
        let fault = refused(file.as_bytes());
        assert_eq!(
            (fault.code.to_string().as_str(), fault.line),
            ("E_LIMIT", at),
            "{}",
            fault.message
        );
        assert!(fault.message.contains("65536 fields"), "{}", fault.message);
    }
    // One too many, and enough for several chunks of the index.
    for commas in [65_536, 70_000, 98_000, 99_000] {
        let file = format!("ref_id,type,content\n{}\n4,text,d\n", ",".repeat(commas));
        assert_eq!(refused(file.as_bytes()).code.to_string(), "E_LIMIT", "{commas}");
    }
    // As many as that, where the header has three, is the fault it was.
    let fewer = format!("ref_id,type,content\n{}\n", ",".repeat(65_535));
    assert_eq!(refused(fewer.as_bytes()).code.to_string(), "E_FIELDS");
}

#[test]
fn a_header_over_its_limit_is_refused() {
    let header =
        |bytes: usize| format!("ref_id,type,content,{}\n1,text,a,b\n", "x".repeat(bytes - 21));
    assert_eq!(rejected(header(MAX_HEADER_BYTES).as_bytes()), []);
    let fault = refused(header(MAX_HEADER_BYTES + 1).as_bytes());
    assert_eq!((fault.code, fault.line), (Code::Limit, 1), "{fault}");
}

#[test]
fn a_ref_id_over_its_limit_rejects_its_row() {
    let rows = |bytes: usize| format!("{HEADER}{},text,a\n", "x".repeat(bytes));
    assert_eq!(rejected(rows(MAX_REF_ID_BYTES).as_bytes()), []);
    let reason = "`ref_id` is 1025 bytes long; at most 1024 are taken".to_owned();
    assert_eq!(
        rejected(rows(MAX_REF_ID_BYTES + 1).as_bytes()),
        [(2, "E_REF_ID".to_owned(), reason)]
    );
}

#[test]
fn an_image_address_over_its_limit_rejects_its_row() {
    let address = |bytes: usize| format!("{HEADER}1,image_url,{:a<bytes$}\n", "https://a.example/");
    assert_eq!(rejected(address(MAX_IMAGE_URL_BYTES).as_bytes()), []);
    let [(line, code, reason)] = &rejected(address(MAX_IMAGE_URL_BYTES + 1).as_bytes())[..] else {
        panic!("one row")
    };
    assert_eq!((*line, code.as_str()), (2, "E_CONTENT"));
    assert!(reason.contains("8193 bytes long; at most 8192"), "{reason}");
}

#[test]
fn a_file_of_more_parts_than_a_drop_may_have_is_refused_at_the_row_beyond() {
    let rows = |n: usize| (0..n).fold(HEADER.to_owned(), |file, i| file + &format!("{i},text,a\n"));
    let limits = PartLimits { rows: 1, ..PartLimits::default() };
    assert_eq!(
        support::check(rows(MAX_PARTS).as_bytes(), MIB, limits).unwrap().checked.parts.len(),
        MAX_PARTS
    );
    let fault = support::check(rows(MAX_PARTS + 1).as_bytes(), MIB, limits).unwrap_err();
    assert_eq!((fault.code, fault.line), (Code::Limit, MAX_PARTS as u64 + 2), "{fault}");
}

#[test]
fn a_file_appended_to_itself_is_refused_once_too_many_ref_ids_are_doubled() {
    let duplicated = |n: usize| {
        let rows = (0..n).fold(String::new(), |rows, i| rows + &format!("{i},text,a\n"));
        format!("{HEADER}{rows}{rows}")
    };
    let first = |file: String| {
        let mut checker = Checker::new(PartLimits::default());
        file.as_bytes().chunks(MIB).try_for_each(|bytes| checker.push(bytes).map(drop))?;
        checker.finish().map(|(_, step)| step)
    };
    assert!(matches!(first(duplicated(MAX_DUPLICATED_REF_IDS)), Ok(Step::ReadAgain(_))));
    let fault = first(duplicated(MAX_DUPLICATED_REF_IDS + 1)).unwrap_err().error;
    assert_eq!((fault.code, fault.line), (Code::Limit, 1), "{fault}");
    assert!(fault.message.contains("appended to itself"), "{fault}");
}

#[test]
fn a_million_ref_ids_that_stand_once_raise_no_suspicion() {
    let mut hashes = RefIdHashes::default();
    (0..1_000_000).for_each(|i| hashes.add(format!("post-{i}").as_bytes()));
    assert!(hashes.candidates().unwrap().is_empty());
    hashes.add(b"post-777");
    let mut duplicates = Duplicates::of(hashes.candidates().unwrap());
    assert_eq!(duplicates.seen_before(b"post-778", 5), None);
    assert_eq!(duplicates.seen_before(b"post-777", 7), None);
    assert_eq!(
        duplicates.seen_before(b"post-778", 8),
        None,
        "it was no candidate, and is not kept"
    );
    assert_eq!(duplicates.seen_before(b"post-777", 9), Some(7));
}
