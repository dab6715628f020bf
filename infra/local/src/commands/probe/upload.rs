//! The upload of the rows. What is transient is tried again, and is no finding.

use super::Probe;
use super::api::is_transient;
use super::assumptions::Topic;
use super::rows::{ROWS, input};
use anyhow::{Context, Result, bail};
use futures_util::stream;
use jiff::Timestamp;
use moondrop_shared::job::{JobState, SignedUrl, UPLOAD_URL_USED_FOR};
use reqwest::{Body, Client, header, redirect};
use std::time::{Duration, Instant};
use url::Url;

/// Attempts of the upload, the first included; the wait between them doubles: 7.5 seconds in all.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// After how long no further attempt begins.
const TRIED_FOR: Duration = Duration::from_secs(120);
/// How long an attempt may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What became of an attempt.
enum Sent {
    Accepted,
    /// It says something about the API.
    Refused(String),
    /// It says nothing: a server error, too many requests, or a connection that broke.
    Unclear(String),
}

impl Probe {
    /// Uploads the rows, unless the job has them. Whether it has them now.
    pub(super) async fn upload(&mut self) -> Result<bool> {
        let since = Instant::now();
        let (mut attempts, mut wait) = (1, FIRST_WAIT);
        loop {
            // Before each attempt: one whose answer was lost may have started the job.
            if self.has_rows().await? {
                return Ok(true);
            }
            let Some(url) = self.upload_url()? else { return Ok(false) };
            let problem = match self.send(&url).await? {
                Sent::Accepted => return self.uploaded().map(|()| true),
                Sent::Refused(seen) => {
                    self.state.findings.not_met(Topic::UploadPut, seen);
                    return self.save().map(|()| false);
                }
                Sent::Unclear(problem) => problem,
            };
            self.state.findings.not_seen(Topic::UploadPut, problem.as_str());
            self.save()?;
            if attempts == ATTEMPTS || since.elapsed() > TRIED_FOR {
                bail!("{problem}, {attempts} times: the same command tries again");
            }
            self.say(&format!("{problem}; it is tried again"));
            tokio::time::sleep(wait).await;
            (attempts, wait) = (attempts + 1, wait * 2);
        }
    }

    /// Whether the job has its rows: it was told so, or an attempt whose answer is unknown started
    /// it.
    async fn has_rows(&mut self) -> Result<bool> {
        let reported = self.look_up().await?;
        let Some(job) = &mut self.state.job else { return Ok(false) };
        if job.uploaded_at.is_some() {
            return Ok(true);
        }
        let is_started = reported.is_some_and(|reported| reported.state != JobState::Initialized);
        if !is_started || job.upload_began_at.is_none() {
            return Ok(false);
        }
        job.uploaded_at = job.upload_began_at;
        job.upload_url = None;
        let seen = "the job started, though the answer is unknown";
        self.state.findings.met(Topic::UploadPut, seen);
        self.save().map(|()| true)
    }

    /// Where the rows are to be sent, if that is known and allowed.
    fn upload_url(&mut self) -> Result<Option<SignedUrl>> {
        let Some(job) = &self.state.job else { return Ok(None) };
        let Some(url) = job.upload_url.clone() else { return Ok(None) };
        if Timestamp::now().duration_since(job.created_at) > UPLOAD_URL_USED_FOR {
            bail!(
                "the job got no rows in time, and its upload URL has expired: --again starts over"
            );
        }
        let is_allowed = self.is_allowed(Topic::UploadHost, &url);
        self.save()?;
        Ok(is_allowed.then_some(url))
    }

    /// Sends the rows once, as Moondrop does: with a `Content-Length` and without a `Content-Type`.
    async fn send(&mut self, url: &SignedUrl) -> Result<Sent> {
        if let Some(job) = &mut self.state.job {
            job.upload_began_at = Some(Timestamp::now());
        }
        self.save()?;
        // A client of its own, which has never had the key.
        let client = Client::builder().redirect(redirect::Policy::none()).timeout(TIMEOUT);
        let client = client.build().context("set up TLS")?;
        // The error names a kind of error, not the URL.
        let url = Url::parse(url.expose()).context("the upload URL is not a URL")?;
        let file = input();
        let request = client.put(url).header(header::CONTENT_LENGTH, file.len());
        let rows = stream::once(async { Ok::<_, std::io::Error>(file) });
        Ok(match request.body(Body::wrap_stream(rows)).send().await {
            Err(error) => {
                let kind = if error.is_timeout() { "took too long" } else { "got no answer" };
                Sent::Unclear(format!("the upload {kind}"))
            }
            Ok(answer) => match answer.status().as_u16() {
                200..300 => Sent::Accepted,
                403 => Sent::Refused("the upload is refused (403)".to_owned()),
                status if is_transient(Some(status)) => {
                    Sent::Unclear(format!("the upload is answered with {status}"))
                }
                status => Sent::Refused(format!("the upload is answered with {status}")),
            },
        })
    }

    fn uploaded(&mut self) -> Result<()> {
        let seen = format!("{} bytes are accepted", input().len());
        self.state.findings.met(Topic::UploadPut, seen);
        if let Some(job) = &mut self.state.job {
            job.uploaded_at = Some(Timestamp::now());
            job.upload_url = None;
        }
        self.save()?;
        self.say(&format!("{} rows are uploaded", ROWS.len()));
        Ok(())
    }
}
