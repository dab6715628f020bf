//! Pre-signed URLs: rows go up, results come down. Requests are without our key, follow no redirects, and go only to hosts that
//! a setting allows.

use crate::job::SignedUrl;
use crate::services::batch_api::http::HttpClients;
use crate::services::settings::{Settings, is_loopback};
use anyhow::Context;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use reqwest::{Body, StatusCode, header};
use std::time::Duration;
use url::Url;

/// Why a signed URL could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It has run out, or was never good (403): another has to be had.
    #[error("the signed address was refused: it has run out or is not good")]
    Refused,
    /// Its host is none that Moondrop may contact.
    #[error("the signed address points to a host that SIGNED_URL_HOSTS does not allow: {0}")]
    Host(String),
    /// Anything else; again may help.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// An upload slower than this, in bytes a second over all, is given up and tried again.
const SLOWEST_UPLOAD: u64 = 64 * 1024;

/// Moves data through signed URLs.
#[derive(Debug, Clone)]
pub struct Transfer {
    web: HttpClients,
    hosts: Vec<String>,
    loopback: bool,
}

impl Transfer {
    /// For the hosts the settings allow.
    #[must_use]
    pub fn new(settings: &Settings, web: HttpClients) -> Self {
        Transfer { web, hosts: settings.signed_url_hosts.clone(), loopback: is_loopback(&settings.api_url) }
    }

    /// Uploads a body of exactly `length` bytes. S3 refuses a body of unknown length on a pre-signed PUT, so it goes with a
    /// `Content-Length`; one that ends short of it is refused as well.
    ///
    /// # Errors
    /// See [`TransferError`]; never with the address in it.
    pub async fn upload<S>(&self, url: &SignedUrl, length: u64, body: S) -> Result<(), TransferError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    {
        let request =
            self.web.requests.put(self.allowed(url)?).header(header::CONTENT_LENGTH, length).body(Body::wrap_stream(body));
        let request = request.timeout(Duration::from_secs(60 + length / SLOWEST_UPLOAD)).send();
        let response = request.await.map_err(|e| anyhow::Error::new(e.without_url()).context("upload the rows"))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::FORBIDDEN => Err(TransferError::Refused),
            status => Err(anyhow::anyhow!("the upload was answered with {status}").into()),
        }
    }

    /// Downloads from a signed address: the bytes as they come, and an error if fewer come than were announced.
    ///
    /// # Errors
    /// See [`TransferError`]; never with the address in it.
    pub async fn download(
        &self,
        url: &SignedUrl,
    ) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + Send + use<>, TransferError> {
        let request = self.web.downloads.get(self.allowed(url)?).send();
        let response = request.await.map_err(|e| anyhow::Error::new(e.without_url()).context("download the results"))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::FORBIDDEN => return Err(TransferError::Refused),
            status => return Err(anyhow::anyhow!("the download was answered with {status}").into()),
        }
        Ok(response.bytes_stream().map_err(|e| std::io::Error::other(e.without_url())))
    }

    /// Whether the URL's host may be contacted; no call is made.
    ///
    /// # Errors
    /// [`TransferError::Host`] if it may not.
    pub fn check(&self, url: &SignedUrl) -> Result<(), TransferError> {
        self.allowed(url).map(drop)
    }

    /// The address, if it is one that may be contacted.
    fn allowed(&self, url: &SignedUrl) -> Result<Url, TransferError> {
        // Neither error has the address in it: `Url`'s names only the kind of fault.
        let url = Url::parse(url.expose()).context("the API gave a signed address that is none")?;
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let listed = self.hosts.iter().any(|h| host == *h || host.strip_suffix(h.as_str()).is_some_and(|p| p.ends_with('.')));
        let allowed = match url.scheme() {
            "https" => listed || (self.loopback && is_loopback(&url)),
            "http" => self.loopback && is_loopback(&url),
            _ => false,
        };
        if allowed { Ok(url) } else { Err(TransferError::Host(host)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(api: &str) -> Transfer {
        let settings = Settings::read(|name| match name {
            "API_URL" => Some(api.to_owned()),
            "STACK" | "RESULTS_BUCKET" | "TABLE" | "EVENT_BUS" | "API_KEY_SECRET" => Some("x".to_owned()),
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
        for good in ["https://amazonaws.com/x", "https://b.s3.us-east-1.amazonaws.com/k?X=1", "https://x.CLAVATA.ai/"] {
            assert!(allowed(api, good), "{good}");
        }
        for bad in [
            "http://b.s3.amazonaws.com/k",
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
    async fn an_error_never_shows_the_address() {
        let url = SignedUrl::new("http://127.0.0.1:1/secret-path?X-Amz-Signature=secret".to_owned());
        let transfer = transfer("http://127.0.0.1:9");
        let Err(error) = transfer.download(&url).await else { panic!("nothing listens on port 1") };
        let error = anyhow::Error::new(error);
        let shown = format!("{error} {error:?} {error:#} {url:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
