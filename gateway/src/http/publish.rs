//! `POST /v1/topics/{topic}`: the body is published.

use super::exchange::{Exchange, head};
use super::problem::Problem;
use super::request::Request;
use crate::local::Local;
use bytes::Bytes;
use http::StatusCode;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Message, Publish, PublishRefused, TopicAlias};
use macula_proto::{Topic, limits};
use prost::Message as _;

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let topic: Topic = request.argument().parse().map_err(|error| Problem::invalid(format!("{error}")))?;
    let stream = match request.header("macula-class") {
        "" | "event" => StreamKind::Event,
        "telemetry" => StreamKind::Telemetry,
        other => return Err(Problem::invalid(format!("macula-class is event or telemetry, not `{other}`"))),
    };
    let retain = match request.header("macula-retain") {
        "" | "false" | "0" => false,
        "true" | "1" => true,
        other => return Err(Problem::invalid(format!("macula-retain is true or false, not `{other}`"))),
    };
    let message = Message {
        payload: exchange.body(limits::PAYLOAD_BYTES).await?.into(),
        key: request.header("macula-key").to_owned(),
        retain,
        ..Message::default()
    };
    let mut local = request.open();
    let alias = TopicAlias {
        alias: 1,
        topic: topic.to_string(),
        content_type: request.header("content-type").to_owned(),
    };
    local.send(stream, kind::TOPIC_ALIAS, &alias);
    local.send(
        stream,
        kind::PUBLISH,
        &Publish { topic: 1, sequence: 1, message: Some(message), report: false },
    );
    if stream == StreamKind::Event {
        accepted(&mut local).await?;
    }
    exchange.respond(head(StatusCode::ACCEPTED, "text/plain"), Bytes::new()).await;
    Ok(())
}

/// Waits until the gateway holds the event for all its subscribers.
async fn accepted(local: &mut Local) -> Result<(), Problem> {
    loop {
        let next = local.next(&[StreamKind::Control]).await;
        let (_, kind, body) = next.map_err(|closing| Problem::of(closing.code, closing.message))?;
        match kind {
            kind::ACCEPTED => return Ok(()),
            kind::PUBLISH_REFUSED => {
                let refused = PublishRefused::decode(body).unwrap_or_default();
                return Err(Problem::of(refused.code(), refused.message));
            }
            _ => {}
        }
    }
}
