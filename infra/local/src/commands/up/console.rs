//! What `moondrop up` prints while it is up.

use std::collections::HashSet;
use std::io::Write as _;

/// What has been said, for what is not said again.
#[derive(Default)]
pub(super) struct Console(HashSet<String>);

impl Console {
    pub(super) fn print_once(&mut self, line: String) {
        if !self.0.contains(&line) {
            print(&line);
            self.0.insert(line);
        }
    }
}

/// Prints what happens, in one line: names can have characters that a terminal obeys. That no one
/// reads it any more is no reason to end.
pub(super) fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{}", printable(line));
}

fn printable(line: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    line.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_give_orders_to_the_terminal() {
        assert_eq!(printable("é 'a'\u{1b}[2J\n.csv"), "é 'a'\\u{1b}[2J\\n.csv");
    }
}
