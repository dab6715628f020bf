//! `submit`: an object was dropped. Checks the whole file, plans its parts, and feeds each to a batch job of its own.
//!
//! It is called through a queue, at least once for each drop and perhaps at the same time. What it finds in the ledger says
//! what is left to do, so a call is a resumption as much as a beginning. A bad file is reported, and answered `Ok`; `Err` goes
//! back to the queue and means that trying again may help.

mod check;
mod create;
mod feed;
mod upload;

use anyhow::{Context, Result};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use moondrop_shared::drop::{DropRecord, DropState, Times, object_key};
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::ObjectCreated;
use moondrop_shared::form::SCHEMA;
use moondrop_shared::lifecycle::conclude::conclude;
use moondrop_shared::services::lambda::{Deadline, invocation};
use moondrop_shared::services::s3::drops_bucket;
use moondrop_shared::services::{Services, logs};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing::field::{Empty, display};

/// A batch of queue messages, of which only this is read (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
#[derive(Debug, Deserialize)]
pub struct Messages {
    #[serde(rename = "Records")]
    records: Vec<Message>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: String,
    body: String,
}

/// Which messages are to be delivered again.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    batch_item_failures: Vec<FailedItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedItem {
    item_identifier: String,
}

/// Runs the function: reads the settings, builds the clients, and serves invocations until the process ends.
///
/// # Errors
/// If a setting is missing or bad, or the Runtime API is gone.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    logs::init();
    let services = &Services::from_env().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Messages>| async move {
        let deadline = Deadline::of(&event.context);
        services.ledger.set_request(&event.context.request_id);
        let work = async { Ok(Box::pin(handle(services, event.payload, deadline)).await) };
        invocation(&event.context, &services.metrics, work).await
    }))
    .await
}

/// Carries each announced drop as far as it gets. One message's failure is no other's.
pub async fn handle(services: &Services, messages: Messages, deadline: Deadline) -> Failures {
    let mut failures = Failures::default();
    for message in messages.records {
        let span = tracing::error_span!("message", message_id = message.message_id, drop = Empty);
        let carried = async {
            let carried = Box::pin(carry(services, &message.body, deadline)).await;
            if let Err(error) = &carried {
                tracing::warn!(error = describe(error), "the drop goes back to the queue");
            }
            carried
        };
        if Box::pin(carried.instrument(span)).await.is_err() {
            failures.batch_item_failures.push(FailedItem { item_identifier: message.message_id });
        }
    }
    failures
}

async fn carry(services: &Services, body: &str, deadline: Deadline) -> Result<()> {
    let announced = ObjectCreated::read(body)?;
    if !object_key::is_drop(&announced.detail.object.key) {
        return Ok(());
    }
    let Some(new) = describe_drop(services, announced).await? else { return Ok(()) };
    tracing::Span::current().record("drop", display(&new.id));
    let mut meta = services.ledger.accept(new).await?;
    let id = meta.id.clone();
    if meta.state.is_final() {
        return if meta.closed_at.is_none() { conclude(services, &meta).await } else { Ok(()) };
    }
    if meta.trouble.take().is_some() {
        // What it waited for is about to be tried again.
        services.ledger.note_trouble(&meta).await?;
    }
    services.ledger.touch(&meta, Timestamp::now()).await?;
    if meta.state == DropState::Checking {
        services.reporter.try_report(&id, 0).await;
        if let Err(error) = check::check_and_plan(services, &mut meta, deadline).await {
            meta.trouble = Some(check::trouble(&error));
            services.ledger.note_trouble(&meta).await?;
            services.reporter.try_report(&id, 0).await;
            return Err(error.context(format!("check the drop {id}")));
        }
        if meta.state.is_final() {
            return conclude(services, &meta).await;
        }
    }
    feed::feed(services, &mut meta, deadline).await.with_context(|| format!("feed the drop {id}"))
}

/// The record a drop begins with; `None` if its object is gone and was never known in full.
async fn describe_drop(services: &Services, announced: ObjectCreated) -> Result<Option<DropRecord>> {
    let ObjectCreated { time, mut detail } = announced;
    let source = match detail.source() {
        Some(source) => source,
        None => {
            let object = &detail.object;
            match drops_bucket::head(&services.s3, &detail.bucket.name, &object.key, object.version()).await {
                // What the event says stands: another object in its place is not the one that was announced.
                Ok((etag, size)) => {
                    detail.object.etag.get_or_insert(etag);
                    detail.object.size.get_or_insert(size);
                }
                Err(error) if drops_bucket::is_gone(&error) => {
                    tracing::warn!("an announced object is gone, and its event did not say enough to know it by");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            detail.source().context("an object without ETag or size")?
        }
    };
    let settings = &services.settings;
    let now = Timestamp::now();
    Ok(Some(DropRecord {
        schema: SCHEMA,
        id: source.id(),
        policy: settings.policy_for(object_key::policy_folder(&source.key)),
        folder: object_key::results_folder(&source.key, time, None),
        source,
        dropped_at: time,
        limits: settings.limits,
        on_bad_rows: settings.on_bad_rows,
        state: DropState::Checking,
        plan: None,
        trouble: None,
        refused_since: None,
        invalid_since: None,
        times: Times { accepted_at: Some(now), ..Times::default() },
        touched_at: now,
        results_bytes: None,
        closed_at: None,
    }))
}
