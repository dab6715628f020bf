//! The event bus.

use crate::event::{EVENT_SOURCE, OutgoingEvent};
use anyhow::{Context, Result, ensure};
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

/// EventBridge takes ten entries a call (Amazon EventBridge API Reference, `PutEvents`).
const ENTRIES_PER_CALL: usize = 10;

/// Moondrop's event bus.
#[derive(Debug, Clone)]
pub struct EventBus {
    client: Client,
    name: String,
}

impl EventBus {
    /// The bus of this name.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        EventBus { client, name }
    }

    /// Puts events on the bus, in as few calls as may be.
    ///
    /// # Errors
    /// If EventBridge does not answer, or does not take all of them: some may then have been put, and putting them again is
    /// harmless, since every receiver looks at the ledger first.
    pub async fn put(&self, announcements: &[OutgoingEvent]) -> Result<()> {
        for chunk in announcements.chunks(ENTRIES_PER_CALL) {
            let entries = chunk.iter().map(|announcement| {
                PutEventsRequestEntry::builder()
                    .event_bus_name(&self.name)
                    .source(EVENT_SOURCE)
                    .detail_type(announcement.detail_type())
                    .detail(announcement.detail().to_string())
                    .build()
            });
            let put = self.client.put_events().set_entries(Some(entries.collect())).send().await.context("put events")?;
            let code = put.entries().iter().find_map(|e| e.error_code()).unwrap_or("no code");
            ensure!(put.failed_entry_count() == 0, "EventBridge took not all of {} events: {code}", chunk.len());
        }
        Ok(())
    }
}
