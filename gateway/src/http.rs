//! Plain HTTP/3, for curl and scripts: publish, subscribe as an event stream, call, and who the gateway is.

mod exchange;
mod problem;
mod publish;
mod rpc;
mod subscribe;

use crate::hub::Hub;
use exchange::Exchange;
use http::{Method, StatusCode};
use macula_transport::session::RequestStream;
use problem::Problem;

/// Answers one request.
pub(crate) async fn serve(hub: Hub, request: http::Request<()>, stream: RequestStream, draining: bool) {
    let mut exchange = Exchange::new(stream);
    let answered = if draining {
        Err(Problem::unavailable("this gateway is about to stop").retry_after(1))
    } else {
        route(&hub, &request, &mut exchange).await
    };
    if let Err(problem) = answered {
        exchange.problem(&problem).await;
    }
}

async fn route(hub: &Hub, request: &http::Request<()>, exchange: &mut Exchange) -> Result<(), Problem> {
    if let Some(origin) = request.headers().get("origin")
        && !is_loopback_page(origin.as_bytes())
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "PERMISSION_DENIED",
            "pages of this origin are not served",
        ));
    }
    let path = request.uri().path();
    let argument = |prefix| path.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(decoded);
    if path == "/v1/realm" {
        allow(request, &[Method::GET])?;
        let identity = hub.identity();
        let body = serde_json::json!({
            "realm": identity.realm,
            "version": env!("CARGO_PKG_VERSION"),
            "gateway": identity.name,
            "node": identity.node.to_string(),
            "epoch": identity.epoch,
        });
        exchange.json(StatusCode::OK, &body).await;
        return Ok(());
    }
    if let Some(name) = argument("/v1/topics/") {
        allow(request, &[Method::GET, Method::POST])?;
        return match *request.method() {
            Method::POST => publish::serve(hub, &name?, request, exchange).await,
            _ => subscribe::serve(hub, &name?, exchange).await,
        };
    }
    if let Some(name) = argument("/v1/rpc/") {
        allow(request, &[Method::POST])?;
        return rpc::serve(hub, &name?, request, exchange).await;
    }
    let text = format!("there is nothing at `{path}`; see /v1/topics/…, /v1/rpc/… and /v1/realm");
    Err(Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", text))
}

fn allow(request: &http::Request<()>, methods: &[Method]) -> Result<(), Problem> {
    if methods.contains(request.method()) {
        return Ok(());
    }
    let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let text = format!("{} is not for this path; use {allowed}", request.method());
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "INVALID_ARGUMENT", text).header("allow", allowed))
}

fn decoded(text: &str) -> Result<String, Problem> {
    let name = percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::invalid("the path is no UTF-8 after percent-decoding"))?;
    if name.ends_with('.') {
        return Err(Problem::invalid(format!("`{name}` ends with a dot; in a path, write # as %23")));
    }
    Ok(name.into_owned())
}

/// A page that this machine itself serves; any other could open a session to a local gateway behind a user's back.
pub(crate) fn is_loopback_page(origin: &[u8]) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some((_, rest)) = origin.split_once("://") else { return false };
    let host = match rest.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_pages_of_this_machine_are_loopback_pages() {
        for origin in ["http://localhost:4000", "https://127.0.0.1", "http://[::1]:80", "http://x.localhost"]
        {
            assert!(super::is_loopback_page(origin.as_bytes()), "{origin}");
        }
        for origin in
            ["https://example.com", "null", "http://localhost.example.com", "http://127.0.0.1.nip.io"]
        {
            assert!(!super::is_loopback_page(origin.as_bytes()), "{origin}");
        }
    }
}
