//! How far a file is read: a bar on a terminal, for a file that takes a while; nothing elsewhere.

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;

/// The size from which on there is a bar. A smaller file is read in a moment.
const LARGE: u64 = 8 * 1024 * 1024;

pub(super) struct Progress {
    /// What is read.
    name: String,
    bytes: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(name: &str, bytes: u64) -> Self {
        Progress { name: name.to_owned(), bytes, bar: bar(name.to_owned(), bytes) }
    }

    /// So many more bytes are read, and with them so many rows in all.
    pub(super) fn advance(&self, bytes: u64, rows: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} rows", HumanCount(rows)));
            bar.inc(bytes);
        }
    }

    /// The file is read a second time.
    pub(super) fn again(&mut self) {
        if let Some(first) = self.bar.take() {
            first.finish_and_clear();
            self.bar = bar(format!("{}, again for its rejected rows", self.name), self.bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: String, bytes: u64) -> Option<ProgressBar> {
    let shown = bytes >= LARGE && std::io::stderr().is_terminal();
    shown.then(|| ProgressBar::new(bytes).with_prefix(name).with_style(style()))
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:.bold} {bar:24} {percent:>3}%  {msg}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
