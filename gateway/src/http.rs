//! Plain HTTP/3, for curl and scripts: publish, subscribe as an event stream, call, and who the gateway is.
//!
//! [`RESOURCES`] is the whole of it: a resource is one line there and a file beside this one. `HTTP.md` tells
//! users the same.

mod exchange;
mod index;
mod problem;
mod publish;
mod realm;
mod request;
mod resource;
mod rpc;
mod subscribe;

use crate::hub::Hub;
use exchange::Exchange;
use http::{Method, StatusCode};
use macula_transport::session::RequestStream;
use problem::Problem;
use request::Request;
use resource::Resource;

/// What there is, by path. HEAD and OPTIONS come of themselves.
const RESOURCES: &[Resource] = &[
    Resource::at("/", "this list").get(|r, x| Box::pin(index::serve(r, x))),
    Resource::at("/v1/realm", "realm and name of this gateway").get(|r, x| Box::pin(realm::serve(r, x))),
    Resource::at("/v1/topics/{topic}", "POST publishes to a topic, GET streams what matches a pattern")
        .get(|r, x| Box::pin(subscribe::serve(r, x)))
        .post(|r, x| Box::pin(publish::serve(r, x))),
    Resource::at("/v1/rpc/{procedure}", "calls a procedure").post(|r, x| Box::pin(rpc::serve(r, x))),
];

/// Answers one request.
pub(crate) async fn serve(hub: Hub, head: http::Request<()>, stream: RequestStream, draining: bool) {
    let mut exchange = Exchange::new(stream, head.method() == Method::HEAD);
    let answered = if draining {
        Err(Problem::unavailable("this gateway is about to stop").retry_after(1))
    } else {
        route(&hub, &head, &mut exchange).await
    };
    if let Err(problem) = answered {
        exchange.problem(&problem).await;
    }
}

async fn route(hub: &Hub, head: &http::Request<()>, exchange: &mut Exchange) -> Result<(), Problem> {
    if let Some(origin) = head.headers().get("origin")
        && !is_loopback_page(origin.as_bytes())
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "PERMISSION_DENIED",
            "pages of this origin are not served",
        ));
    }
    let path = head.uri().path();
    let found = RESOURCES.iter().find_map(|resource| Some((resource, resource.argument(path)?)));
    let Some((resource, argument)) = found else {
        let paths: Vec<&str> = RESOURCES.iter().map(|resource| resource.path).collect();
        let text = format!("there is nothing at `{path}`; there is {}", paths.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", text));
    };
    if head.method() == Method::OPTIONS {
        exchange.options(&resource.methods()).await;
        return Ok(());
    }
    let Some(handler) = resource.handler(head.method()) else {
        let allowed = resource.methods();
        let text = format!("{} is not for {}; use {allowed}", head.method(), resource.path);
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "INVALID_ARGUMENT", text);
        return Err(problem.header("allow", allowed));
    };
    let request = Request::new(hub, head, argument)?;
    handler(&request, exchange).await
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
