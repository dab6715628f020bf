//! The check of a whole file: which rows are valid, and the plan of its parts.

#![warn(missing_docs)]

mod checker;
pub mod duplicates;
mod file_kind;
pub mod hashes;
mod invisible_ids;
mod notices;
mod other_format;
mod planner;
mod refusal;
pub mod rejected;
mod rows;
mod saved;

pub use checker::{Checked, Checker, Step};
pub use notices::{MOST_LINES, Notice};
pub use planner::{MAX_PARTS, MAX_ROWS};
pub use refusal::{Counts, MOST_ERRORS, Refusal, counted, most_frequent};
pub use saved::{CheckState, Place, Segment, SegmentKind};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PartLimits;

    #[test]
    fn every_valid_row_is_shown_in_each_pass_and_duplicates_only_in_the_first() {
        let file =
            b"ref_id,type,content\n1,text,a\n2,video,b\n1,text,c\n3,image_url,https://x.io/d";
        let (mut checker, mut passes) = (Checker::new(PartLimits::default()), Vec::new());
        loop {
            let mut seen = Vec::new();
            let mut see = |item: &crate::csv::row::Item<'_>| {
                let ref_id = String::from_utf8_lossy(&item.ref_id).into_owned();
                seen.push((ref_id, item.kind.as_str(), item.content.bytes().len()));
            };
            for bytes in file.chunks(7) {
                checker.push_each(bytes, &mut see).unwrap();
            }
            let (_, step) = checker.finish_each(&mut see).unwrap();
            passes.push(seen);
            match step {
                Step::ReadAgain(second) => checker = *second,
                Step::Done(checked) => break assert_eq!((checked.rows, checked.rejected), (4, 2)),
            }
        }
        let (one, again) = (("1".to_owned(), "text", 1), ("1".to_owned(), "text", 1));
        let image = ("3".to_owned(), "image_url", 14);
        assert_eq!(passes, [vec![one.clone(), again, image.clone()], vec![one, image]]);
    }
}
