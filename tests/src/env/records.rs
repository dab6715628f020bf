//! The ledger's records, looked at and changed past the functions: time does not pass in a test,
//! records are aged instead.

use super::{Env, Servers};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use moondrop_local::aws::TABLE;
use moondrop_shared::part::PartRecord;
use moondrop_shared::source::DropId;
use std::collections::HashMap;

pub type Item = HashMap<String, AttributeValue>;

/// A record's key.
struct Key {
    pk: String,
    sk: String,
}

impl Key {
    fn of_drop(id: &DropId) -> Key {
        Key { pk: format!("DROP#{id}"), sk: "META".to_owned() }
    }

    fn of_part(id: &DropId, number: u32) -> Key {
        Key { pk: format!("DROP#{id}"), sk: format!("PART#{number:05}") }
    }
}

impl<S: Servers> Env<S> {
    /// Sets an attribute of a part's record to a time so many minutes ago.
    pub async fn age_part(&self, (id, number): (&DropId, u32), attribute: &str, minutes: i64) {
        self.set(Key::of_part(id, number), attribute, minutes_ago(minutes)).await;
    }

    /// Sets an attribute of the drop's record to a time so many minutes ago.
    pub async fn age_drop(&self, id: &DropId, attribute: &str, minutes: i64) {
        self.set(Key::of_drop(id), attribute, minutes_ago(minutes)).await;
    }

    /// Has a part's job absent for so many hours, up to now, as ticks of poll would have noted it.
    pub async fn absent_for(&self, id: &DropId, number: u32, hours: u64) {
        self.age_part((id, number), "absent_at", 0).await;
        let seconds = AttributeValue::N((hours * 3600).to_string());
        self.set(Key::of_part(id, number), "absent_seconds", seconds).await;
    }

    async fn set(&self, key: Key, attribute: &str, value: AttributeValue) {
        let update = self.aws().dynamodb().update_item().table_name(TABLE);
        let update =
            update.key("pk", AttributeValue::S(key.pk)).key("sk", AttributeValue::S(key.sk));
        let update =
            update.update_expression("SET #a = :value").expression_attribute_names("#a", attribute);
        update.expression_attribute_values(":value", value).send().await.unwrap();
    }

    /// Pauses the stack, or ends the pause, as `infra/pause` and `infra/resume` do.
    pub async fn set_paused(&self, is_paused: bool) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let table = self.aws().dynamodb();
        if is_paused {
            let put = table.put_item().table_name(TABLE).item("pk", text("STACK"));
            let put = put.item("sk", text("PAUSED"));
            put.item("paused_at", text("2026-11-30T09:00:00Z")).send().await.unwrap();
        } else {
            let delete = table.delete_item().table_name(TABLE).key("pk", text("STACK"));
            delete.key("sk", text("PAUSED")).send().await.unwrap();
        }
    }

    /// Writes another record in a part's place.
    pub async fn replace_part(&self, part: &PartRecord) {
        let key = Key::of_part(&part.drop, part.plan.number);
        let mut item: Item = serde_dynamo::to_item(part).unwrap();
        let now = Timestamp::now().to_string();
        for (name, value) in
            [("pk", key.pk), ("sk", key.sk), ("open", "PART".to_owned()), ("open_since", now)]
        {
            item.insert(name.to_owned(), AttributeValue::S(value));
        }
        self.put_item(item).await;
    }

    pub async fn put_item(&self, item: Item) {
        self.aws()
            .dynamodb()
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    /// Every record of the ledger.
    pub async fn all_items(&self) -> Vec<Item> {
        self.aws()
            .dynamodb()
            .scan()
            .table_name(TABLE)
            .send()
            .await
            .unwrap()
            .items
            .unwrap_or_default()
    }
}

fn minutes_ago(minutes: i64) -> AttributeValue {
    AttributeValue::S((Timestamp::now() - SignedDuration::from_mins(minutes)).to_string())
}
