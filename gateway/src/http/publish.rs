//! `POST /v1/topics/{topic}`: the body is published.

use super::exchange::Exchange;
use super::problem::Problem;
use super::request::Request;
use crate::local::Local;
use http::StatusCode;
use macula_proto::Topic;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Accepted, Header, Message, Ping, Publish, PublishRefused, TopicAlias};
use prost::Message as _;

/// Request headers that travel with the message as they are.
const CARRIED: [&str; 2] = ["traceparent", "tracestate"];
/// What the names of further headers of the message begin with.
pub(super) const HEADER_PREFIX: &str = "macula-header-";

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let topic: Topic = request.argument().parse().map_err(|error| Problem::invalid(format!("{error}")))?;
    let (class, stream) = match request.header("macula-class") {
        "" | "event" => ("event", StreamKind::Event),
        "telemetry" => ("telemetry", StreamKind::Telemetry),
        other => return Err(Problem::invalid(format!("macula-class is event or telemetry, not `{other}`"))),
    };
    let message = Message {
        key: request.header("macula-key").to_owned(),
        retain: request.flag("macula-retain")?,
        remove: request.flag("macula-remove")?,
        time_to_live_ms: request.millis("macula-ttl-ms")?,
        headers: headers(request),
        ..Message::default()
    };
    let mut local = request.open()?;
    let payload = request.payload(exchange).await?;
    if stream == StreamKind::Event {
        // Nobody sends it again when this gateway dies before the others have heard of it.
        request.hub().met().await;
    }
    let alias = TopicAlias { alias: 1, topic: topic.to_string(), content_type: payload.content_type };
    local.send(stream, kind::TOPIC_ALIAS, &alias);
    let message = Message { payload: payload.bytes, ..message };
    let report = stream == StreamKind::Event;
    local.send(stream, kind::PUBLISH, &Publish { topic: 1, sequence: 1, message: Some(message), report });
    let matches = accepted(&mut local, stream).await?;
    let mut body = serde_json::json!({ "topic": topic.to_string(), "class": class });
    if let Some(matches) = matches {
        body["matches"] = matches.into();
    }
    exchange.json(StatusCode::ACCEPTED, &body).await;
    Ok(())
}

pub(super) fn headers(request: &Request<'_>) -> Vec<Header> {
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    let carried =
        CARRIED.iter().map(|name| (*name, request.header(name))).filter(|(_, value)| !value.is_empty());
    carried.chain(request.headers_under(HEADER_PREFIX)).map(|(name, value)| header(name, value)).collect()
}

/// Waits until the gateway holds the event for all its subscribers, and gives their number; of telemetry only until
/// it has been looked at.
async fn accepted(local: &mut Local, stream: StreamKind) -> Result<Option<u32>, Problem> {
    // Control frames are answered in order, so the pong comes after a refusal.
    local.send(StreamKind::Control, kind::PING, &Ping { nonce: 1 });
    loop {
        let next = local.next(&[StreamKind::Control]).await;
        let (_, kind, body) = next.map_err(|closing| Problem::of(closing.code, closing.message))?;
        match kind {
            kind::ACCEPTED => return Ok(Accepted::decode(body).unwrap_or_default().matches),
            kind::PONG if stream == StreamKind::Telemetry => return Ok(None),
            kind::PUBLISH_REFUSED => {
                let refused = PublishRefused::decode(body).unwrap_or_default();
                return Err(Problem::of(refused.code(), refused.message));
            }
            _ => {}
        }
    }
}
