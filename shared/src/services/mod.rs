//! The services that Moondrop uses, with one adapter each, and [`Services`], which holds them all.

pub mod batch_api;
pub mod event_bus;
pub mod lambda;
pub mod ledger;
pub mod logs;
pub mod messages;
pub mod metrics;
pub mod s3;
pub mod settings;

use crate::services::batch_api::BatchApi;
use crate::services::batch_api::api_key::ApiKey;
use crate::services::batch_api::http::HttpClients;
use crate::services::batch_api::transfer::Transfer;
use crate::services::event_bus::EventBus;
use crate::services::ledger::Ledger;
use crate::services::metrics::Metrics;
use crate::services::s3::drops_bucket::DropsBucket;
use crate::services::s3::results_bucket::ResultsBucket;
use crate::services::settings::Settings;
use anyhow::Result;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct AwsClients {
    pub s3: aws_sdk_s3::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub eventbridge: aws_sdk_eventbridge::Client,
    pub secrets_manager: aws_sdk_secretsmanager::Client,
}

/// All adapters of a function.
#[derive(Debug, Clone)]
pub struct Services {
    pub settings: Settings,
    pub drops: DropsBucket,
    pub ledger: Ledger,
    pub results: ResultsBucket,
    pub bus: EventBus,
    pub api: BatchApi,
    /// Uploads and downloads through pre-signed URLs.
    pub transfer: Transfer,
    pub metrics: Metrics,
}

impl Services {
    /// Reads the settings and builds the clients. The SDK also reads its own variables, such as
    /// `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// If a setting is missing or invalid, or TLS cannot be set up.
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
        Ok(Self::new(
            settings,
            AwsClients {
                s3: aws_sdk_s3::Client::new(&config),
                dynamodb: aws_sdk_dynamodb::Client::new(&config),
                eventbridge: aws_sdk_eventbridge::Client::new(&config),
                secrets_manager: aws_sdk_secretsmanager::Client::new(&config),
            },
            HttpClients::new()?,
        ))
    }

    #[must_use]
    pub fn new(settings: Settings, clients: AwsClients, http: HttpClients) -> Self {
        let key = ApiKey::new(clients.secrets_manager, settings.api_key_secret.clone());
        let metrics = Metrics::new(&settings.stack, settings.metrics);
        Services {
            ledger: Ledger::new(clients.dynamodb, settings.table.clone()),
            drops: DropsBucket::new(clients.s3.clone()),
            results: ResultsBucket::new(clients.s3, settings.results_bucket.clone()),
            bus: EventBus::new(clients.eventbridge, settings.event_bus.clone()),
            api: BatchApi::new(settings.api_url.clone(), key, &http, metrics.clone()),
            transfer: Transfer::new(&settings, http),
            metrics,
            settings,
        }
    }
}
