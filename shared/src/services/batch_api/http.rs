//! The HTTP clients for the Batch API and for pre-signed URLs. They follow no redirects: a URL that was checked is the one that is
//! contacted, and a key goes nowhere else.

use anyhow::{Context, Result};
use reqwest::{Client, ClientBuilder, redirect};
use std::time::Duration;

/// Clients for the Batch API and for pre-signed URLs. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct HttpClients {
    /// For requests that carry a time-out of their own. No request has a header by default, so that of one none is another's.
    pub(crate) requests: Client,
    /// For downloads, which may take as long as they go on.
    pub(crate) downloads: Client,
    /// How long a call of the Batch API may take, its answer included.
    pub api_timeout: Duration,
}

impl HttpClients {
    /// Builds the clients, with 30 seconds for a call of the Batch API.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new() -> Result<Self> {
        let client = || Client::builder().redirect(redirect::Policy::none()).connect_timeout(Duration::from_secs(10));
        let build = |builder: ClientBuilder| builder.build().context("set up TLS");
        Ok(HttpClients {
            // reqwest's read time-out counts the sending of a request as well: for an upload it would be a limit in all.
            requests: build(client())?,
            downloads: build(client().read_timeout(Duration::from_secs(60)))?,
            api_timeout: Duration::from_secs(30),
        })
    }
}
