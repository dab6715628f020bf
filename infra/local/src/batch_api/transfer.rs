//! Where pre-signed URLs lead: inputs come in and outputs go out as with S3, and are refused as S3
//! does, in XML.

use super::quirk::Quirk;
use super::shared::Shared;
use super::sign::Refused;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// A refused body is still read up to this length, twice a part's 32 MiB: on loopback it takes no
/// time, and a client that is sending reads the refusal only then, rather than a connection reset.
const DRAINED: u64 = 64 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

pub(super) fn routes() -> Router<Arc<Shared>> {
    // Any method, as the method is signed: another one is a signature that does not match.
    Router::new().route("/upload/{id}", any(upload)).route("/download/{id}", any(download))
}

/// An S3 error.
struct Refusal(StatusCode, &'static str, &'static str);

impl Refusal {
    const NO_SUCH_KEY: Self =
        Self(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
    const INCOMPLETE: Self = Self(
        StatusCode::BAD_REQUEST,
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    );
    const INTERNAL: Self = Self(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "We encountered an internal error. Please try again.",
    );

    fn internal(error: &std::io::Error) -> Self {
        tracing::error!(%error, "the sandbox could not keep or read a file");
        Self::INTERNAL
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let forbidden = StatusCode::FORBIDDEN;
        match refused {
            Refused::Unsigned => Self(forbidden, "AccessDenied", "Access Denied"),
            Refused::Expired => Self(forbidden, "AccessDenied", "Request has expired"),
            Refused::Malformed => Self(
                StatusCode::BAD_REQUEST,
                "AuthorizationQueryParametersError",
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
                 X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            ),
            Refused::Mismatch => Self(
                forbidden,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and \
                 signing method.",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let request = format!("{:016X}", fastrand::u64(..));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request}</RequestId></Error>"
        );
        (status, [(CONTENT_TYPE, "application/xml")], body).into_response()
    }
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let admitted = admit(&shared, &parts).and_then(|()| length_of(&parts));
    match admitted {
        Ok(length) => match receive(&shared, &id, length, body).await {
            Ok(etag) => [(ETAG, etag)].into_response(),
            Err(refusal) => refusal.into_response(),
        },
        Err(refusal) => {
            // One that waits for `100 Continue` has not sent a byte, and must not be asked to.
            if !parts.headers.contains_key(EXPECT) {
                drain(body).await;
            }
            refusal.into_response()
        }
    }
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    match admit(&shared, &parts) {
        Ok(()) => send(&shared, &id).await.unwrap_or_else(Refusal::into_response),
        Err(refusal) => refusal.into_response(),
    }
}

/// What S3 asks of every request to a pre-signed URL.
fn admit(shared: &Shared, parts: &Parts) -> Result<(), Refusal> {
    if parts.headers.contains_key(AUTHORIZATION) {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter \
             or the Authorization header should be specified",
        ));
    }
    if shared.has(Quirk::SignedContentType)
        && parts.method == Method::PUT
        && !parts.headers.contains_key(CONTENT_TYPE)
    {
        return Err(Refused::Mismatch.into());
    }
    Ok(shared.signer.check(&parts.method, &parts.uri, shared.clock.now())?)
}

/// The length, which a PUT has to declare.
fn length_of(parts: &Parts) -> Result<u64, Refusal> {
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        ));
    }
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).ok_or(Refusal(
        StatusCode::LENGTH_REQUIRED,
        "MissingContentLength",
        "You must provide the Content-Length HTTP header.",
    ))
}

/// Stores a whole body as the job's input, or nothing of it.
async fn receive(shared: &Shared, id: &str, length: u64, body: Body) -> Result<String, Refusal> {
    let unfinished = shared.store.unfinished();
    let mut file =
        File::create(unfinished.path()).await.map_err(|error| Refusal::internal(&error))?;
    let mut received = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::INCOMPLETE)?;
        received += chunk.len() as u64;
        file.write_all(&chunk).await.map_err(|error| Refusal::internal(&error))?;
    }
    if received != length {
        return Err(Refusal::INCOMPLETE);
    }
    file.flush().await.map_err(|error| Refusal::internal(&error))?;
    drop(file);

    let in_time = shared.store.take_input(id, unfinished, shared.clock.now());
    let in_time = in_time.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::NO_SUCH_KEY,
        _ => Refusal::internal(&error),
    })?;
    if in_time {
        shared.bell.notify_one();
    } else {
        tracing::warn!(job = id, "an upload came after its job had started, and does nothing");
    }
    Ok(format!("\"{:032x}\"", fastrand::u128(..)))
}

/// A job's output, from disk.
async fn send(shared: &Shared, id: &str) -> Result<Response, Refusal> {
    let file = File::open(shared.store.output(id)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::NO_SUCH_KEY,
        _ => Refusal::internal(&error),
    })?;
    let length = file.metadata().await.map_err(|error| Refusal::internal(&error))?.len();
    let counted = shared.store.change(id, |job| {
        job.fetches += 1;
        job.fetches
    });
    let fetches = counted.map_err(|error| Refusal::internal(&error))?.unwrap_or_default();
    let second = shared.has(Quirk::OtherBytes) && fetches.is_multiple_of(2);
    let more: &'static [u8] = if second { b"\n" } else { b"" };
    let (file, length) = (file.chain(more), length + more.len() as u64);
    let headers: [(HeaderName, String); 2] =
        [(CONTENT_TYPE, "text/csv".to_owned()), (CONTENT_LENGTH, length.to_string())];
    let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK));
    Ok((headers, body).into_response())
}

async fn drain(body: Body) {
    let mut left = DRAINED;
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        left = match left.checked_sub(chunk.len() as u64) {
            Some(left) => left,
            None => return,
        };
    }
}
