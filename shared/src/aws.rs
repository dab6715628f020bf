//! The adapters a function works with, built once at cold start.

use crate::api_key::ApiKey;
use crate::batch_api::BatchApi;
use crate::bus::Bus;
use crate::ledger::Ledger;
use crate::report::Reporter;
use crate::settings::Settings;
use crate::signed::Transfer;
use crate::store::Store;
use anyhow::Result;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use std::time::Duration;

/// Everything a function reaches the world through.
#[derive(Debug, Clone)]
pub struct Services {
    /// The settings.
    pub settings: Settings,
    /// S3, for the source objects.
    pub s3: aws_sdk_s3::Client,
    /// The ledger.
    pub ledger: Ledger,
    /// The results bucket.
    pub store: Store,
    /// The event bus.
    pub bus: Bus,
    /// The Batch API.
    pub api: BatchApi,
    /// Signed URLs.
    pub transfer: Transfer,
    /// `status.json`.
    pub reporter: Reporter,
}

impl Services {
    /// Reads the settings and builds the clients. `AWS_ENDPOINT_URL*` work as everywhere in AWS.
    ///
    /// # Errors
    /// If a setting is missing or bad, or TLS cannot be set up.
    pub async fn from_env() -> Result<Self> {
        let settings = Settings::from_env()?;
        let config = aws_config::from_env()
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .operation_attempt_timeout(Duration::from_secs(60))
                    .build(),
            )
            .load()
            .await;
        let s3 = aws_sdk_s3::Client::new(&config);
        let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(&config), settings.table.clone());
        let store = Store::new(s3.clone(), settings.results_bucket.clone());
        let key = ApiKey::new(aws_sdk_secretsmanager::Client::new(&config), settings.api_key_secret.clone());
        Ok(Services {
            bus: Bus::new(aws_sdk_eventbridge::Client::new(&config), settings.event_bus.clone()),
            api: BatchApi::new(settings.api_url.clone(), key)?,
            transfer: Transfer::new(&settings)?,
            reporter: Reporter::new(ledger.clone(), store.clone()),
            s3,
            ledger,
            store,
            settings,
        })
    }
}
