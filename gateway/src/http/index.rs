//! `GET /`: what there is.

use super::exchange::Exchange;
use super::problem::Problem;
use super::request::Request;
use http::StatusCode;

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    request.choose(&["application/json"])?;
    let resources: Vec<_> = super::RESOURCES
        .iter()
        .map(|resource| {
            serde_json::json!({
                "path": resource.path,
                "methods": resource.methods(),
                "about": resource.about,
            })
        })
        .collect();
    exchange.json(StatusCode::OK, &serde_json::json!({ "resources": resources })).await;
    Ok(())
}
