//! Which parts of a drop are left: sets of their numbers, so that who stores a part's rows learns
//! whether it was the last one without reading all others.
//!
//! ```text
//! DROP#<id>  LEFT#000   left = {1 … 256}        put before the drop is planned
//!            LEFT#001   left = {257 … 512}      each collected part is taken out; no `left`: none is left
//! ```
//!
//! The sets only suggest that all parts are collected. A part may be collected and not taken out, if
//! who did it was killed in between: so one consistent query of the parts decides, and poll asks for
//! it if nobody else does. A drop without sets was planned by an earlier release.

use super::item::{drop_key, keyed, text};
use super::update::Update;
use super::{Ledger, WRITES_AT_ONCE};
use crate::source::DropId;
use anyhow::{Context, Result};
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

/// How many parts a set has: so few that a set of them is one read and one write unit.
const PARTS_A_SET: u32 = 256;

const PREFIX: &str = "LEFT#";

fn set_key(set: u32) -> String {
    format!("{PREFIX}{set:03}")
}

fn set_of(part: u32) -> u32 {
    part.saturating_sub(1) / PARTS_A_SET
}

impl Ledger {
    /// Records that all parts, up to this number, are left; existing sets are not changed.
    pub async fn put_left(&self, drop_id: &DropId, parts: u32) -> Result<()> {
        let sets = if parts == 0 { 0 } else { set_of(parts) + 1 };
        stream::iter(0..sets)
            .map(|set| async move {
                let first = set * PARTS_A_SET + 1;
                let last = parts.min(first + PARTS_A_SET - 1);
                let numbers = (first..=last).map(|number| number.to_string()).collect();
                let mut item = keyed(&json!({}), drop_id, &set_key(set))?;
                item.insert("left".to_owned(), AttributeValue::Ns(numbers));
                self.put_new(item).await.map(|_| ())
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await
    }

    /// Takes a collected part out; doing it twice changes nothing. Returns whether no part may be left.
    pub async fn take_out(&self, drop_id: &DropId, part: u32) -> Result<bool> {
        let update = Update::of(drop_id, &set_key(set_of(part))).take_number("left", part);
        let (_, set) = self.write(update.only_if("attribute_exists(pk)")).await?;
        if set.is_empty() {
            return Ok(true);
        }
        Ok(!set.contains_key("left") && self.is_none_left(drop_id).await?)
    }

    async fn is_none_left(&self, drop_id: &DropId) -> Result<bool> {
        let mut sets = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&drop_key(drop_id)))
            .expression_attribute_values(":prefix", text(PREFIX))
            .into_paginator()
            .items()
            .send();
        while let Some(set) = sets.next().await {
            if set.context("query which parts are left")?.contains_key("left") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
