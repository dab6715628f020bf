//! Reads.

use super::item::{Item, drop_key, part_key, read, text};
use super::{Ledger, META, OPEN_INDEX, SWEEP, Sweep};
use crate::drop::DropRecord;
use crate::part::PartRecord;
use crate::source::DropId;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

/// The open records of one kind.
#[derive(Debug)]
pub struct Open<T> {
    pub records: Vec<T>,
    /// The error of the first one that cannot be read: it is of another version. Such records wait
    /// for the release that reads them, and do not hold back the others.
    pub refused: Result<()>,
}

impl Ledger {
    pub async fn drop_record(&self, drop_id: &DropId) -> Result<Option<DropRecord>> {
        self.get(drop_id, META).await
    }

    pub async fn part(&self, drop_id: &DropId, number: u32) -> Result<Option<PartRecord>> {
        self.get(drop_id, &part_key(number)).await
    }

    /// All parts of a drop, in order.
    pub async fn parts(&self, drop_id: &DropId) -> Result<Vec<PartRecord>> {
        let pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :part)")
            .expression_attribute_values(":pk", text(&drop_key(drop_id)))
            .expression_attribute_values(":part", text("PART#"))
            .into_paginator()
            .items()
            .send();
        let items: Vec<Item> = pages.try_collect().await.context("query the drop's parts")?;
        items.into_iter().map(read).collect()
    }

    /// Every part that is not collected, oldest first. The index lags a little behind the records:
    /// a condition or a consistent read decides again before anything is done.
    pub async fn open_parts(&self) -> Result<Open<PartRecord>> {
        self.open("PART", None).await
    }

    /// Every drop that is not closed; see [`Ledger::open_parts`].
    pub async fn open_drops(&self) -> Result<Open<DropRecord>> {
        self.open("DROP", None).await
    }

    /// The sweeps that are due; see [`Ledger::open_parts`].
    pub async fn due_sweeps(&self, now: Timestamp) -> Result<Open<Sweep>> {
        self.open(SWEEP, Some(now)).await
    }

    async fn open<T: DeserializeOwned>(
        &self,
        kind: &str,
        until: Option<Timestamp>,
    ) -> Result<Open<T>> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OPEN_INDEX)
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":kind", text(kind));
        query = match until {
            None => query.key_condition_expression("#open = :kind"),
            Some(until) => query
                .key_condition_expression("#open = :kind AND open_since <= :until")
                .expression_attribute_values(":until", serde_dynamo::to_attribute_value(until)?),
        };
        let items: Vec<Item> = query
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .context("query what is open")?;
        let mut open = Open { records: Vec::with_capacity(items.len()), refused: Ok(()) };
        for item in items {
            match read(item) {
                Ok(record) => open.records.push(record),
                Err(error) => open.refused = open.refused.and(Err(error)),
            }
        }
        Ok(open)
    }

    async fn get<T: DeserializeOwned>(&self, drop_id: &DropId, sk: &str) -> Result<Option<T>> {
        self.item(&drop_key(drop_id), sk).await?.map(read).transpose()
    }

    pub(super) async fn item(&self, pk: &str, sk: &str) -> Result<Option<Item>> {
        let got = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(pk))
            .key("sk", text(sk))
            .consistent_read(true)
            .send()
            .await
            .with_context(|| format!("get the record {sk}"))?;
        Ok(got.item)
    }
}
