//! How the emulator is started.

use crate::folder_lock::FolderLock;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct AwsConfig {
    /// Where everything is kept: `s3/`, `dynamodb.sqlite`, `logs/<function>.log`. One emulator at a
    /// time.
    pub dir: PathBuf,
    /// The lock of `dir`, if whoever starts the emulator holds it already.
    pub(crate) lock: Option<FolderLock>,
    /// Program and leading arguments of a function's process; the function's name is appended.
    pub function_command: Vec<OsString>,
    /// The functions' settings. They see nothing else of this process's environment but `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Secrets Manager's secrets, by id.
    pub secrets: BTreeMap<String, SecretString>,
    /// The schedule of `poll`, counted from the end of one tick to the next, so that ticks never
    /// overlap.
    pub poll_every: Duration,
    /// A function's time-out: the function is told its deadline, and its process is killed when
    /// that passes.
    pub function_timeout: Duration,
    /// How many processes each function has at once.
    pub processes: Processes,
    /// When the queues deliver again what a function could not do, and when they give up.
    pub redelivery: Redelivery,
    /// Where the servers listen on 127.0.0.1.
    pub ports: Ports,
}

impl AwsConfig {
    /// An emulator in `dir`, whose functions are started by `function_command`, with the defaults
    /// for the rest.
    pub fn new(dir: impl Into<PathBuf>, function_command: Vec<OsString>) -> Self {
        Self {
            dir: dir.into(),
            lock: None,
            function_command,
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            poll_every: Duration::from_secs(5),
            function_timeout: Duration::from_secs(900),
            processes: Processes::default(),
            redelivery: Redelivery::default(),
            ports: Ports::default(),
        }
    }
}

/// How many processes of a function run at once. `poll` has one.
#[derive(Clone, Copy, Debug)]
pub struct Processes {
    pub submit: usize,
    pub collect: usize,
}

impl Default for Processes {
    fn default() -> Self {
        Self { submit: 2, collect: 2 }
    }
}

/// When the queues deliver a message again, and when they give it up.
#[derive(Clone, Copy, Debug)]
pub struct Redelivery {
    /// How long a message that failed stays invisible: on AWS 16 to 90 minutes, here as long as fits
    /// the rest of the stack's times.
    pub visibility: Duration,
    /// After so many failed deliveries the message becomes a dead letter.
    pub max_receives: u32,
}

impl Default for Redelivery {
    fn default() -> Self {
        Self { visibility: Duration::from_secs(1), max_receives: 5 }
    }
}

/// Ports on 127.0.0.1; 0 is any that is free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    pub s3: u16,
    pub dynamodb: u16,
    /// EventBridge and Secrets Manager, which share one.
    pub events: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let mut config = AwsConfig::new("x", Vec::new());
        config.secrets.insert("key".into(), SecretString::from("mb-secret-value"));
        assert!(!format!("{config:?}").contains("mb-secret-value"));
    }
}
