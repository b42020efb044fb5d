//! Plain HTTP/3, for curl and scripts: publish, subscribe as an event stream, call, and who the gateway is.
//!
//! [`RESOURCES`] is the whole of it: a resource is one line there and a file beside this one. `HTTP.md` tells
//! users the same.

mod accept;
mod exchange;
mod feed;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod index;
mod payload;
mod problem;
mod publish;
mod query;
mod realm;
mod request;
mod resource;
mod retained;
mod rpc;
mod subscribe;

use crate::hub::Hub;
use crate::origins::Origins;
use crate::schemas::Schemas;
use crate::settings::Settings;
use exchange::{Bodies, Exchange};
use http::{HeaderMap, Method, StatusCode};
use macula_transport::session::RequestStream;
use request::Request;
use resource::Resource;
use std::rc::Rc;

pub(crate) use problem::Problem;
pub(crate) use request::bearer;

/// What there is, by path. HEAD and OPTIONS come of themselves.
const RESOURCES: &[Resource] = &[
    Resource::at("/", "this list").get(|r, x| Box::pin(index::serve(r, x))),
    Resource::at("/v1/realm", "realm and name of this gateway").get(|r, x| Box::pin(realm::serve(r, x))),
    Resource::at("/v1/topics/{topic}", "POST publishes to a topic, GET streams what matches a pattern")
        .get(|r, x| Box::pin(subscribe::serve(r, x)))
        .post(|r, x| Box::pin(publish::serve(r, x))),
    Resource::at("/v1/retained/{pattern}", "the values kept for topics that match a pattern")
        .get(|r, x| Box::pin(retained::serve(r, x))),
    Resource::at("/v1/rpc/{procedure}", "calls a procedure").post(|r, x| Box::pin(rpc::serve(r, x))),
];

/// What all requests of a gateway share.
pub(crate) struct Service {
    pub(crate) hub: Hub,
    pub(crate) schemas: Schemas,
    payload_bytes: usize,
    origins: Origins,
    bodies: Rc<Bodies>,
}

impl Service {
    pub(crate) fn new(hub: Hub, settings: &Settings) -> Self {
        Self {
            hub,
            schemas: settings.schemas.clone(),
            payload_bytes: settings.payload_bytes,
            origins: settings.origins.clone(),
            bodies: Rc::default(),
        }
    }

    /// Refuses pages that are not to be served.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match headers.get("origin") {
            Some(origin) if !self.origins.allow(origin.as_bytes()) => {
                let origin = String::from_utf8_lossy(origin.as_bytes());
                let text = format!("pages of `{origin}` are not served; MACULA_ORIGINS lists those that are");
                Err(Problem::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", text))
            }
            _ => Ok(()),
        }
    }
}

/// Answers one request on `connection`.
pub(crate) async fn serve(
    service: Rc<Service>,
    connection: quinn::Connection,
    head: http::Request<()>,
    stream: RequestStream,
    draining: bool,
) {
    let mut exchange = Exchange::new(stream, &head, service.bodies.clone());
    let answered = match service.check_origin(head.headers()) {
        Err(problem) => Err(problem),
        Ok(()) => {
            exchange.allow_origin(head.headers().get("origin"));
            if draining {
                Err(Problem::draining())
            } else {
                route(&service, connection, &head, &mut exchange).await
            }
        }
    };
    if let Err(problem) = answered {
        exchange.problem(&problem).await;
    }
}

async fn route(
    service: &Service,
    connection: quinn::Connection,
    head: &http::Request<()>,
    exchange: &mut Exchange,
) -> Result<(), Problem> {
    let path = head.uri().path();
    let found = RESOURCES.iter().find_map(|resource| Some((resource, resource.argument(path)?)));
    let Some((resource, argument)) = found else {
        let paths: Vec<&str> = RESOURCES.iter().map(|resource| resource.path).collect();
        let text = format!("there is nothing at `{path}`; there is {}", paths.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", text));
    };
    if head.method() == Method::OPTIONS {
        let wanted = head.headers().get("access-control-request-headers");
        exchange.options(&resource.methods(), wanted).await;
        return Ok(());
    }
    let Some(handler) = resource.handler(head.method()) else {
        let allowed = resource.methods();
        let text = format!("{} is not for {}; use {allowed}", head.method(), resource.path);
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "INVALID_ARGUMENT", text);
        return Err(problem.header("allow", allowed));
    };
    let request = Request::new(service, connection, head, argument)?;
    handler(&request, exchange).await
}
