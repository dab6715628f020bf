//! What the functions get from outside, where a test calls them: settings, and clients of the
//! servers.

use super::{KEY_SECRET, STACK};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::SharedHttpClient;
use moondrop_local::aws::{BUS, Endpoints, REGION, RESULTS, TABLE};
use moondrop_shared::services::batch_api::http::HttpClients;
use moondrop_shared::services::settings::Settings;
use moondrop_shared::services::{AwsClients, Services};
use std::collections::BTreeMap;
use std::time::Duration;

/// The functions' settings: the usual ones, and these over them. An empty one counts as absent.
#[must_use]
pub fn settings(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let usual = [
        ("STACK", STACK),
        ("RESULTS_BUCKET", RESULTS),
        ("TABLE", TABLE),
        ("EVENT_BUS", BUS),
        ("API_KEY_SECRET", KEY_SECRET),
        ("DEFAULT_POLICY", "policy"),
        // They stay in the function: a test takes them from there.
        ("METRICS", "off"),
    ];
    let mut settings: BTreeMap<String, String> = usual
        .iter()
        .chain(changes)
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    settings.retain(|_, value| !value.is_empty());
    settings
}

/// What a function works with that has just been started.
#[must_use]
pub fn services(
    settings: &BTreeMap<String, String>,
    clients: AwsClients,
    http: HttpClients,
) -> Services {
    Services::new(Settings::read(|name| settings.get(name).cloned()).unwrap(), clients, http)
}

/// Clients of AWS that try again as the functions' do, but without waiting long.
#[must_use]
pub fn clients(endpoints: &Endpoints, http: &SharedHttpClient) -> AwsClients {
    macro_rules! client {
        ($service:ident, $endpoint:expr) => {{
            use $service::config::{BehaviorVersion, Config, Region, retry::RetryConfig};
            let retry = RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(5));
            let config = Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static(REGION))
                .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
                .retry_config(retry)
                .http_client(http.clone())
                .endpoint_url($endpoint);
            $service::Client::from_conf(config.build())
        }};
    }
    AwsClients {
        s3: client!(aws_sdk_s3, &endpoints.s3),
        dynamodb: client!(aws_sdk_dynamodb, &endpoints.dynamodb),
        eventbridge: client!(aws_sdk_eventbridge, &endpoints.events),
        secrets_manager: client!(aws_sdk_secretsmanager, &endpoints.secrets_manager),
    }
}
