//! The HTTP clients for the Batch API and for pre-signed URLs. They follow no redirects, so that
//! only a checked URL is contacted and the key goes nowhere else.

use anyhow::{Context, Result};
use reqwest::{Client, ClientBuilder, redirect};
use std::time::Duration;

/// Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct HttpClients {
    /// For requests with a time-out of their own. It has no default headers, so that the key's
    /// header goes only to the API.
    pub(crate) requests: Client,
    /// For downloads, which have no limit in total.
    pub(crate) downloads: Client,
    /// How long an API call may take, its answer included.
    pub api_timeout: Duration,
}

impl HttpClients {
    /// Clients with a time-out of 30 seconds for API calls.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new() -> Result<Self> {
        let client = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .connect_timeout(Duration::from_secs(10))
        };
        let build = |builder: ClientBuilder| builder.build().context("set up TLS");
        Ok(HttpClients {
            // No read time-out: reqwest counts the sending of a request too, so it would limit an
            // upload in total.
            requests: build(client())?,
            downloads: build(client().read_timeout(Duration::from_secs(60)))?,
            api_timeout: Duration::from_secs(30),
        })
    }
}
