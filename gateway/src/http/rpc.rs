//! `POST /v1/rpc/{procedure}`: the body is the argument, the response the result.

use super::exchange::{Exchange, head};
use super::problem::Problem;
use super::request::Request;
use http::StatusCode;
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{Call, CallError, CallResult};
use prost::Message as _;

pub(super) async fn serve(request: &Request<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let timeout_ms = match request.header("macula-timeout-ms") {
        "" => 0,
        number => number.parse().map_err(|_| {
            Problem::invalid(format!("macula-timeout-ms is a number of milliseconds, not `{number}`"))
        })?,
    };
    let call = Call {
        call: 1,
        procedure: request.argument().to_owned(),
        timeout_ms,
        payload: exchange.body(limits::PAYLOAD_BYTES).await?,
        content_type: request.header("content-type").to_owned(),
        ..Call::default()
    };
    let mut local = request.open()?;
    local.send(StreamKind::Rpc, kind::CALL, &call);
    loop {
        let (_, kind, body) = local
            .next(&[StreamKind::Rpc])
            .await
            .map_err(|closing| Problem::of(closing.code, closing.message))?;
        match kind {
            kind::CALL_RESULT => {
                let result = CallResult::decode(body).unwrap_or_default();
                let content_type = if result.content_type.is_empty() {
                    "application/octet-stream"
                } else {
                    &result.content_type
                };
                exchange.respond(head(StatusCode::OK, content_type), result.payload).await;
                return Ok(());
            }
            kind::CALL_ERROR => {
                let error = CallError::decode(body).unwrap_or_default();
                return Err(Problem::of(error.code(), error.message));
            }
            _ => {}
        }
    }
}
