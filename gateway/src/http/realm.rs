//! `GET /v1/realm`: who this gateway is.

use super::exchange::Exchange;
use super::problem::Problem;
use super::request::Request;
use http::StatusCode;

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    request.choose(&["application/json"])?;
    let identity = request.hub().identity();
    let body = serde_json::json!({
        "realm": identity.realm,
        "version": env!("CARGO_PKG_VERSION"),
        "gateway": identity.name,
        "node": identity.node.to_string(),
        "epoch": identity.epoch,
    });
    exchange.json(StatusCode::OK, &body).await;
    Ok(())
}
