//! `POST /v1/rpc/{procedure}`: the body is the argument, the response the result.

use super::exchange::{Exchange, head};
use super::problem::Problem;
use crate::hub::Hub;
use crate::local::Local;
use http::StatusCode;
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{Call, CallError, CallResult};
use prost::Message as _;

pub(super) async fn serve(
    hub: &Hub,
    procedure: &str,
    request: &http::Request<()>,
    exchange: &mut Exchange,
) -> Result<(), Problem> {
    let text =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timeout_ms = match text("macula-timeout-ms") {
        "" => 0,
        number => number.parse().map_err(|_| {
            Problem::invalid(format!("macula-timeout-ms is a number of milliseconds, not `{number}`"))
        })?,
    };
    let call = Call {
        call: 1,
        procedure: procedure.to_owned(),
        timeout_ms,
        payload: exchange.body(limits::PAYLOAD_BYTES).await?.into(),
        content_type: text("content-type").to_owned(),
        ..Call::default()
    };
    let mut local = Local::open(hub, hub.identity().realm, "http");
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
