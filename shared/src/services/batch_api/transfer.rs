//! Uploads and downloads through pre-signed URLs. The requests do not have the API key, follow no
//! redirects, and go only to hosts that `SIGNED_URL_HOSTS` allows.

use crate::job::{SignedUrl, SignedUrlHosts};
use crate::services::batch_api::http::HttpClients;
use crate::services::settings::{Settings, is_loopback};
use anyhow::Context;
use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, TryStreamExt, stream};
use reqwest::{Body, StatusCode, header};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use url::Url;

/// Why an upload or a download failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The URL has expired or is invalid (403): a new one is needed.
    #[error("the pre-signed URL was refused: it has expired or is invalid")]
    Refused,
    /// The URL's host is not allowed.
    #[error("the pre-signed URL points to a host that SIGNED_URL_HOSTS does not allow: {0}")]
    Host(String),
    /// The bytes to upload could not be produced. The upload ended short of its length, so nothing
    /// was accepted.
    #[error(transparent)]
    Source(anyhow::Error),
    /// Anything else; trying again may help.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// An upload slower than this on average, in bytes per second, is given up and tried again.
const SLOWEST_UPLOAD: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub struct Transfer {
    http: HttpClients,
    hosts: SignedUrlHosts,
    loopback: bool,
    busy_answers: Arc<AtomicU64>,
}

impl Transfer {
    #[must_use]
    pub fn new(settings: &Settings, http: HttpClients) -> Self {
        Transfer {
            http,
            hosts: settings.signed_url_hosts.clone(),
            loopback: is_loopback(&settings.api_url),
            busy_answers: Arc::default(),
        }
    }

    /// Uploads a body of exactly `length` bytes, which `write` produces. S3 refuses a body of
    /// unknown length on a pre-signed PUT, so it is sent with a `Content-Length`; S3 also refuses a
    /// body that ends short of that.
    ///
    /// # Errors
    /// See [`TransferError`]; never with the URL in it.
    pub async fn upload(
        &self,
        url: &SignedUrl,
        length: u64,
        write: impl AsyncFnOnce(&mut UploadBody) -> anyhow::Result<()>,
    ) -> Result<(), TransferError> {
        let (mut body, bytes) = body_of(length);
        let sent = Arc::clone(&body.sent);
        let request =
            self.http.requests.put(self.allowed(url)?).header(header::CONTENT_LENGTH, length);
        let request = request
            .body(Body::wrap_stream(bytes))
            .timeout(Duration::from_secs(60 + length / SLOWEST_UPLOAD))
            .send();
        // Moved in, so that the body ends with it.
        let writing = async move { write(&mut body).await };
        // A server may refuse before it has read everything; then nothing more is produced.
        let (answered, written) = match select(pin!(request), pin!(writing)).await {
            Either::Left((answered, _)) => (answered, Ok(())),
            Either::Right((Err(error), _)) if sent.load(Ordering::Relaxed) < length => {
                return Err(TransferError::Source(error));
            }
            Either::Right((written, request)) => (request.await, written),
        };
        let response =
            answered.map_err(|e| anyhow::Error::new(e.without_url()).context("upload the rows"))?;
        written?;
        match response.status() {
            status if status.is_success() && sent.load(Ordering::Relaxed) < length => {
                Err(anyhow::anyhow!("the upload was answered with {status} before its end").into())
            }
            status if status.is_success() => Ok(()),
            StatusCode::FORBIDDEN => Err(TransferError::Refused),
            status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
                self.busy_answers.fetch_add(1, Ordering::Relaxed);
                Err(anyhow::anyhow!("the store is busy: it answered the upload with {status}")
                    .into())
            }
            status => Err(anyhow::anyhow!("the upload was answered with {status}").into()),
        }
    }

    /// How many uploads have been answered 429, or 503 as S3's "slow down", since this process began.
    #[must_use]
    pub fn busy_answers(&self) -> u64 {
        self.busy_answers.load(Ordering::Relaxed)
    }

    /// Downloads from a pre-signed URL: the bytes as they arrive, and an error if there are fewer
    /// than the `Content-Length`.
    ///
    /// # Errors
    /// See [`TransferError`]; never with the URL in it.
    pub async fn download(
        &self,
        url: &SignedUrl,
    ) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + Send + use<>, TransferError>
    {
        let request = self.http.downloads.get(self.allowed(url)?).send();
        let response = request
            .await
            .map_err(|e| anyhow::Error::new(e.without_url()).context("download the results"))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::FORBIDDEN => return Err(TransferError::Refused),
            status => return Err(anyhow::anyhow!("the download was answered with {status}").into()),
        }
        Ok(response.bytes_stream().map_err(|e| std::io::Error::other(e.without_url())))
    }

    /// Checks that the URL's host is allowed; makes no call.
    ///
    /// # Errors
    /// [`TransferError::Host`] if it may not.
    pub fn check(&self, url: &SignedUrl) -> Result<(), TransferError> {
        self.allowed(url).map(drop)
    }

    /// The URL, if its host is allowed.
    fn allowed(&self, url: &SignedUrl) -> Result<Url, TransferError> {
        // Neither error has the URL in it: that of `Url` names only a kind of error.
        let url =
            Url::parse(url.expose()).context("the API gave a pre-signed URL that is not a URL")?;
        let local = self.loopback && is_loopback(&url) && matches!(url.scheme(), "http" | "https");
        if local || self.hosts.allow(&url) {
            return Ok(url);
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = url.host_str().unwrap_or_default().to_lowercase();
        Err(TransferError::Host(format!("{host}{port}")))
    }
}

/// Takes the bytes of an upload as they are produced.
#[derive(Debug)]
pub struct UploadBody {
    bytes: Sender<Bytes>,
    sent: Arc<AtomicU64>,
}

impl UploadBody {
    /// Adds bytes once there is room for them. If the server takes no more bytes, this never
    /// returns: the server's answer ends the upload.
    pub async fn send(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.bytes.send(bytes).await.is_err() {
            std::future::pending().await
        }
    }
}

/// A body of this length, and the stream of its bytes. The stream fails if the body is shorter or
/// longer, so that a part never passes for the whole.
fn body_of(length: u64) -> (UploadBody, impl Stream<Item = std::io::Result<Bytes>> + Send + use<>) {
    let (sender, receiver) = channel::<Bytes>(1);
    let bytes = stream::unfold((receiver, Some(length)), |(mut receiver, left)| async move {
        let left = left?;
        match receiver.recv().await {
            Some(bytes) => match left.checked_sub(bytes.len() as u64) {
                Some(rest) => Some((Ok(bytes), (receiver, Some(rest)))),
                None => Some((Err(std::io::Error::other("too many rows")), (receiver, None))),
            },
            None if left > 0 => {
                Some((Err(std::io::Error::other("the rows cannot be read")), (receiver, None)))
            }
            None => None,
        }
    });
    (UploadBody { bytes: sender, sent: Arc::default() }, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(api: &str) -> Transfer {
        let settings = Settings::read(|name| match name {
            "API_URL" => Some(api.to_owned()),
            "STACK" | "RESULTS_BUCKET" | "TABLE" | "EVENT_BUS" | "API_KEY_SECRET" => {
                Some("x".to_owned())
            }
            _ => None,
        });
        Transfer::new(&settings.unwrap(), HttpClients::new().unwrap())
    }

    fn allowed(api: &str, url: &str) -> bool {
        transfer(api).allowed(&SignedUrl::new(url.to_owned())).is_ok()
    }

    #[test]
    fn only_https_to_listed_hosts_is_contacted() {
        let api = "https://gateway.app.clavata.ai:8443";
        for good in [
            "https://s3.amazonaws.com/x",
            "https://b.s3.us-east-1.amazonaws.com/k?X=1",
            "https://x.CLAVATA.ai/",
        ] {
            assert!(allowed(api, good), "{good}");
        }
        for bad in [
            "http://b.s3.amazonaws.com/k",
            "https://amazonaws.com/x",
            "https://evilamazonaws.com/",
            "https://amazonaws.com.evil.org/",
            "https://127.0.0.1/",
            "http://localhost/",
            "https://user@evil.org/amazonaws.com",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(!allowed(api, bad), "{bad}");
        }
    }

    #[test]
    fn loopback_is_contacted_only_if_the_api_is_there() {
        assert!(allowed("http://127.0.0.1:9", "http://127.0.0.1:8/up"));
        assert!(!allowed("http://127.0.0.1:9", "http://10.0.0.1/up"));
    }

    #[tokio::test]
    async fn an_error_never_shows_the_url() {
        let url =
            SignedUrl::new("http://127.0.0.1:1/secret-path?X-Amz-Signature=secret".to_owned());
        let transfer = transfer("http://127.0.0.1:9");
        let Err(error) = transfer.download(&url).await else { panic!("nothing listens on port 1") };
        let error = anyhow::Error::new(error);
        let shown = format!("{error} {error:?} {error:#} {url:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
