//! The API key, from Secrets Manager.

use anyhow::{Context, Result};
use aws_sdk_secretsmanager::Client;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a key is used before it is read again.
const KEEP: Duration = Duration::from_secs(300);

/// The API key, read from its secret when it is first needed, and kept for five minutes.
#[derive(Debug, Clone)]
pub struct ApiKey {
    client: Client,
    secret: String,
    kept: Arc<Mutex<Option<(Instant, SecretString)>>>,
}

impl ApiKey {
    /// `secret` is a name or an ARN.
    #[must_use]
    pub fn new(client: Client, secret: String) -> Self {
        ApiKey { client, secret, kept: Arc::default() }
    }

    /// # Errors
    /// If Secrets Manager does not answer, or the secret does not hold a key.
    pub async fn get(&self) -> Result<SecretString> {
        let mut kept = self.kept.lock().await;
        if let Some((since, key)) = &*kept
            && since.elapsed() < KEEP
        {
            return Ok(key.clone());
        }
        let key = self.read().await?;
        *kept = Some((Instant::now(), key.clone()));
        Ok(key)
    }

    /// Reads the key again after the API refused it, since it may have been rotated; not if another
    /// task has read a new one.
    ///
    /// # Errors
    /// As [`ApiKey::get`].
    pub async fn reload(&self, refused: &SecretString) -> Result<SecretString> {
        let mut kept = self.kept.lock().await;
        match &*kept {
            Some((_, key)) if key.expose_secret() != refused.expose_secret() => Ok(key.clone()),
            _ => {
                let key = self.read().await?;
                *kept = Some((Instant::now(), key.clone()));
                Ok(key)
            }
        }
    }

    async fn read(&self) -> Result<SecretString> {
        let got = self.client.get_secret_value().secret_id(&self.secret).send().await;
        let got = got.context("get the API key from Secrets Manager")?;
        let text = got.secret_string.context("the secret of the API key holds no text")?;
        let key = text.trim();
        anyhow::ensure!(!key.is_empty(), "the secret of the API key is empty");
        // A header cannot have a line break or another control character; report it here, where the
        // cause is known.
        anyhow::ensure!(
            key.bytes().all(|b| b.is_ascii_graphic()),
            "the secret of the API key holds more than a key"
        );
        Ok(SecretString::from(key.to_owned()))
    }
}
