//! Numbers in words.

use indicatif::HumanCount;

/// A number and what it counts: `1 row`, `25,000 rows`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(n), if n == 1 { "" } else { "s" })
}

/// A share in percent. What is not all or nothing never reads as `0.0 %` or `100.0 %`.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.1 => "less than 0.1 %".to_owned(),
        percent if percent > 99.9 && percent < 100.0 => "more than 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares_read_well() {
        assert_eq!((count(1, "job"), count(0, "row")), ("1 job".to_owned(), "0 rows".to_owned()));
        assert_eq!(count(25_000, "row"), "25,000 rows");
        let shares = [0.0, 0.000_01, 0.123, 0.999_9, 1.0].map(percent);
        assert_eq!(shares, ["0.0 %", "less than 0.1 %", "12.3 %", "more than 99.9 %", "100.0 %"]);
    }
}
