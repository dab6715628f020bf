//! What can be learnt of jobs at once: a job is created, and one is asked for that does not exist.

use super::Probe;
use super::api::{Answer, CallError, read_job};
use super::assumptions::Topic;
use super::state::ProbedJob;
use super::words::time;
use anyhow::{Result, anyhow, bail};
use jiff::Timestamp;
use moondrop_shared::job::{JobState, SignedUrl};
use serde_json::Value;
use url::Url;

impl Probe {
    /// Creates the job that gets the rows. Without an id and a URL there is nothing to follow.
    pub(super) async fn create_job(&mut self) -> Result<()> {
        if self.state.job.is_some() || self.state.findings.has(Topic::CreateUrl) {
            return Ok(());
        }
        let name = format!("moondrop-probe:{:016x}", fastrand::u64(..));
        let created_at = Timestamp::now();
        let answer = self.create(&name).await?;
        let text = |field: &str| answer.body[field].as_str().unwrap_or_default().to_owned();
        let (id, url) = (text("batchJobId"), text("inputFileUploadUrl"));
        let is_url = Url::parse(&url).is_ok();
        let seen = match (id.is_empty(), url.is_empty()) {
            (true, _) => "the answer has no job id",
            (false, true) => "the answer has no upload URL",
            (false, false) if !is_url => "the upload URL is not a URL",
            _ => "an id and a URL",
        };
        self.state.findings.judge(Topic::CreateUrl, !id.is_empty() && is_url, seen);
        if !id.is_empty() {
            self.state.job = Some(ProbedJob {
                id,
                name,
                created_at,
                upload_url: is_url.then(|| SignedUrl::new(url)),
                upload_began_at: None,
                uploaded_at: None,
                initialized_at: None,
                started_at: None,
                states: Vec::new(),
            });
        }
        self.save()?;
        if self.state.job.is_some() {
            self.say("a job is created");
        }
        Ok(())
    }

    pub(super) async fn create(&self, name: &str) -> Result<Answer> {
        let answer = self.api.create(name, &self.state.policy).await?;
        match answer.error() {
            Some(error) => bail!("the API refuses to create a job: {error}"),
            None => Ok(answer),
        }
    }

    /// Asks for the job; `None` if it is not reported.
    pub(super) async fn look_up(&mut self) -> Result<Option<moondrop_shared::job::Job>, CallError> {
        let Some(job) = &self.state.job else { return Ok(None) };
        let answer = self.api.jobs(&[&job.id]).await?;
        let Some(record) = answer.job(&job.id) else {
            // A 404 or an answer without it: the job is not reported. Any other says nothing of it.
            return match answer.error().filter(|_| !answer.is_own_404()) {
                Some(error) => Err(anyhow!("the API answers a query with {error}").into()),
                None => Ok(None),
            };
        };
        let read = read_job(record)?;
        self.observe(record, &read.state);
        Ok(Some(read))
    }

    /// Learns from a record of the job.
    fn observe(&mut self, record: &Value, state: &JobState) {
        let Some(job) = &mut self.state.job else { return };
        let findings = &mut self.state.findings;
        match record["name"].as_str().unwrap_or_default() {
            "" => findings.not_met(Topic::JobName, "it is reported without a name"),
            name if name == job.name => findings.met(Topic::JobName, "the name that it was given"),
            _ => findings.not_met(Topic::JobName, "it is reported with another name"),
        }
        match record["createdAt"].as_str().map(str::parse::<Timestamp>) {
            None => findings.not_met(Topic::CreatedAt, "it is reported without createdAt"),
            Some(Err(_)) => findings.not_met(Topic::CreatedAt, "its createdAt is not a time"),
            Some(Ok(at)) => {
                let apart = time(at.duration_since(job.created_at).unsigned_abs());
                findings.met(Topic::CreatedAt, format!("a time, {apart} from this machine's"));
            }
        }
        if *state != JobState::Initialized {
            let version = record["policyVersionId"].as_str().unwrap_or_default();
            let seen = if version.is_empty() { "it has no policyVersionId" } else { "an id" };
            findings.judge(Topic::PolicyVersion, !version.is_empty(), seen);
        }
        if job.states.last().is_none_or(|last| last != state.as_str()) {
            job.states.push(state.as_str().to_owned());
            eprintln!("moondrop: the job is {}", state.as_str());
        }
        let unknown = |name: &&String| {
            matches!(JobState::from((*name).clone()), JobState::Unknown(_) | JobState::Unspecified)
        };
        match job.states.iter().find(unknown) {
            Some(name) => findings.not_met(Topic::KnownStates, format!("{name} is not documented")),
            None => findings.met(Topic::KnownStates, job.states.join(", ")),
        }
    }

    /// Asks for a job that does not exist, alone and beside one that does.
    pub(super) async fn ask_for_an_unknown_job(&mut self) -> Result<()> {
        let Some(job) = &self.state.job else { return Ok(()) };
        if self.state.findings.has(Topic::UnknownIdBeside) {
            return Ok(());
        }
        let (known, unknown) = (job.id.clone(), unlike(&job.id));
        let alone = self.ask(&[&unknown]).await?;
        let (is, seen) = match &alone {
            answer if answer.is_own_404() => (true, "404".to_owned()),
            answer if answer.is_ok() && answer.error().is_none() => match answer.job(&unknown) {
                None => (true, "200, without the job".to_owned()),
                Some(_) => (false, "200, with a record of the job".to_owned()),
            },
            answer => (false, odd(answer)),
        };
        self.state.findings.judge(Topic::UnknownId, is, seen);
        let beside = self.ask(&[&known, &unknown]).await?;
        let (is, seen) = match &beside {
            answer if answer.is_own_404() => (true, "404 for both".to_owned()),
            answer if answer.job(&known).is_some() => {
                (answer.job(&unknown).is_none(), "200, with the known job".to_owned())
            }
            answer if answer.is_ok() => (false, "200, without the known job".to_owned()),
            answer => (false, odd(answer)),
        };
        self.state.findings.judge(Topic::UnknownIdBeside, is, seen);
        self.save()
    }

    /// Asks for these jobs. A server error counts only if it comes again after the known job alone
    /// was asked for and answered: otherwise the API is out of order, and nothing is learnt.
    async fn ask(&mut self, ids: &[&str]) -> Result<Answer, CallError> {
        let answer = self.api.jobs(ids).await?;
        if answer.status < 500 {
            return Ok(answer);
        }
        self.look_up().await?;
        self.api.jobs(ids).await
    }
}

/// The status of an answer that is not expected.
fn odd(answer: &Answer) -> String {
    match answer.status {
        404 => "404 without a gRPC status, as of another server".to_owned(),
        status => format!("{status}"),
    }
}

/// An id of the same form that is no job's: its digits and letters are others.
fn unlike(id: &str) -> String {
    let within = |c: char, first: u8, count: u8| {
        let place = c as u8 - first + fastrand::u8(1..count);
        char::from(first + place % count)
    };
    let other = |c: char| match c {
        '0'..='9' => within(c, b'0', 10),
        'a'..='f' => within(c, b'a', 6),
        'g'..='z' => within(c, b'g', 20),
        'A'..='F' => within(c, b'A', 6),
        'G'..='Z' => within(c, b'G', 20),
        other => other,
    };
    // A prefix, such as a kind or a UUID's version, stays.
    let kept = id.chars().count() / 2;
    id.chars().enumerate().map(|(at, c)| if at < kept { c } else { other(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_id_has_the_form_of_a_known_one() {
        let id = "0d9f6a52-7c1b-4e2a-9b60-3f1de7c2a845";
        let other = unlike(id);
        assert_ne!(other, id);
        assert_eq!(other.len(), id.len());
        let form = |id: &str| -> Vec<bool> { id.chars().map(|c| c == '-').collect() };
        assert_eq!(form(&other), form(id));
        assert!((0..1_000).all(|_| unlike("job-1") != "job-1"), "a short one, too");
    }
}
