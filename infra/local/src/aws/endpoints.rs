//! Where the servers are, and clients of them.

use super::names::{ACCESS_KEY, REGION, SECRET_KEY};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use std::collections::BTreeMap;

/// The servers' base URLs.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Endpoints {
    pub s3: String,
    pub dynamodb: String,
    pub events: String,
    pub secrets_manager: String,
}

impl Endpoints {
    pub(crate) fn new(s3: &str, dynamodb: &str, api: &str) -> Self {
        let [s3, dynamodb, events] =
            [s3, dynamodb, api].map(|host_port| format!("http://{host_port}"));
        Self { s3, dynamodb, secrets_manager: events.clone(), events }
    }

    /// The endpoints, as every SDK of AWS reads them from the environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                ("AWS_ENDPOINT_URL_S3", &self.s3),
                ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb),
                ("AWS_ENDPOINT_URL_EVENTBRIDGE", &self.events),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.secrets_manager),
            ]
            .map(|(name, url)| (name.to_owned(), url.clone())),
        )
    }

    /// A client of S3. It reads nothing of this process's environment.
    pub fn s3_client(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(credentials())
            .endpoint_url(&self.s3);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A client of DynamoDB. It reads nothing of this process's environment.
    pub fn dynamodb_client(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(credentials())
            .endpoint_url(&self.dynamodb);
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }
}

/// What the emulated S3 takes; the others take any.
pub(crate) fn credentials() -> Credentials {
    Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "moondrop-local")
}
