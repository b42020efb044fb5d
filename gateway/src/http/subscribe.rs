//! `GET /v1/topics/{pattern}`: messages as server-sent events or as lines of JSON, as long as the client reads.

use super::exchange::{Exchange, head};
use super::feed::{Feed, Format, Item};
use super::problem::Problem;
use super::request::Request;
use crate::local::Local;
use http::StatusCode;
use macula_proto::Pattern;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Acknowledged, Code, Overflow, Share, Subscribe};
use prost::Message as _;
use std::time::Duration;

/// A sign of life is sent after this much silence, so that whoever sits between does not give up.
const HEARTBEAT: Duration = Duration::from_secs(15);

const PARAMETERS: &[&str] = &["retained", "group", "share", "events", "telemetry", "block_ms", "limit"];
const POLICIES: [(&str, Overflow); 5] = [
    ("conflate", Overflow::Conflate),
    ("drop_oldest", Overflow::DropOldest),
    ("drop_newest", Overflow::DropNewest),
    ("block", Overflow::Block),
    ("disconnect", Overflow::Disconnect),
];
const SHARES: [(&str, Share); 3] =
    [("hash", Share::Hash), ("round_robin", Share::RoundRobin), ("least_loaded", Share::LeastLoaded)];

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let content_type = request.choose(&[Format::EVENT_STREAM, Format::JSON_LINES])?;
    let pattern: Pattern =
        request.argument().parse().map_err(|error| Problem::invalid(format!("{error}")))?;
    let query = request.query(PARAMETERS)?;
    let limit = query.number::<u64>("limit")?.unwrap_or(u64::MAX);
    let subscribe = Subscribe {
        subscription: 1,
        pattern: pattern.to_string(),
        retained: query.flag("retained")?,
        group: query.text("group").unwrap_or_default().to_owned(),
        share: query.word("share", &SHARES)?.unwrap_or_default().into(),
        events: query.word("events", &POLICIES)?.unwrap_or_default().into(),
        telemetry: query.word("telemetry", &POLICIES)?.unwrap_or_default().into(),
        block_ms: query.number("block_ms")?.unwrap_or_default(),
        ..Subscribe::default()
    };
    if request.is_head() {
        exchange.begin(head(StatusCode::OK, content_type)).await;
        exchange.end().await;
        return Ok(());
    }
    let mut local = request.open()?;
    local.send(StreamKind::Control, kind::SUBSCRIBE, &subscribe);
    acknowledged(&mut local).await?;
    if exchange.begin(head(StatusCode::OK, content_type)).await {
        let feed = Feed::new(request, Format::of(content_type));
        stream(&mut local, exchange, feed, limit).await;
    }
    Ok(())
}

async fn acknowledged(local: &mut Local) -> Result<(), Problem> {
    loop {
        let next = local.next(&[StreamKind::Control]).await;
        let (_, kind, body) = next.map_err(|closing| Problem::of(closing.code, closing.message))?;
        if kind == kind::ACKNOWLEDGED {
            let acknowledged = Acknowledged::decode(body).unwrap_or_default();
            return match acknowledged.code() {
                Code::Ok => Ok(()),
                code => Err(Problem::of(code, acknowledged.message)),
            };
        }
    }
}

/// Sends what comes until the client or the gateway leaves, or `limit` messages have been sent.
async fn stream(local: &mut Local, exchange: &mut Exchange, mut feed: Feed<'_>, limit: u64) {
    let mut messages = 0;
    while messages < limit {
        let next = local.next(&[StreamKind::Control, StreamKind::Event, StreamKind::Telemetry]);
        let item = match tokio::time::timeout(HEARTBEAT, next).await {
            Err(_) => Some(Item::Silence),
            Ok(Err(closing)) => {
                exchange.piece(feed.text(&Item::Closed(closing.code, closing.message))).await;
                break;
            }
            Ok(Ok((StreamKind::Control, kind::MOVING, _))) => {
                exchange.piece(feed.text(&Item::Moving)).await;
                break;
            }
            Ok(Ok((stream, kind, body))) => feed.item(stream, kind, body),
        };
        let Some(item) = item else { continue };
        messages += u64::from(matches!(item, Item::Message(_)));
        if !exchange.piece(feed.text(&item)).await {
            return;
        }
        // On its way to the client, which is all that HTTP lets us know.
        local.acknowledge();
    }
    exchange.end().await;
}
