//! Secrets Manager, as far as the functions ask it.

use super::names::{ACCOUNT, REGION};
use crate::sync::locked;
use crate::uuid::uuid;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The secrets, by id.
#[derive(Debug)]
pub(crate) struct Secrets(Mutex<BTreeMap<String, Secret>>);

#[derive(Debug)]
struct Secret {
    value: SecretString,
    version: String,
    created: Timestamp,
}

impl Secrets {
    pub(crate) fn new(secrets: BTreeMap<String, SecretString>) -> Self {
        let all = Self(Mutex::default());
        secrets.into_iter().for_each(|(id, value)| all.set(id, value));
        all
    }

    /// Gives a secret a new value, as a rotation does.
    pub(crate) fn set(&self, id: String, value: SecretString) {
        locked(&self.0).insert(id, Secret { value, version: uuid(), created: Timestamp::now() });
    }

    /// The answer to `GetSecretValue`, by name or ARN.
    pub(crate) fn get(&self, request: &Value) -> Option<Value> {
        let asked = request["SecretId"].as_str()?;
        let secrets = locked(&self.0);
        let (id, secret) =
            secrets.iter().find(|(id, _)| asked == id.as_str() || asked == arn(id))?;
        Some(json!({
            "ARN": arn(id),
            "Name": id,
            "VersionId": secret.version,
            "VersionStages": ["AWSCURRENT"],
            "SecretString": secret.value.expose_secret(),
            "CreatedDate": secret.created.as_millisecond() as f64 / 1000.0,
        }))
    }
}

/// A secret's ARN, which on AWS ends in six random characters.
fn arn(id: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{id}-000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_secret_has_a_new_value_and_version() {
        let secrets =
            Secrets::new(BTreeMap::from([("api-key".to_owned(), SecretString::from("one"))]));
        let first = secrets.get(&json!({"SecretId": "api-key"})).unwrap();
        secrets.set("api-key".to_owned(), SecretString::from("two"));
        let second = secrets.get(&json!({"SecretId": first["ARN"]})).unwrap();
        assert_eq!(
            (&first["SecretString"], &second["SecretString"]),
            (&json!("one"), &json!("two"))
        );
        assert_ne!(first["VersionId"], second["VersionId"]);
        assert!(secrets.get(&json!({"SecretId": "other"})).is_none());
        assert!(!format!("{secrets:?}").contains("two"));
    }
}
