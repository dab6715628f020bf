//! Servers on 127.0.0.1.

use anyhow::{Context, Result};
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Listens on a port, or on any that is free if it is 0; with host and port for clients.
pub(crate) async fn bind(port: u16) -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("listening on port {port}"))?;
    let host_port = listener.local_addr().context("reading the port listened on")?;
    Ok((listener, host_port.to_string()))
}

/// Serves until the token is cancelled, and what is being answered then.
pub(crate) async fn serve(listener: TcpListener, router: Router, ended: CancellationToken) {
    if let Err(error) =
        axum::serve(listener, router).with_graceful_shutdown(ended.cancelled_owned()).await
    {
        tracing::error!(%error, "a server has ended");
    }
}
