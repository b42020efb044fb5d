//! `POST /v1/rpc/{procedure}`: the body is the argument; the response is the result, or what comes of a stream of
//! results or of all providers, as server-sent events or as lines of JSON.

use super::accept;
use super::exchange::{Exchange, head};
use super::feed::Format;
use super::problem::Problem;
use super::publish;
use super::request::Request;
use crate::local::Local;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Call, CallCredit, CallEnd, CallError, CallResult, Header};
use prost::Message as _;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Bytes of results that wait for a slow reader, and the largest part of a stream. A guess, not measured.
const WINDOW: u64 = 1 << 20;
/// A sign of life is sent after this much silence, and a client that is gone is noticed by it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Media type of whatever a provider does not name the type of.
const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// What a call of this gateway is answered with, frame by frame.
enum Answer {
    Result(CallResult),
    Error(CallError),
    End(CallEnd),
}

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let all = request.flag("macula-all")?;
    let wanted = accept::choose(request.header("accept"), &[BYTES, Format::EVENT_STREAM, Format::JSON_LINES]);
    let format = match wanted {
        Some(format @ (Format::EVENT_STREAM | Format::JSON_LINES)) => Some(format),
        // The answers of several providers cannot be one body.
        _ => all.then_some(Format::JSON_LINES),
    };
    let call = Call {
        call: 1,
        procedure: request.argument().to_owned(),
        timeout_ms: request.millis("macula-timeout-ms")?,
        headers: publish::headers(request),
        all,
        credit: if format.is_some() && !all { WINDOW } else { 0 },
        ..Call::default()
    };
    let mut local = request.open()?;
    let payload = request.payload(exchange).await?;
    let call = Call { payload: payload.bytes, content_type: payload.content_type, ..call };
    local.send(StreamKind::Rpc, kind::CALL, &call);
    drop(call);
    match (next(&mut local).await?, format) {
        (Answer::Error(error), _) if error.provider.is_empty() => {
            Err(Problem::of(error.code(), error.message).details(&error.details))
        }
        (first, Some(format)) => {
            stream(request, exchange, &mut local, first, format).await;
            Ok(())
        }
        (Answer::Result(result), None) => {
            respond(request, exchange, result).await;
            Ok(())
        }
        (Answer::Error(_) | Answer::End(_), None) => {
            Err(Problem::of(macula_proto::v1::Code::Internal, "an answer of several to a call of one"))
        }
    }
}

/// The next frame of the answer.
async fn next(local: &mut Local) -> Result<Answer, Problem> {
    loop {
        let next = local.next(&[StreamKind::Rpc]).await;
        let (_, kind, body) = next.map_err(|closing| Problem::of(closing.code, closing.message))?;
        return Ok(match kind {
            kind::CALL_RESULT => Answer::Result(CallResult::decode(body).unwrap_or_default()),
            kind::CALL_ERROR => Answer::Error(CallError::decode(body).unwrap_or_default()),
            kind::CALL_END => Answer::End(CallEnd::decode(body).unwrap_or_default()),
            _ => continue,
        });
    }
}

/// A single result: as it is, or as JSON where that is asked for and its type is described here.
async fn respond(request: &Request<'_>, exchange: &mut Exchange, result: CallResult) {
    let json = accept::choose(request.header("accept"), &[BYTES, JSON]) == Some(JSON);
    let shown = if json { request.schemas().show(&result.content_type, &result.payload) } else { None };
    let (content_type, body) = match shown {
        Some(value) => (JSON, format!("{value}\n").into()),
        None if result.content_type.is_empty() => (BYTES, result.payload),
        None => (&result.content_type[..], result.payload),
    };
    let mut response = head(StatusCode::OK, content_type);
    carry(&mut response, &result.headers);
    exchange.respond(response, body).await;
}

/// Adds the headers of a result, as those of a request are named; such as HTTP cannot say are left out.
fn carry(response: &mut Response<()>, headers: &[Header]) {
    for header in headers {
        let name = HeaderName::try_from(format!("{}{}", publish::HEADER_PREFIX, header.name));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&header.value)) {
            response.headers_mut().append(name, value);
        }
    }
}

/// Sends what comes until the end of the call, as fast as the client reads.
async fn stream(
    request: &Request<'_>,
    exchange: &mut Exchange,
    local: &mut Local,
    first: Answer,
    content_type: &'static str,
) {
    if !exchange.begin(head(StatusCode::OK, content_type)).await {
        return;
    }
    let format = Format::of(content_type);
    let mut answer: Result<Answer, Problem> = Ok(first);
    let mut taken = 0;
    loop {
        let (piece, last) = match &answer {
            Ok(Answer::Result(result)) => {
                let last = !result.more;
                let mut piece = String::new();
                // A last part that says nothing at all is only the end.
                if !last || !is_empty(result) {
                    piece = line(format, "", object(request, result));
                }
                if last {
                    piece.push_str(&line(format, "end", Map::new()));
                }
                (piece, last)
            }
            Ok(Answer::Error(error)) => (line(format, "error", failure(error)), error.provider.is_empty()),
            Ok(Answer::End(end)) => {
                let answers = Map::from_iter([("answers".to_owned(), end.answers.into())]);
                (line(format, "end", answers), true)
            }
            Err(problem) => (line(format, "error", problem.object()), true),
        };
        if !exchange.piece(piece).await {
            return;
        }
        if last {
            return exchange.end().await;
        }
        if let Ok(Answer::Result(result)) = &answer
            && !result.payload.is_empty()
        {
            taken += result.payload.len() as u64;
            local.send(StreamKind::Rpc, kind::CALL_CREDIT, &CallCredit { call: 1, total: taken + WINDOW });
        }
        answer = loop {
            match tokio::time::timeout(HEARTBEAT, next(local)).await {
                Ok(answer) => break answer,
                Err(_) => {
                    let silence = if format == Format::EventStream { ": still here\n\n" } else { "\n" };
                    if !exchange.piece(silence).await {
                        return;
                    }
                }
            }
        };
    }
}

fn is_empty(result: &CallResult) -> bool {
    result.payload.is_empty() && result.content_type.is_empty() && result.headers.is_empty()
}

fn object(request: &Request<'_>, result: &CallResult) -> Map<String, Value> {
    let mut object = Map::new();
    put_provider(&mut object, &result.provider);
    if !result.headers.is_empty() {
        let headers = result.headers.iter().map(|header| (header.name.clone(), header.value.clone().into()));
        object.insert("headers".to_owned(), Value::Object(headers.collect()));
    }
    object.insert("content_type".to_owned(), result.content_type.as_str().into());
    request.show(&mut object, &result.content_type, &result.payload);
    object
}

fn failure(error: &CallError) -> Map<String, Value> {
    let mut object = Map::new();
    put_provider(&mut object, &error.provider);
    object.insert("code".to_owned(), error.code().as_str_name().into());
    object.insert("detail".to_owned(), error.message.as_str().into());
    if !error.details.is_empty() {
        object.insert("details".to_owned(), STANDARD.encode(&error.details).into());
    }
    object
}

fn put_provider(object: &mut Map<String, Value>, provider: &[u8]) {
    if !provider.is_empty() {
        let provider: String = provider.iter().map(|byte| format!("{byte:02x}")).collect();
        object.insert("provider".to_owned(), provider.into());
    }
}

/// An object as it is sent; results have no event of their own.
fn line(format: Format, event: &str, object: Map<String, Value>) -> String {
    match (format, event) {
        (Format::EventStream, "") => format!("data: {}\n\n", Value::Object(object)),
        (Format::EventStream, event) => format!("event: {event}\ndata: {}\n\n", Value::Object(object)),
        (Format::JsonLines, "") => format!("{}\n", Value::Object(object)),
        (Format::JsonLines, event) => {
            let mut line = Map::from_iter([("event".to_owned(), json!(event))]);
            line.extend(object);
            format!("{}\n", Value::Object(line))
        }
    }
}
