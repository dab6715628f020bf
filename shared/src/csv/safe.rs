//! `results.safe.csv`: cells that a spreadsheet would take for a formula begin with an apostrophe.
//!
//! The texts come from strangers. A cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage
//! return may be run as a formula when the file is opened (OWASP, "CSV Injection").

/// Prefixes such cells of CSV that Moondrop wrote, which is pushed in pieces of any length.
///
/// ```
/// use moondrop_shared::csv::safe::SafeCells;
///
/// let mut cells = SafeCells::default();
/// let mut safe = cells.push(b"1,\"=HYPERLINK(\"\"x\"\")\",+4");
/// safe.extend(cells.push(b"1,a=b\n-2,ok\n"));
/// assert_eq!(safe, b"1,\"'=HYPERLINK(\"\"x\"\")\",'+41,a=b\n'-2,ok\n");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SafeCells {
    /// Between the quotes of a cell. A doubled quote leaves and enters again.
    in_quotes: bool,
    at: At,
}

/// Where the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a cell.
    Beginning,
    /// After the quote that begins a cell.
    AfterQuote,
    /// Within a cell.
    Within,
}

impl Default for SafeCells {
    fn default() -> Self {
        SafeCells { in_quotes: false, at: At::Beginning }
    }
}

impl SafeCells {
    /// Takes the next bytes; returns them with the prefixes.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 64);
        for &byte in bytes {
            let is_first = self.at == At::AfterQuote || (self.at == At::Beginning && byte != b'"');
            if is_first && matches!(byte, b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r') {
                out.push(b'\'');
            }
            out.push(byte);
            self.at = match byte {
                b'"' if self.at == At::Beginning => At::AfterQuote,
                b',' | b'\n' if !self.in_quotes => At::Beginning,
                _ => At::Within,
            };
            self.in_quotes ^= byte == b'"';
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(csv: &str) -> String {
        let whole = SafeCells::default().push(csv.as_bytes());
        // The same in pieces of one byte.
        let mut cells = SafeCells::default();
        let pieces: Vec<u8> = csv.bytes().flat_map(|byte| cells.push(&[byte])).collect();
        assert_eq!(whole, pieces);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn cells_that_begin_like_a_formula_are_prefixed_wherever_they_stand() {
        for (cell, prefixed) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\"\r\nx\"", "\"'\r\nx\""),
            ("\"=1,2\"", "\"'=1,2\""),
            ("\"@\"\"x\"\"\"", "\"'@\"\"x\"\"\""),
        ] {
            let row = |cell: &str| format!("{cell},x,{cell}\n{cell}\n");
            assert_eq!(safe(&row(cell)), row(prefixed), "{cell:?}");
        }
    }

    #[test]
    fn all_other_cells_stay_as_they_are() {
        let csv = "ref_id,content\n1,a=b\n2,\"a,=b\n=c\"\n3,\n4,\"\"\n5,\"\"\"=x\"\n,,\n";
        assert_eq!(safe(csv), csv);
    }
}
