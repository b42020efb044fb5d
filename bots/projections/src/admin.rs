//! The admin port: `/healthz`, `/readyz` and `/metrics` over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::gauges::Gauges;

/// Serves until the handle is dropped.
pub(crate) async fn serve(
    address: SocketAddr,
    gauges: Arc<Gauges>,
) -> std::io::Result<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(address).await?;
    let (ready, metrics) = (Arc::clone(&gauges), gauges);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || match ready.ready() {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            }),
        )
        .route(
            "/metrics",
            get(async move || {
                let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                (kind, metrics.exposition()).into_response()
            }),
        );
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin port has ended");
        }
    })))
}
