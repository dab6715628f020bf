//! The rows that the probe sends. They are harmless, and cost ten evaluations, one of an image that
//! cannot be fetched.

use moondrop_shared::csv::row::{Item, Kind, UPLOAD_HEADER};
use moondrop_shared::csv::value::Value;
use moondrop_shared::csv::write::write_field;
use std::borrow::Cow;

pub(super) struct SentRow {
    pub(super) ref_id: &'static str,
    pub(super) kind: Kind,
    pub(super) content: &'static str,
}

const fn text(ref_id: &'static str, content: &'static str) -> SentRow {
    SentRow { ref_id, kind: Kind::Text, content }
}

const fn image(ref_id: &'static str, content: &'static str) -> SentRow {
    SentRow { ref_id, kind: Kind::ImageUrl, content }
}

/// The row that cannot be evaluated.
pub(super) const MUST_FAIL: &str = "probe-10";

/// The rows, in the order in which they are sent.
pub(super) const ROWS: [SentRow; 10] = [
    // To which no label should apply.
    text("probe-01", "The bakery on the corner opens at seven."),
    // Two to which many policies apply a label, so that the form of labels is seen.
    text("probe-02", "Join the free giveaway, first 100 people only!!! Link in bio"),
    text("probe-03", "Only an idiot would park like that."),
    text("probe-04", "She said \"not today\", and then, again: \"not today\"."),
    text("probe-05", "The first line,\nthe second,\r\n\nand one after an empty line."),
    text("probe-06", "  two spaces at both ends  "),
    text("probe-07", "Доброе утро, おはよう, 早上好, صباح الخير, शुभ प्रभात, καλημέρα, e\u{301}, 🌙"),
    text("probe-08", "=1+1; \\n is no newline, \t is a tab, 'single quotes', <b>tags</b> & 100 %"),
    // Small, and at this place since the nineties.
    image("probe-09", "https://www.w3.org/Icons/w3c_home.png"),
    // No name below `.invalid` is ever found (RFC 2606, section 2).
    image(MUST_FAIL, "https://moondrop-probe.invalid/missing.png"),
];

/// The file of these rows, written as Moondrop writes every upload.
pub(super) fn input() -> Vec<u8> {
    let mut file = UPLOAD_HEADER.to_vec();
    for row in &ROWS {
        let mut content = Vec::new();
        write_field(&mut content, row.content.as_bytes());
        let ref_id = Cow::Borrowed(row.ref_id.as_bytes());
        let item = Item { ref_id, kind: row.kind, content: Value::of(&content) };
        item.write_upload(&mut file);
    }
    file
}
