//! The Lambda Runtime API, as one process of a function sees it.

use super::invoker::{Failure, Invocation, Invoker};
use crate::aws::names::{ACCOUNT, REGION};
use crate::sync::locked;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Lambda takes answers of up to 6 MB; a larger one is Lambda's error to report, not the socket's.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// The Runtime API of one process. A new process gets a new one, so that an answer of the old one
/// cannot pass for its own.
#[derive(Debug)]
pub(crate) struct Runtime {
    invoker: Arc<Invoker>,
    state: Mutex<Progress>,
    /// When the process has to be killed: for not coming up, or for not answering.
    deadline: watch::Sender<Option<Instant>>,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Progress {
    asked_for_work: bool,
    ended: bool,
    current: Option<Invocation>,
    init_error: Option<String>,
}

impl Runtime {
    /// The Runtime API of a process that has to ask for work within `init_limit`; it is over when
    /// `ended` is cancelled.
    pub(crate) fn new(
        invoker: Arc<Invoker>,
        init_limit: Duration,
        ended: CancellationToken,
    ) -> Arc<Self> {
        let (deadline, _) = watch::channel(Some(Instant::now() + init_limit));
        Arc::new(Self { invoker, state: Mutex::default(), deadline, ended })
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::max(ANSWER_LIMIT))
            .with_state(self.clone())
    }

    /// When the process has to be killed.
    pub(crate) fn deadline(&self) -> watch::Receiver<Option<Instant>> {
        self.deadline.subscribe()
    }

    /// Done when the process has ended.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Whether the process has asked for work.
    pub(crate) fn asked_for_work(&self) -> bool {
        locked(&self.state).asked_for_work
    }

    /// Why the process could not start, if it reported that.
    pub(crate) fn init_error(&self) -> Option<String> {
        locked(&self.state).init_error.clone()
    }

    /// The process has ended: what it was doing has failed.
    pub(crate) fn end(&self, failure: Failure) {
        let current = {
            let mut state = locked(&self.state);
            state.ended = true;
            state.current.take()
        };
        self.ended.cancel();
        if let Some(invocation) = current {
            self.invoker.settle(invocation, Err(failure));
        }
    }

    /// The process asks for work, so that what it had is over.
    fn ready(&self) {
        let unanswered = {
            let mut state = locked(&self.state);
            state.asked_for_work = true;
            state.current.take()
        };
        self.deadline.send_replace(None);
        if let Some(invocation) = unanswered {
            let failure = Failure::new(
                "Runtime.NoAnswer",
                "the process asked for work before it had answered",
            );
            self.invoker.settle(invocation, Err(failure));
        }
    }

    /// Hands an invocation to the process; gives the response that carries it.
    fn begin(&self, invocation: Invocation) -> Response {
        let timeout = self.invoker.timeout();
        let deadline = SystemTime::now() + timeout;
        let deadline =
            deadline.duration_since(UNIX_EPOCH).map(|age| age.as_millis()).unwrap_or_default();
        let name = self.invoker.function().name();
        let response = (
            [
                ("content-type", "application/json".to_owned()),
                ("lambda-runtime-aws-request-id", invocation.id.clone()),
                ("lambda-runtime-deadline-ms", deadline.to_string()),
                (
                    "lambda-runtime-invoked-function-arn",
                    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"),
                ),
            ],
            invocation.payload.clone(),
        );
        let mut state = locked(&self.state);
        if state.ended {
            // The process died while this waited on its behalf.
            self.invoker.requeue(invocation);
            return StatusCode::GONE.into_response();
        }
        self.invoker.started();
        state.current = Some(invocation);
        self.deadline.send_replace(Some(Instant::now() + timeout));
        response.into_response()
    }

    fn answer(&self, id: &str, answer: Result<Value, Failure>) -> Response {
        let current = locked(&self.state).current.take_if(|invocation| invocation.id == id);
        let Some(invocation) = current else {
            let body = json!({"errorType": "InvalidRequestID", "errorMessage": "the process has no such invocation"});
            return (StatusCode::BAD_REQUEST, axum::Json(body)).into_response();
        };
        self.deadline.send_replace(None);
        self.invoker.settle(invocation, answer);
        accepted()
    }
}

async fn next(State(runtime): State<Arc<Runtime>>) -> Response {
    runtime.ready();
    match runtime.ended.run_until_cancelled(runtime.invoker.take()).await.flatten() {
        Some(invocation) => runtime.begin(invocation),
        None => StatusCode::GONE.into_response(),
    }
}

async fn response(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    runtime.answer(&id, Ok(serde_json::from_slice(&body).unwrap_or_default()))
}

async fn error(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    runtime.answer(&id, Err(reported(&body)))
}

async fn init_error(State(runtime): State<Arc<Runtime>>, body: Bytes) -> Response {
    locked(&runtime.state).init_error = Some(reported(&body).to_string());
    accepted()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({"status": "OK"}))).into_response()
}

/// An error as a runtime reports it.
fn reported(body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str, otherwise: &str| body[name].as_str().unwrap_or(otherwise).to_owned();
    Failure { kind: text("errorType", "Unknown"), message: text("errorMessage", "") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::invoker::{Counts, Function},
        *,
    };

    fn runtime(invoker: &Arc<Invoker>) -> Arc<Runtime> {
        Runtime::new(invoker.clone(), Duration::from_secs(9), CancellationToken::new())
    }

    fn invoke(invoker: &Arc<Invoker>) -> tokio::task::JoinHandle<Result<Value, Failure>> {
        let invoker = invoker.clone();
        tokio::spawn(async move { invoker.invoke("i", "{}".to_owned()).await })
    }

    #[tokio::test]
    async fn an_invocation_taken_for_a_dead_process_goes_to_the_next() {
        let invoker = Invoker::new(Function::Submit, Duration::from_secs(9));
        let (dead, live) = (runtime(&invoker), runtime(&invoker));
        let answer = invoke(&invoker);
        let invocation = invoker.take().await.unwrap();
        dead.end(Failure::new("Runtime.ExitError", "dead"));
        assert_eq!(dead.begin(invocation).status(), StatusCode::GONE);
        assert_eq!(next(State(live.clone())).await.status(), StatusCode::OK);
        assert_eq!(dead.answer("i", Ok(json!(1))).status(), StatusCode::BAD_REQUEST);
        assert_eq!(live.answer("i", Ok(json!(2))).status(), StatusCode::ACCEPTED);
        assert_eq!(answer.await.unwrap().unwrap(), json!(2));
        assert_eq!(live.answer("i", Ok(json!(3))).status(), StatusCode::BAD_REQUEST);
        assert_eq!(invoker.counts(), Counts { started: 1, succeeded: 1, failed: 0 });
    }

    #[tokio::test]
    async fn asking_again_without_an_answer_fails_what_was_given() {
        let invoker = Invoker::new(Function::Submit, Duration::from_secs(9));
        let runtime = runtime(&invoker);
        let answer = invoke(&invoker);
        let given = next(State(runtime.clone())).await;
        assert_eq!(given.headers()["lambda-runtime-aws-request-id"], "i");
        assert!(runtime.deadline().borrow().is_some());
        runtime.ready();
        assert!(runtime.deadline().borrow().is_none());
        assert_eq!(answer.await.unwrap().unwrap_err().kind, "Runtime.NoAnswer");
    }
}
