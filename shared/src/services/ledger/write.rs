//! Conditional writes.

use super::Ledger;
use super::item::{Item, read, text};
use super::update::Update;
use anyhow::{Result, ensure};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::de::DeserializeOwned;

/// The outcome of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<T> {
    /// The current record.
    pub record: T,
    /// Whether this write took effect, rather than an earlier one of another attempt.
    pub ours: bool,
}

impl Ledger {
    /// Puts a record if there is none; otherwise returns the existing one.
    pub(super) async fn put_new(&self, item: Item) -> Result<Option<Item>> {
        let keys = [item.get("pk"), item.get("sk")]
            .map(|key| key.and_then(|key| key.as_s().ok()).cloned().unwrap_or_default());
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = put
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match put {
            Ok(_) => Ok(None),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    match refused.item.clone() {
                        Some(item) => Ok(Some(item)),
                        None => self.item(&keys[0], &keys[1]).await,
                    }
                }
                _ => Err(anyhow::Error::new(error).context("put a record in the ledger")),
            },
        }
    }

    /// Makes a conditional write of a record.
    pub(super) async fn update<T: DeserializeOwned>(&self, update: Update) -> Result<Recorded<T>> {
        let name = format!("the record {} {} is not in the ledger", update.pk, update.sk);
        let (ours, item) = self.write(update).await?;
        ensure!(!item.is_empty(), name);
        Ok(Recorded { record: read(item)?, ours })
    }

    /// Makes a conditional write; returns whether it is ours, and the current item. This is the one
    /// place that distinguishes a refused write from one that took effect and whose answer was
    /// lost.
    pub(super) async fn write(&self, mut update: Update) -> Result<(bool, Item)> {
        let writer = update.writer.map(|attribute| (attribute, self.writers.next()));
        if let Some((attribute, name)) = &writer {
            update = update.set(attribute, name)?;
        }
        let written = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&update.pk))
            .key("sk", text(&update.sk))
            .update_expression(update.expression())
            .set_condition_expression(
                Some(update.condition.clone()).filter(|condition| !condition.is_empty()),
            )
            .set_expression_attribute_names(Some(update.names()))
            .set_expression_attribute_values(Some(update.values).filter(|v| !v.is_empty()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let refused = match written {
            Ok(written) => return Ok((true, written.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    refused.item.clone()
                }
                _ => return Err(anyhow::Error::new(error).context("update a record in the ledger")),
            },
        };
        // The refusal has no item if the record does not exist.
        let current = match refused {
            Some(item) => item,
            None => self.item(&update.pk, &update.sk).await?.unwrap_or_default(),
        };
        let ours = writer.is_some_and(|(attribute, name)| {
            current.get(attribute).is_some_and(|by| *by == text(&name))
        });
        Ok((ours, current))
    }
}

/// Whether a conditional write took effect; a failed condition is no error.
pub(super) fn condition_held<T, E, R>(result: Result<T, SdkError<E, R>>, what: &str) -> Result<bool>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(true),
        Err(e)
            if e.as_service_error().and_then(|e| e.code())
                == Some("ConditionalCheckFailedException") =>
        {
            Ok(false)
        }
        Err(e) => Err(anyhow::Error::new(e).context(format!("{what} in the ledger"))),
    }
}
