//! `GET /v1/retained/{pattern}`: the values that are kept for matching topics, without subscribing.

use super::exchange::{Exchange, head};
use super::feed::{Format, Shown};
use super::problem::Problem;
use super::request::Request;
use crate::local::Local;
use http::StatusCode;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Call, CallCredit, CallError, CallResult, Class, RetainedValue, RetainedValues};
use macula_proto::{Pattern, limits};
use prost::Message as _;

/// Bytes of values that may be under way to a client that reads slowly: no less than the largest part.
const WINDOW: u64 = limits::FRAME_BYTES as u64;
const JSON: &str = "application/json";

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let content_type = request.choose(&[JSON, Format::JSON_LINES])?;
    let pattern: Pattern =
        request.argument().parse().map_err(|error| Problem::invalid(format!("{error}")))?;
    request.query(&[])?;
    if request.is_head() {
        exchange.begin(head(StatusCode::OK, content_type)).await;
        exchange.end().await;
        return Ok(());
    }
    let mut local = request.open()?;
    let call = Call {
        call: 1,
        procedure: "$sys.retained".to_owned(),
        payload: pattern.to_string().into(),
        credit: WINDOW,
        ..Call::default()
    };
    local.send(StreamKind::Rpc, kind::CALL, &call);
    let mut granted = WINDOW;
    let mut values = Values { request, lines: content_type == Format::JSON_LINES, first: true };
    // What fails before the first part is answered as a problem; later the body breaks off.
    let mut part = next(&mut local).await?;
    if !exchange.begin(head(StatusCode::OK, content_type)).await {
        return Ok(());
    }
    loop {
        let bytes = part.payload.len() as u64;
        let mut text = values.text(RetainedValues::decode(part.payload).unwrap_or_default());
        if !part.more {
            text.push_str(values.end());
        }
        if !text.is_empty() && !exchange.piece(text).await {
            return Ok(());
        }
        if !part.more {
            exchange.end().await;
            return Ok(());
        }
        granted += bytes;
        local.send(StreamKind::Rpc, kind::CALL_CREDIT, &CallCredit { call: 1, total: granted });
        part = match next(&mut local).await {
            Ok(part) => part,
            Err(_) => {
                exchange.break_off();
                return Ok(());
            }
        };
    }
}

/// The next part of the answer.
async fn next(local: &mut Local) -> Result<CallResult, Problem> {
    loop {
        let (_, kind, body) = local
            .next(&[StreamKind::Rpc])
            .await
            .map_err(|closing| Problem::of(closing.code, closing.message))?;
        match kind {
            kind::CALL_RESULT => return Ok(CallResult::decode(body).unwrap_or_default()),
            kind::CALL_ERROR => {
                let error = CallError::decode(body).unwrap_or_default();
                return Err(Problem::of(error.code(), error.message));
            }
            _ => {}
        }
    }
}

/// Values as JSON: one array, or one object a line.
struct Values<'a> {
    request: &'a Request<'a>,
    lines: bool,
    first: bool,
}

impl Values<'_> {
    fn text(&mut self, values: RetainedValues) -> String {
        let mut text = String::new();
        for value in values.values {
            match (self.lines, std::mem::take(&mut self.first)) {
                (true, _) => {}
                (false, true) => text.push('['),
                (false, false) => text.push_str(",\n"),
            }
            text.push_str(&self.object(value));
            if self.lines {
                text.push('\n');
            }
        }
        text
    }

    fn end(&self) -> &'static str {
        match (self.lines, self.first) {
            (true, _) => "",
            (false, true) => "[]\n",
            (false, false) => "]\n",
        }
    }

    fn object(&self, value: RetainedValue) -> String {
        let class = if value.class() == Class::Telemetry { "telemetry" } else { "event" };
        let shown = Shown {
            topic: &value.topic,
            content_type: &value.content_type,
            class,
            publisher: &value.publisher,
            epoch: value.epoch,
            sequence: value.sequence,
            retained: true,
            resent: false,
        };
        let object = shown.object(self.request, value.message.unwrap_or_default());
        serde_json::to_string(&object).unwrap_or_default()
    }
}
