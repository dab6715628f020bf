//! A file on its whole way: checked, uploaded and joined. What comes of it is told in words, one
//! line each, so that a table of files can say it.

use super::{Taken, check_with, encode};
use moondrop_shared::check::{Checker, Notice};
use moondrop_shared::csv::header::Header;
use moondrop_shared::csv::mapping::Mapping;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::part::join::{Join, PartResult, results_header};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::PartLimits;

/// What came of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `E_QUOTE 51: why`, for each error of a file that is refused, and for each rejected row.
    pub(crate) errors: Vec<String>,
    /// `N_BLANK_LINES 2 [3, 7]`.
    pub(crate) notices: Vec<String>,
    /// What is sent, below its header.
    pub(crate) upload: String,
    /// `results.csv`, were all jobs lost, without that reason.
    pub(crate) results: String,
}

/// In pieces of any size, and in parts of any size, it comes to the same.
pub(crate) fn outcome(rules: Rules, file: &[u8]) -> Outcome {
    outcome_of(By { rules, mapping: None }, file)
}

/// [`outcome`] by the newest rules, with a mapping.
pub(crate) fn mapped(mapping: &Mapping, file: &[u8]) -> Outcome {
    outcome_of(By { rules: Rules::NEWEST, mapping: Some(mapping) }, file)
}

/// How a file is read.
#[derive(Clone, Copy)]
struct By<'a> {
    rules: Rules,
    mapping: Option<&'a Mapping>,
}

fn outcome_of(by: By<'_>, file: &[u8]) -> Outcome {
    let whole = walk(by, file, usize::MAX, PartLimits::default());
    for (piece, rows) in [(1, 1), (7, 2)] {
        let other = walk(by, file, piece, PartLimits { rows, ..PartLimits::default() });
        assert_eq!(other, whole, "by {piece}, in parts of {rows}");
    }
    whole
}

fn walk(by: By<'_>, file: &[u8], piece: usize, limits: PartLimits) -> Outcome {
    let checker = Checker::by(by.rules, limits).mapped(by.mapping.cloned());
    match check_with(checker, file, piece) {
        Err(refusal) => {
            let errors = refusal.errors.iter();
            Outcome {
                errors: errors.map(|e| format!("{} {}: {}", e.code, e.line, e.message)).collect(),
                notices: notices(&refusal.notices),
                ..Outcome::default()
            }
        }
        Ok(taken) => taken_outcome(&taken, by.mapping, file, piece),
    }
}

fn taken_outcome(taken: &Taken, mapping: Option<&Mapping>, file: &[u8], piece: usize) -> Outcome {
    let checked = &taken.checked;
    // As the drop's record keeps it.
    let header =
        Header::parse_mapped(&checked.header.line(), checked.header.rules, mapping).unwrap();
    assert_eq!(header, checked.header);
    let (mut upload, mut results) = (Vec::new(), results_header(&header));
    for part in &checked.parts {
        let bytes = &file[part.offset as usize..part.end as usize];
        let mut encoder = UploadEncoder::new(header.clone(), part.clone(), taken.rejections(part));
        let sent = encode(&mut encoder, bytes, piece);
        upload.extend_from_slice(sent.strip_prefix(b"ref_id,type,content\n").unwrap());
        let lost = PartResult::Lost("x".to_owned());
        let mut join = Join::new(header.clone(), part.clone(), taken.rejections(part), lost);
        bytes.chunks(piece).for_each(|bytes| results.extend(join.push(bytes).unwrap()));
        let (rest, tally) = join.finish().unwrap();
        assert_eq!(tally.rows.total(), part.rows);
        results.extend(rest);
    }
    let rejected = taken.rejected();
    assert_eq!(checked.counts.values().sum::<u64>(), rejected.len() as u64);
    Outcome {
        errors: rejected.iter().map(|r| format!("{} {}: {}", r.code, r.line, r.message)).collect(),
        notices: notices(&checked.notices),
        upload: String::from_utf8(upload).unwrap(),
        results: String::from_utf8(results).unwrap().replace(",missing: x", ","),
    }
}

fn notices(notices: &[Notice]) -> Vec<String> {
    notices.iter().map(|n| format!("{} {} {:?}", n.code, n.count, n.lines)).collect()
}
