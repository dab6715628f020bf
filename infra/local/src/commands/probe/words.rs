//! Times as they are read.

use std::time::Duration;

/// A time, as roughly as it matters.
pub(super) fn time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{} s", time.as_secs()),
        120..7_200 => format!("{} min", time.as_secs() / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
