//! The protocol that EventBridge and Secrets Manager share: JSON, with the operation in a header.

use super::events::{Buses, check};
use super::secrets::Secrets;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Api {
    buses: Arc<Buses>,
    secrets: Arc<Secrets>,
}

pub(crate) fn router(buses: Arc<Buses>, secrets: Arc<Secrets>) -> Router {
    Router::new().fallback(answer).with_state(Api { buses, secrets })
}

async fn answer(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refusal("SerializationException", "The body is not JSON");
    };
    match headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
        Some("AWSEvents.PutEvents") => match check(&request, Timestamp::now()) {
            Ok(put) => {
                put.events.iter().for_each(|(bus, event)| api.buses.publish(bus, event));
                json_response(StatusCode::OK, &put.answer)
            }
            Err(message) => refusal("ValidationException", &message),
        },
        Some("secretsmanager.GetSecretValue") => match api.secrets.get(&request) {
            Some(answer) => json_response(StatusCode::OK, &answer),
            None => refusal(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
            ),
        },
        _ => {
            refusal("UnknownOperationException", "The local stack has PutEvents and GetSecretValue")
        }
    }
}

fn refusal(kind: &str, message: &str) -> Response {
    json_response(StatusCode::BAD_REQUEST, &json!({"__type": kind, "message": message}))
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string())
        .into_response()
}
