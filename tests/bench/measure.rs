//! What a piece of work takes: time, CPU, and memory, read from Linux's `/proc`.

use anyhow::{Context, Result};
use serde_json::json;
use std::time::Instant;

/// Ticks per second of the times in `/proc/<pid>/stat`: 100 on every Linux, whatever the kernel's
/// own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one command reports.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    pub(crate) usage: Usage,
}

impl Measured {
    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        let round = |value: f64, digits: f64| (value * digits).round() / digits;
        json!({
            "bytes": self.bytes,
            "rows": self.rows,
            "seconds": round(self.seconds, 1e4),
            "cpu_seconds": round(self.usage.cpu_seconds, 1e2),
            "peak_rss_mib": round(self.usage.peak_rss_mib, 1e1),
        })
        .to_string()
    }
}

/// What a process has taken so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    /// Of all its threads, in user and in system mode.
    pub(crate) cpu_seconds: f64,
    /// The most memory it has had resident.
    pub(crate) peak_rss_mib: f64,
}

impl Usage {
    /// Of the process with this id, or of `self`.
    pub(crate) fn of(process: &str) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        // The program's name, in parentheses, may contain spaces. After it comes field 3.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(14 - 3).take(2).map(str::parse::<f64>);
        let ticks: f64 = ticks.sum::<Result<_, _>>().context("the times of /proc/…/stat")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib.context("/proc/…/status has no VmHWM")?.parse()?;
        Ok(Usage { cpu_seconds: ticks / TICKS_PER_SECOND, peak_rss_mib: kib / 1024.0 })
    }
}

/// Measures this process, from now on.
pub(crate) struct Clock {
    began: Instant,
    cpu_seconds: f64,
}

impl Clock {
    /// Starts the clock; memory that was needed only before it does not count.
    pub(crate) fn start() -> Result<Self> {
        // Resets VmHWM. Where the kernel does not offer that, the peak includes the preparation.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let cpu_seconds = Usage::of("self")?.cpu_seconds;
        Ok(Clock { began: Instant::now(), cpu_seconds })
    }

    pub(crate) fn stop(&self, bytes: u64, rows: u64) -> Result<Measured> {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut usage = Usage::of("self")?;
        usage.cpu_seconds -= self.cpu_seconds;
        Ok(Measured { bytes, rows, seconds, usage })
    }
}
