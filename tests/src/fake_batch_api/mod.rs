//! A Batch API whose answers a test can set, call by call; what is not set is answered as the
//! contract says. It records every request.

mod answer;
mod faithful;

pub use answer::{Answer, Call};

use crate::raw_http::{Handler, Reply, Request, Server, locked, serve};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// In every pre-signed URL, where the signature would be.
pub const SIGNATURE: &str = "SECRETSIGNATURE";

/// A job.
#[derive(Debug, Clone)]
pub struct FakeJob {
    pub id: String,
    pub name: String,
    /// Its state, without the prefix.
    pub state: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// What was uploaded to it, each time.
    pub uploads: Vec<Vec<u8>>,
    /// More fields of its record, or others in place of it own.
    pub fields: BTreeMap<String, Value>,
    /// Its results, if not made from its upload.
    pub results: Option<Vec<u8>>,
}

/// The fake API. Clones are the same one.
#[derive(Debug, Clone)]
pub struct FakeBatchApi {
    inner: Arc<Inner>,
    server: Arc<Server>,
}

#[derive(Debug)]
struct Inner {
    url: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    key: String,
    jobs: Vec<FakeJob>,
    script: BTreeMap<Call, VecDeque<Answer>>,
    always: BTreeMap<Call, Answer>,
    requests: Vec<(Call, Request)>,
    leave_out_missing: bool,
    left_out: Option<String>,
    forbidden: Option<String>,
    unanswered: Option<String>,
    times: Vec<(Call, Instant)>,
    page: Option<usize>,
    addresses: u32,
}

impl FakeBatchApi {
    /// Starts one that takes this key.
    pub async fn start(key: &str) -> FakeBatchApi {
        let mut inner = None;
        let server = serve(|url| {
            let state = Mutex::new(State { key: key.to_owned(), ..State::default() });
            let made = Arc::new(Inner { url: url.to_owned(), state });
            inner = Some(Arc::clone(&made));
            made
        })
        .await;
        FakeBatchApi { inner: inner.unwrap(), server: Arc::new(server) }
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The next answers to a call, each given once.
    pub fn next(&self, call: Call, answers: impl IntoIterator<Item = Answer>) {
        locked(&self.inner.state).script.entry(call).or_default().extend(answers);
    }

    /// The answer to a call from now on, where no other is set; `None` for the contract's.
    pub fn always(&self, call: Call, answer: Option<Answer>) {
        let mut state = locked(&self.inner.state);
        match answer {
            Some(answer) => drop(state.always.insert(call, answer)),
            None => drop(state.always.remove(&call)),
        }
    }

    /// The key it takes from now on.
    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut locked(&self.inner.state).key);
    }

    /// Leaves unknown ids out of answers, instead of answering 404.
    pub fn leave_out_missing(&self) {
        locked(&self.inner.state).leave_out_missing = true;
    }

    /// Answers 500 to whoever asks after this job, among others or alone.
    pub fn leave_out(&self, job: &str) {
        locked(&self.inner.state).left_out = Some(job.to_owned());
    }

    /// Never answers whoever asks for this job, among others or alone.
    pub fn leave_unanswered(&self, job: Option<&str>) {
        locked(&self.inner.state).unanswered = job.map(str::to_owned);
    }

    /// Answers 403 to whoever asks for this job, among others or alone.
    pub fn forbid(&self, job: Option<&str>) {
        locked(&self.inner.state).forbidden = job.map(str::to_owned);
    }

    /// Tells of at most so many jobs in an answer, and leaves out the others.
    pub fn set_page(&self, jobs: usize) {
        locked(&self.inner.state).page = Some(jobs);
    }

    /// Its jobs, oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<FakeJob> {
        locked(&self.inner.state).jobs.clone()
    }

    /// One job.
    #[must_use]
    pub fn job(&self, id: &str) -> FakeJob {
        self.jobs().into_iter().find(|job| job.id == id).unwrap_or_else(|| panic!("no job {id}"))
    }

    /// The jobs that ever received rows.
    #[must_use]
    pub fn fed(&self) -> Vec<FakeJob> {
        self.jobs().into_iter().filter(|job| !job.uploads.is_empty()).collect()
    }

    /// Adds a job, or takes another in its place.
    pub fn put_job(&self, job: FakeJob) {
        let mut state = locked(&self.inner.state);
        state.jobs.retain(|known| known.id != job.id);
        state.jobs.push(job);
    }

    /// Adds a job that is known to be new.
    pub fn put_job_unseen(&self, job: FakeJob) {
        locked(&self.inner.state).jobs.push(job);
    }

    /// Changes a job.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut FakeJob)) {
        let mut state = locked(&self.inner.state);
        change(
            state.jobs.iter_mut().find(|job| job.id == id).unwrap_or_else(|| panic!("no job {id}")),
        );
    }

    /// Moves a job to a state.
    pub fn set_state(&self, id: &str, to: &str) {
        self.change(id, |job| to.clone_into(&mut job.state));
    }

    /// Completes every job that has rows.
    pub fn complete_all(&self) {
        for job in self.fed() {
            self.set_state(&job.id, "COMPLETED");
        }
    }

    /// Forgets a job, as after thirty days.
    pub fn forget(&self, id: &str) {
        locked(&self.inner.state).jobs.retain(|job| job.id != id);
    }

    /// Every request of a kind, in order.
    #[must_use]
    pub fn requests(&self, call: Call) -> Vec<Request> {
        locked(&self.inner.state)
            .requests
            .iter()
            .filter(|(c, _)| *c == call)
            .map(|(_, request)| request.clone())
            .collect()
    }

    /// When each request of a kind came, in order.
    #[must_use]
    pub fn times(&self, call: Call) -> Vec<Instant> {
        locked(&self.inner.state)
            .times
            .iter()
            .filter(|(c, _)| *c == call)
            .map(|(_, at)| *at)
            .collect()
    }

    /// How many requests of a kind there were.
    #[must_use]
    pub fn count(&self, call: Call) -> usize {
        locked(&self.inner.state).requests.iter().filter(|(c, _)| *c == call).count()
    }
}

/// A job's results as the API would write them for an upload.
#[must_use]
pub fn results_of(upload: &[u8]) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["ref_id", "type", "labels", "content", "error"]).unwrap();
    for record in csv::Reader::from_reader(upload).records().map(Result::unwrap) {
        out.write_record([
            &record[0],
            &record[1],
            r#"[{"label":"spam","score":0.5}]"#,
            &record[2],
            "",
        ])
        .unwrap();
    }
    out.into_inner().unwrap()
}

fn call_of(request: &Request) -> Call {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/batch-jobs") => Call::Create,
        ("GET", "/v1/batch-jobs") => Call::Get,
        ("POST", path) if path.ends_with("/cancel") => Call::Cancel,
        ("PUT", _) => Call::Upload,
        _ => Call::Download,
    }
}

impl Handler for Inner {
    fn break_after(&self, head: &Request) -> Option<usize> {
        let state = locked(&self.state);
        let call = call_of(head);
        state
            .script
            .get(&call)
            .and_then(|answers| answers.front())
            .or_else(|| state.always.get(&call))?
            .break_after
    }

    fn broken(&self, request: Request) {
        let mut state = locked(&self.state);
        let call = call_of(&request);
        if state
            .script
            .get(&call)
            .and_then(|answers| answers.front())
            .is_some_and(|a| a.break_after.is_some())
        {
            state.script.entry(call).or_default().pop_front();
        }
        state.requests.push((call, request));
    }

    fn answer(&self, request: Request) -> Reply {
        let mut state = locked(&self.state);
        let call = call_of(&request);
        state.requests.push((call, request.clone()));
        state.times.push((call, Instant::now()));
        let scripted = state
            .script
            .entry(call)
            .or_default()
            .pop_front()
            .or_else(|| state.always.get(&call).cloned());
        let mut scripted = scripted.unwrap_or_default();
        let about = |job: &String| {
            request.query.split('&').any(|pair| pair.strip_prefix("batchJobIds=") == Some(job))
        };
        scripted.lost |= call == Call::Get && state.unanswered.as_ref().is_some_and(about);
        let faithful = if scripted.no_effect {
            Reply { headers: Vec::new(), ..Reply::json(200, &Value::Null) }
        } else {
            state.answer(&self.url, call, &request)
        };
        scripted.over(faithful)
    }
}

fn refusal(status: u16, code: u32, message: &str) -> Reply {
    Reply::json(status, &json!({"code": code, "message": message}))
}
