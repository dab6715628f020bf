//! The invocations of a function that wait for a process, and how many have succeeded and failed.

use crate::sync::locked;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// One of Moondrop's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    Submit,
    Poll,
    Collect,
}

impl Function {
    pub const ALL: [Self; 3] = [Self::Submit, Self::Poll, Self::Collect];

    /// The name, as it is in `AWS_LAMBDA_FUNCTION_NAME` and in the name of the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Poll => "poll",
            Self::Collect => "collect",
        }
    }
}

/// How many invocations a function has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many were handed to a process.
    pub started: u64,
    pub succeeded: u64,
    /// How many were answered with an error, or ended by the process's death or the time-out.
    pub failed: u64,
}

/// Why an invocation failed, in Lambda's own words where it has some.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

/// An invocation that waits for its answer.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) payload: String,
    answer: oneshot::Sender<Result<Value, Failure>>,
}

/// Hands a function's invocations to whichever of its processes asks next.
#[derive(Debug)]
pub(crate) struct Invoker {
    function: Function,
    timeout: Duration,
    waiting: mpsc::UnboundedSender<Invocation>,
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    counts: Mutex<Counts>,
}

impl Invoker {
    pub(crate) fn new(function: Function, timeout: Duration) -> Arc<Self> {
        let (waiting, inbox) = mpsc::unbounded_channel();
        Arc::new(Self { function, timeout, waiting, inbox: inbox.into(), counts: Mutex::default() })
    }

    pub(crate) fn function(&self) -> Function {
        self.function
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn counts(&self) -> Counts {
        *locked(&self.counts)
    }

    /// Invokes the function and waits for its answer.
    pub(crate) async fn invoke(&self, id: &str, payload: String) -> Result<Value, Failure> {
        let (answer, answered) = oneshot::channel();
        self.requeue(Invocation { id: id.to_owned(), payload, answer });
        answered.await.unwrap_or_else(|_| Err(Failure::new("Stack.Ended", "the stack has ended")))
    }

    /// The next invocation. Giving up the wait loses none.
    pub(crate) async fn take(&self) -> Option<Invocation> {
        self.inbox.lock().await.recv().await
    }

    /// Queues an invocation, also one that reached no process.
    pub(crate) fn requeue(&self, invocation: Invocation) {
        // The receiver lives as long as the sender, in the same struct.
        let _ = self.waiting.send(invocation);
    }

    pub(crate) fn started(&self) {
        locked(&self.counts).started += 1;
    }

    /// Answers an invocation that was started.
    pub(crate) fn settle(&self, invocation: Invocation, answer: Result<Value, Failure>) {
        {
            let mut counts = locked(&self.counts);
            match answer {
                Ok(_) => counts.succeeded += 1,
                Err(_) => counts.failed += 1,
            }
        }
        // Nobody waits any more when the stack ends.
        let _ = invocation.answer.send(answer);
    }
}
