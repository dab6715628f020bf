//! What the functions log while they run in this process, as they would on AWS.

use crate::raw_http::locked;
use std::io::Write;
use std::sync::{Mutex, Once};
use tracing_subscriber::EnvFilter;

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Logged;

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        locked(&LOGGED).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Keeps what is logged from now on, in the form and at the level that the functions log by
/// themselves.
pub fn keep() {
    static KEEP: Once = Once::new();
    KEEP.call_once(|| {
        tracing::subscriber::set_global_default(moondrop_shared::services::logs::to(
            || Logged,
            EnvFilter::new("info"),
        ))
        .unwrap();
    });
}

/// All that was logged, by every test of this process.
#[must_use]
pub fn all() -> String {
    String::from_utf8_lossy(&locked(&LOGGED)).into_owned()
}

/// The lines that have this word: a drop's identity, say.
#[must_use]
pub fn with(word: &str) -> Vec<String> {
    all().lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
}
