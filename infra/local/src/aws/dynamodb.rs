//! DynamoDB: dynoxide on a SQLite file, and the ledger's table in it.

use super::names::{INDEX, TABLE};
use anyhow::{Context, Result, anyhow};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use dynoxide::Database;
use std::path::Path;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Opens the database, which is created if it is not there.
pub(crate) fn open(file: &Path) -> Result<Database> {
    let path = file.to_str().with_context(|| format!("{} is not UTF-8", file.display()))?;
    // dynoxide keeps SQLite in WAL mode: what was answered outlives a kill.
    Database::new(path).map_err(|e| anyhow!("opening {}: {e}", file.display()))
}

/// Serves DynamoDB's protocol until `ended`.
pub(crate) async fn serve(listener: TcpListener, database: Database, ended: CancellationToken) {
    if let Err(error) =
        dynoxide::server::serve_with_shutdown(listener, database, ended.cancelled_owned()).await
    {
        tracing::error!(error, "DynamoDB has ended");
    }
}

/// Creates the ledger's table if it is not there.
pub(crate) async fn create_table(client: &Client) -> Result<()> {
    let attributes = ["pk", "sk", "open", "open_since"].map(|name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
    });
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .key_schema(key("open", KeyType::Hash)?)
        .key_schema(key("open_since", KeyType::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()?;
    let created = client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes.into_iter().collect::<Result<_, _>>()?))
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?)
        .global_secondary_indexes(index)
        .send()
        .await;
    match created.map_err(aws_sdk_dynamodb::Error::from) {
        Ok(_) | Err(aws_sdk_dynamodb::Error::ResourceInUseException(_)) => Ok(()),
        Err(error) => Err(error).context("creating the table"),
    }
}
