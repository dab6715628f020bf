//! Reads.

use super::item::{Item, drop_key, open_keys, part_key, read, text};
use super::{Ledger, META, OPEN_INDEX, SWEEP, Sweep};
use crate::drop::DropRecord;
use crate::part::PartRecord;
use crate::source::DropId;
use anyhow::{Context, Result};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

/// How many keys of the open index are read at the same time, each with a page in memory.
const KEYS_AT_ONCE: usize = 4;

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
        let mut items = self
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
        // Item by item: as they come they take several times the memory of records.
        let mut parts = Vec::new();
        while let Some(item) = items.next().await {
            parts.push(read(item.context("query the drop's parts")?)?);
        }
        Ok(parts)
    }

    /// Every part that is not collected. The index lags a little behind the records: a condition or
    /// a consistent read decides again before anything is done.
    pub async fn open_parts(&self) -> Result<Open<PartRecord>> {
        let mut keys = stream::iter(open_keys())
            .map(|key| async move { self.open(&key, None).await })
            .buffered(KEYS_AT_ONCE);
        let mut all = Open { records: Vec::new(), refused: Ok(()) };
        while let Some(of_key) = keys.next().await {
            let Open { records, refused } = of_key?;
            all.records.extend(records);
            all.refused = all.refused.and(refused);
        }
        Ok(all)
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
        let mut items = query.into_paginator().items().send();
        let mut open = Open { records: Vec::new(), refused: Ok(()) };
        // As in [`Ledger::parts`].
        while let Some(item) = items.next().await {
            match read(item.context("query what is open")?) {
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
