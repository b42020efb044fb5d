//! `GET /v1/topics/{pattern}`: messages as server-sent events, one JSON object each.

use super::exchange::Exchange;
use super::problem::Problem;
use super::request::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Acknowledged, Code, Dropped, Gap, PublisherAlias, Subscribe, TopicAlias};
use macula_proto::wire;
use prost::Message as _;
use std::collections::HashMap;
use std::time::Duration;

/// A comment is sent after this much silence, so that whoever sits between does not give up.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let mut local = request.open();
    let subscribe =
        Subscribe { subscription: 1, pattern: request.argument().to_owned(), ..Subscribe::default() };
    local.send(StreamKind::Control, kind::SUBSCRIBE, &subscribe);
    loop {
        let (_, kind, body) = local
            .next(&[StreamKind::Control])
            .await
            .map_err(|closing| Problem::of(closing.code, closing.message))?;
        if kind == kind::ACKNOWLEDGED {
            let acknowledged = Acknowledged::decode(body).unwrap_or_default();
            match acknowledged.code() {
                Code::Ok => break,
                code => return Err(Problem::of(code, acknowledged.message)),
            }
        }
    }
    if !exchange.begin("text/event-stream").await {
        return Ok(());
    }
    if request.is_head() {
        exchange.end().await;
        return Ok(());
    }
    let mut aliases = [Aliases::default(), Aliases::default()];
    loop {
        let next = local.next(&[StreamKind::Control, StreamKind::Event, StreamKind::Telemetry]);
        let text = match tokio::time::timeout(HEARTBEAT, next).await {
            Err(_) => ": still here\n\n".to_owned(),
            Ok(Err(_)) | Ok(Ok((StreamKind::Control, kind::MOVING, _))) => break,
            Ok(Ok((StreamKind::Control, ..))) => continue,
            Ok(Ok((stream, kind, body))) => {
                let (index, class) =
                    if stream == StreamKind::Event { (0, "event") } else { (1, "telemetry") };
                match aliases[index].event(class, kind, &body) {
                    Some(text) => text,
                    None => continue,
                }
            }
        };
        if !exchange.piece(text).await {
            break;
        }
    }
    exchange.end().await;
    Ok(())
}

/// What the aliases of a stream stand for.
#[derive(Default)]
struct Aliases {
    topics: HashMap<u32, TopicAlias>,
    publishers: HashMap<u32, PublisherAlias>,
}

impl Aliases {
    /// The server-sent event that a frame makes, if it makes one.
    fn event(&mut self, class: &str, kind: u8, body: &Bytes) -> Option<String> {
        match kind {
            kind::TOPIC_ALIAS => {
                let told = TopicAlias::decode(&body[..]).ok()?;
                self.topics.insert(told.alias, told);
                None
            }
            kind::PUBLISHER_ALIAS => {
                let told = PublisherAlias::decode(&body[..]).ok()?;
                self.publishers.insert(told.alias, told);
                None
            }
            kind::DROPPED => Some(notice("dropped", Dropped::decode(&body[..]).ok()?.count)),
            kind::GAP => Some(notice("gap", Gap::decode(&body[..]).ok()?.count)),
            kind::DELIVER => self.message(class, &wire::Deliver::decode(body).ok()?),
            _ => None,
        }
    }

    fn message(&self, class: &str, deliver: &wire::Deliver<'_>) -> Option<String> {
        let topic = self.topics.get(&deliver.topic)?;
        let publisher = self.publishers.get(&deliver.publisher)?;
        let message = wire::Message::decode(deliver.message).ok()?;
        let mut object = serde_json::json!({
            "topic": topic.topic,
            "key": message.key,
            "class": class,
            "publisher": publisher.publisher.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "epoch": publisher.epoch,
            "sequence": deliver.sequence,
            "content_type": topic.content_type,
        });
        let parsed = topic
            .content_type
            .starts_with("application/json")
            .then(|| serde_json::from_slice(message.payload));
        match parsed {
            Some(Ok(value)) => object["json"] = value,
            _ => object["base64"] = STANDARD.encode(message.payload).into(),
        }
        Some(format!("data: {object}\n\n"))
    }
}

fn notice(event: &str, count: u64) -> String {
    format!("event: {event}\ndata: {{\"count\":{count}}}\n\n")
}
