//! What keeps a drop from going on, in words a user understands.

use crate::record::{Held, NotStarted, Part, PartState};
use serde::{Deserialize, Serialize};

/// Trouble, in words a user understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The stable word for it, such as `E_QUOTE`.
    pub class: String,
    /// What is wrong.
    pub reason: String,
    /// What happens next, or what is needed of the user.
    pub next: String,
}

impl Trouble {
    /// Trouble of this class.
    #[must_use]
    pub fn new(class: &str, reason: impl Into<String>, next: &str) -> Self {
        Trouble { class: class.to_owned(), reason: reason.into(), next: next.to_owned() }
    }

    /// The API does not take the key (401), or does not let it do what Moondrop does (403): it does not say for sure which.
    #[must_use]
    pub fn key_refused() -> Self {
        let next = "It needs you to renew the key in its secret, or to give it the right to create, read and cancel batch jobs; the \
                    drop goes on by itself within minutes.";
        Trouble::new(KEY_REFUSED, "the API does not take the API key, or the key has no right to do this", next)
    }

    /// The key cannot be had from its secret.
    #[must_use]
    pub fn no_key() -> Self {
        let next =
            "It will be tried again by itself. If it stays so, it needs you to put the key, and nothing else, into its secret.";
        Trouble::new(KEY_REFUSED, "the API key cannot be had from its secret", next)
    }

    /// The API points to a host that is not to be contacted; `what` says for what.
    #[must_use]
    pub fn host_refused(what: &str, host: &str) -> Self {
        let reason = format!("the API {what} {host}, which SIGNED_URL_HOSTS does not allow");
        let next = "If that host is the API's, it needs you to add it to the setting; the drop goes on by itself.";
        Trouble::new(HOST_REFUSED, reason, next)
    }
}

/// The class of the trouble with a host that is not to be contacted.
pub const HOST_REFUSED: &str = "E_HOST";
/// The class of the trouble with a key that the API does not take, or that cannot be had.
pub const KEY_REFUSED: &str = "E_API_KEY";

impl Part {
    /// What keeps the part from going on, as far as its record says.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self.state {
            PartState::Collected => None,
            PartState::Completed | PartState::Failed => {
                self.held.as_ref().map(|held| held_results(self, held)).or_else(|| self.failing.clone())
            }
            _ => self.not_started.map(|known| not_started(self, known)),
        }
    }
}

fn held_results(part: &Part, held: &Held) -> Trouble {
    let (number, first_line) = (part.plan.number, part.plan.first_line);
    let place = held.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let reason = format!(
        "the results of part {number} (its rows begin on line {first_line} of the file) cannot be used as they came: {}; they are \
         kept in {}{place}",
        held.reason, held.key
    );
    let next = format!(
        "It needs you to look at the kept results. With {} the drop goes on with what can be read. Better results of the API are \
         fetched by themselves, once a day.",
        held.setting
    );
    Trouble { class: held.class.clone(), reason, next }
}

/// The class of the trouble with a job that has its rows and does not start.
pub const NOT_STARTED: &str = "E_NOT_STARTED";

fn not_started(part: &Part, known: NotStarted) -> Trouble {
    let (number, job) = (part.plan.number, part.job_id.as_deref().unwrap_or_default());
    let rows = match part.uploaded_at {
        Some(_) => "has had its rows for over an hour",
        None => "was to get its rows over an hour ago, in an upload that may not have arrived,",
    };
    let reason = match known.none_started {
        true => format!(
            "the API starts no job of this stack: that of part {number} ({job}) {rows} and has not started, nor has any other since"
        ),
        false => format!("the job of part {number} ({job}) {rows} and has not started"),
    };
    let next = match part.replans {
        0 => {
            "It needs you to ask the API's vendor about the job. Moondrop waits; after a day it cancels the job, once, and gives \
             the part another if the API confirms that it is cancelled."
        }
        _ => {
            "It needs you to ask the API's vendor about the job, or to cancel it: its rows end as failed then. Moondrop waits."
        }
    };
    Trouble::new(NOT_STARTED, reason, next)
}
