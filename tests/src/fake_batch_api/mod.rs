//! A Batch API whose answers a test can set, call by call; what is not set is answered as the contract says. It records
//! every request.

mod answer;

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
        change(state.jobs.iter_mut().find(|job| job.id == id).unwrap_or_else(|| panic!("no job {id}")));
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
        locked(&self.inner.state).requests.iter().filter(|(c, _)| *c == call).map(|(_, request)| request.clone()).collect()
    }

    /// When each request of a kind came, in order.
    #[must_use]
    pub fn times(&self, call: Call) -> Vec<Instant> {
        locked(&self.inner.state).times.iter().filter(|(c, _)| *c == call).map(|(_, at)| *at).collect()
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
        out.write_record([&record[0], &record[1], r#"[{"label":"spam","score":0.5}]"#, &record[2], ""]).unwrap();
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
        state.script.get(&call).and_then(|answers| answers.front()).or_else(|| state.always.get(&call))?.break_after
    }

    fn broken(&self, request: Request) {
        let mut state = locked(&self.state);
        let call = call_of(&request);
        if state.script.get(&call).and_then(|answers| answers.front()).is_some_and(|a| a.break_after.is_some()) {
            state.script.entry(call).or_default().pop_front();
        }
        state.requests.push((call, request));
    }

    fn answer(&self, request: Request) -> Reply {
        let mut state = locked(&self.state);
        let call = call_of(&request);
        state.requests.push((call, request.clone()));
        state.times.push((call, Instant::now()));
        let scripted = state.script.entry(call).or_default().pop_front().or_else(|| state.always.get(&call).cloned());
        let mut scripted = scripted.unwrap_or_default();
        let about = |job: &String| request.query.split('&').any(|pair| pair.strip_prefix("batchJobIds=") == Some(job));
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

impl State {
    fn answer(&mut self, url: &str, call: Call, request: &Request) -> Reply {
        let signed = matches!(call, Call::Upload | Call::Download);
        if !signed && request.header("authorization") != Some(&format!("Bearer {}", self.key)) {
            return refusal(401, 16, "unauthenticated");
        }
        match call {
            Call::Create => self.create(url, request),
            Call::Get => self.get(url, request),
            Call::Cancel => self.cancel(request),
            Call::Upload => self.upload(request),
            Call::Download => self.download(request),
        }
    }

    fn create(&mut self, url: &str, request: &Request) -> Reply {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let id = format!("job-{}", self.jobs.len() + 1);
        let name = asked["name"].as_str().unwrap().to_owned();
        self.jobs.push(FakeJob {
            id: id.clone(),
            name: name.clone(),
            state: "INITIALIZED".to_owned(),
            created_at: Timestamp::now(),
            uploads: Vec::new(),
            fields: BTreeMap::new(),
            results: None,
        });
        let upload = format!("{url}/input/{id}?X-Amz-Signature={SIGNATURE}");
        Reply::json(200, &json!({"batchJobId": id, "name": name, "inputFileUploadUrl": upload}))
    }

    fn get(&mut self, url: &str, request: &Request) -> Reply {
        let asked = |name: &str| -> Vec<String> {
            let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(n, _)| *n == name).map(|(_, value)| value.to_owned()).collect()
        };
        let (ids, states): (HashSet<String>, Vec<String>) = (asked("batchJobIds").into_iter().collect(), asked("states"));
        if self.forbidden.as_ref().is_some_and(|job| ids.contains(job)) {
            return refusal(403, 7, "permission denied");
        }
        if self.left_out.as_ref().is_some_and(|job| ids.contains(job)) {
            return refusal(500, 13, "scripted");
        }
        let known = self.jobs.iter().filter(|job| ids.contains(&job.id)).count();
        if !self.leave_out_missing && known < ids.len() {
            return refusal(404, 5, "not found");
        }
        let addresses = &mut self.addresses;
        let told = self.jobs.iter().filter(|job| ids.is_empty() || ids.contains(&job.id));
        let told = told.filter(|job| states.is_empty() || states.contains(&format!("BATCH_JOB_STATE_{}", job.state)));
        let told: Vec<Value> = told
            .take(self.page.unwrap_or(usize::MAX))
            .map(|job| {
                let mut record = json!({"batchJobId": job.id, "name": job.name, "createdAt": job.created_at.to_string(),
                    "state": format!("BATCH_JOB_STATE_{}", job.state)});
                if job.state == "COMPLETED" {
                    *addresses += 1;
                    let address = format!("{url}/output/{}?fresh={addresses}&X-Amz-Signature={SIGNATURE}", job.id);
                    record["outputFileUrl"] = address.into();
                }
                for (name, value) in &job.fields {
                    record[name] = value.clone();
                }
                record
            })
            .collect();
        Reply::json(200, &json!({"batchJobs": told}))
    }

    fn cancel(&mut self, request: &Request) -> Reply {
        let id = request.path.trim_start_matches("/v1/batch-jobs/").trim_end_matches("/cancel").to_owned();
        match self.jobs.iter_mut().find(|job| job.id == id) {
            None => refusal(404, 5, "not found"),
            Some(job) if ["COMPLETED", "ERROR"].contains(&job.state.as_str()) => refusal(400, 9, "the job has ended"),
            Some(job) => {
                "CANCELLED".clone_into(&mut job.state);
                Reply::json(200, &json!({"batchJobId": id, "state": "BATCH_JOB_STATE_CANCELLED"}))
            }
        }
    }

    fn upload(&mut self, request: &Request) -> Reply {
        // As S3: a body of unknown length, or a header that was not signed, is refused.
        if request.header("content-length").is_none() {
            return refusal(411, 0, "MissingContentLength");
        }
        if request.header("authorization").is_some() {
            return refusal(400, 0, "Only one auth mechanism allowed");
        }
        let id = request.path.trim_start_matches("/input/");
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else { return refusal(403, 0, "no such job") };
        job.uploads.push(request.body.clone());
        if job.state == "INITIALIZED" {
            "QUEUED".clone_into(&mut job.state);
        }
        Reply { body: Vec::new(), ..Reply::json(200, &Value::Null) }
    }

    fn download(&mut self, request: &Request) -> Reply {
        let id = request.path.trim_start_matches("/output/");
        let Some(job) = self.jobs.iter().find(|job| job.id == id) else { return refusal(403, 0, "no such job") };
        let made = || job.uploads.last().map(|upload| results_of(upload)).unwrap_or_default();
        let body = job.results.clone().unwrap_or_else(made);
        Reply { body, ..Reply::json(200, &Value::Null) }
    }
}
