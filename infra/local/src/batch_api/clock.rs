//! The sandbox's own clock: real time at a chosen speed, which can be moved forward and runs on
//! across a restart.

use crate::files::write_whole;
use crate::sync::locked;
use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A million seconds per second is twelve days: enough to archive a job while one looks, and far
/// from any overflow.
const FASTEST: f64 = 1_000_000.0;

/// One known pair of times, from which all others follow. Kept on disk, so that a job in flight
/// does not go back a state because the process that served it was killed.
#[derive(Serialize, Deserialize)]
struct Anchor {
    wall: Timestamp,
    clock: Timestamp,
    speed: f64,
}

pub(super) struct Clock {
    file: PathBuf,
    speed: f64,
    from: Mutex<(Timestamp, Instant)>,
}

impl Clock {
    /// Resumes from the time kept in `dir`, or starts from now. Jobs wait for nobody: while the
    /// sandbox was down its clock ran on.
    pub(super) fn open(dir: &Path, speed: f64) -> anyhow::Result<Self> {
        ensure!(
            speed > 0.0 && speed <= FASTEST,
            "clock_speed is {speed}: it must be above 0 and at most {FASTEST}"
        );
        let file = dir.join("clock.json");
        let wall = Timestamp::now();
        let now = match std::fs::read(&file) {
            Ok(bytes) => {
                let kept: Anchor = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is not a clock", file.display()))?;
                ensure!(
                    kept.speed > 0.0 && kept.speed <= FASTEST,
                    "{} has no usable speed",
                    file.display()
                );
                let down = wall.duration_since(kept.wall).max(SignedDuration::ZERO);
                later(kept.clock, down.mul_f64(kept.speed))
            }
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => wall,
            Err(other) => return Err(other).with_context(|| format!("reading {}", file.display())),
        };
        let clock = Self { file, speed, from: Mutex::new((now, Instant::now())) };
        clock.keep(now).with_context(|| format!("writing {}", clock.file.display()))?;
        Ok(clock)
    }

    pub(super) fn now(&self) -> Timestamp {
        let (clock, since) = *locked(&self.from);
        self.after(clock, since)
    }

    pub(super) fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        let mut from = locked(&self.from);
        let now = later(self.after(from.0, from.1), by);
        *from = (now, Instant::now());
        if let Err(error) = self.keep(now) {
            tracing::warn!(
                %error,
                "the sandbox's clock could not be kept: a restart will forget this jump"
            );
        }
    }

    /// How long until the clock shows `at`, in the time of the machine.
    pub(super) fn until(&self, at: Timestamp) -> Duration {
        let left = at.duration_since(self.now()).as_secs_f64().max(0.0) / self.speed;
        Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)
    }

    fn after(&self, clock: Timestamp, since: Instant) -> Timestamp {
        let passed = since.elapsed().as_secs_f64() * self.speed;
        later(clock, SignedDuration::try_from_secs_f64(passed).unwrap_or(SignedDuration::MAX))
    }

    fn keep(&self, clock: Timestamp) -> std::io::Result<()> {
        let anchor = Anchor { wall: Timestamp::now(), clock, speed: self.speed };
        write_whole(&self.file, serde_json::to_vec(&anchor)?)
    }
}

/// `at` and `by` together, stopping at the end of time.
pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_kept_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::open(dir.path(), 1.0).unwrap();
        clock.advance(Duration::from_secs(3_600));
        let before = clock.now();
        drop(clock);
        let ahead = Clock::open(dir.path(), 1.0).unwrap().now();
        assert!(ahead >= before);
        assert!(ahead.duration_since(before) < SignedDuration::from_mins(1));
    }

    #[test]
    fn runs_at_its_speed() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::open(dir.path(), 100_000.0).unwrap();
        let start = clock.now();
        let real = Instant::now();
        while real.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        assert!(clock.now().duration_since(start) >= SignedDuration::from_secs(500));
        assert!(
            clock.until(later(clock.now(), SignedDuration::from_secs(100_000)))
                <= Duration::from_secs(1)
        );
    }

    #[test]
    fn refuses_a_speed_that_is_none() {
        let dir = tempfile::tempdir().unwrap();
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Clock::open(dir.path(), speed).is_err());
        }
    }

    #[test]
    fn stops_at_the_end_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::open(dir.path(), 1.0).unwrap();
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
