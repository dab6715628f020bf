//! The table's items and the records in them.

use crate::form::SCHEMA;
use crate::source::DropId;
use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

pub(super) type Item = HashMap<String, AttributeValue>;

/// Reads a record. Its version is checked before anything else: a record of another version is
/// refused, see [`crate::form::SCHEMA`].
pub(super) fn read<T: DeserializeOwned>(item: Item) -> Result<T> {
    let attribute =
        |key: &str| item.get(key).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    let name = format!("the record {} {}", attribute("pk"), attribute("sk"));
    // A sweep has had the same fields in every release, and outlives its drop.
    if attribute("sk") != super::SWEEP {
        check_form(&item, &name)?;
    }
    serde_dynamo::from_item(item).with_context(|| format!("{name} cannot be read"))
}

fn check_form(item: &Item, name: &str) -> Result<()> {
    // The first releases did not write it.
    let form = match item.get("schema") {
        None => Some(1),
        Some(value) => value.as_n().ok().and_then(|form| form.parse::<u32>().ok()),
    };
    let form = form.with_context(|| format!("{name} has a form that is no number"))?;
    let other = if form > SCHEMA { "a newer" } else { "an older" };
    ensure!(
        form == SCHEMA,
        "{name} has form {form}, and this release reads form {SCHEMA}: it is left as it is, for \
         {other} release to continue with it"
    );
    Ok(())
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn drop_key(drop_id: &DropId) -> String {
    format!("DROP#{drop_id}")
}

pub(super) fn part_key(number: u32) -> String {
    format!("PART#{number:05}")
}

pub(super) fn keyed(record: &impl Serialize, drop_id: &DropId, sk: &str) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(record).context("a record cannot be written")?;
    item.insert("pk".to_owned(), text(&drop_key(drop_id)));
    item.insert("sk".to_owned(), text(sk));
    Ok(item)
}

/// Over how many keys of the open index parts are spread: a key takes 1,000 writes a second at most
/// (Amazon DynamoDB Developer Guide, "Quotas"), and a plan may have ten thousands.
const OPEN_KEYS: u32 = 16;

/// The key of a part in the open index.
pub(super) fn open_key(number: u32) -> String {
    format!("PART#{:x}", number % OPEN_KEYS)
}

/// All keys of parts in the open index; the last one is of plans that an earlier release recorded.
pub(super) fn open_keys() -> impl Iterator<Item = String> {
    (0..OPEN_KEYS).map(open_key).chain(["PART".to_owned()])
}

pub(super) fn open(kind: &str, since: Timestamp) -> [(String, AttributeValue); 2] {
    [("open".to_owned(), text(kind)), ("open_since".to_owned(), text(&since.to_string()))]
}
