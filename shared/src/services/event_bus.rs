//! Moondrop's event bus on EventBridge.

use crate::event::{EVENT_SOURCE, OutgoingEvent};
use anyhow::{Context, Result, ensure};
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

/// EventBridge takes at most ten entries per call (Amazon EventBridge API Reference, `PutEvents`).
const ENTRIES_PER_CALL: usize = 10;

#[derive(Debug, Clone)]
pub struct EventBus {
    client: Client,
    name: String,
}

impl EventBus {
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        EventBus { client, name }
    }

    /// Puts events on the bus.
    ///
    /// # Errors
    /// If EventBridge does not answer, or does not accept all of them. Some may be on the bus then;
    /// putting them again is harmless, since every receiver reads the ledger first.
    pub async fn put(&self, events: &[OutgoingEvent]) -> Result<()> {
        for chunk in events.chunks(ENTRIES_PER_CALL) {
            let entries = chunk.iter().map(|event| {
                PutEventsRequestEntry::builder()
                    .event_bus_name(&self.name)
                    .source(EVENT_SOURCE)
                    .detail_type(event.detail_type())
                    .detail(event.detail().to_string())
                    .build()
            });
            let put = self
                .client
                .put_events()
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .context("put events")?;
            let code = put.entries().iter().find_map(|e| e.error_code()).unwrap_or("no code");
            ensure!(
                put.failed_entry_count() == 0,
                "EventBridge did not accept all of {} events: {code}",
                chunk.len()
            );
        }
        Ok(())
    }
}
