//! Readers: one task for each stream in. They never stop reading: a slow application holds the gateway back by
//! credit alone.

use crate::core::{Core, LAST_PING};
use crate::events::ConnectionEvent;
use crate::intake::Violation;
use crate::message::Class;
use crate::outbox::Outbox;
use crate::status::Status;
use bytes::Bytes;
use macula_proto::frame::{SHARED_BYTES, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::acknowledged::Request;
use macula_proto::{limits, v1};
use prost::Message as _;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Notify;

/// Chunks that are taken from a stream together. A chunk is at most a packet, so this is about 200 KiB.
const CHUNKS: usize = 32;

/// Whether the gateway has said that it leaves, and when to come back.
#[derive(Debug, Default)]
pub(super) struct Moving {
    retry_after: OnceLock<Duration>,
    told: Notify,
}

impl Moving {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after.get().copied()
    }

    /// Resolves once, when the gateway has said so.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}

/// Reads the control stream until it ends.
pub(super) async fn control(
    core: Arc<Core>,
    moving: Arc<Moving>,
    mut stream: quinn::RecvStream,
    mut splitter: Splitter,
    early: Vec<(u8, Vec<u8>)>,
) -> Result<(), String> {
    let place = |error: &dyn std::fmt::Display| format!("control stream: {error}");
    for (kind, body) in early {
        control_frame(&core, &moving, kind, &body).map_err(|error| place(&error))?;
    }
    loop {
        let chunk = stream.read_chunk(usize::MAX, true).await.map_err(|error| place(&error))?;
        let Some(chunk) = chunk else { return Err(place(&"the gateway has finished it")) };
        splitter
            .split(&chunk.bytes, |kind, body| control_frame(&core, &moving, kind, body))
            .map_err(|error| place(&error))?;
    }
}

fn control_frame(core: &Core, moving: &Moving, kind: u8, body: &[u8]) -> Result<(), Violation> {
    match kind {
        kind::ACCEPTED => {
            let v1::Accepted { sequence, matches } = v1::Accepted::decode(body)?;
            core.events.update(|outbox| outbox.accept(sequence, matches));
        }
        kind::SETTLED => {
            let sequence = v1::Settled::decode(body)?.sequence;
            core.events.update(|outbox| outbox.settle(sequence));
        }
        kind::CREDIT => {
            let credit = v1::Credit::decode(body)?;
            match credit.class() {
                v1::Class::Rpc => core.rpc.grant(credit.total),
                v1::Class::Event => core.events.grant(credit.total),
                v1::Class::Telemetry => core.telemetry.grant(credit.total),
                v1::Class::Unspecified => return Err(Violation::Other("credit for no class".to_owned())),
            }
        }
        kind::ACKNOWLEDGED => {
            let acknowledged = v1::Acknowledged::decode(body)?;
            match acknowledged.request {
                Some(Request::Subscription(number)) => core.subscriptions().acknowledge(number, acknowledged),
                Some(Request::Registration(number)) => {
                    let refused = core.registrations().acknowledge(number, acknowledged);
                    drop(refused);
                }
                None => return Err(Violation::Other("an acknowledgement of nothing".to_owned())),
            }
        }
        kind::PUBLISH_REFUSED => {
            let refused = v1::PublishRefused::decode(body)?;
            let class = if refused.class() == v1::Class::Telemetry { Class::Telemetry } else { Class::Event };
            let (code, message) = (refused.code(), refused.message);
            let told =
                core.outlet(class).update(|outbox| outbox.refuse(refused.sequence, code, message.clone()));
            if !told {
                tracing::warn!(?class, code = code.as_str_name(), message, "the gateway refused a message");
            }
        }
        kind::PING => {
            let nonce = v1::Ping::decode(body)?.nonce;
            core.control.send(kind::PONG, &v1::Pong { nonce });
        }
        kind::PONG => {
            if v1::Pong::decode(body)?.nonce == LAST_PING {
                core.pong.notify_one();
            }
        }
        kind::MOVING => {
            let retry_after = Duration::from_millis(u64::from(v1::Moving::decode(body)?.retry_after_ms));
            core.events.update(Outbox::hold);
            let _ = moving.retry_after.set(retry_after);
            moving.told.notify_one();
            tracing::info!(?retry_after, "the gateway is about to leave");
            core.listeners.tell(&ConnectionEvent::Moving { retry_after });
            core.set_status(Status::Moving);
        }
        kind::CLOSE => {
            let close = v1::Close::decode(body)?;
            core.on_close(close.code(), &close.message);
            let text =
                format!("the gateway ends the session, {}: {}", close.code().as_str_name(), close.message);
            return Err(Violation::Other(text));
        }
        kind if kind >= kind::FIRST_SKIPPABLE => {}
        kind => return Err(Violation::Other(format!("a frame of kind {kind:#04x} has no place here"))),
    }
    Ok(())
}

/// Reads a class stream until it ends; its first byte tells the class.
pub(super) async fn class(core: Arc<Core>, mut stream: quinn::RecvStream) -> Result<(), String> {
    let mut first = [0];
    stream.read_exact(&mut first).await.map_err(|error| format!("a stream without a kind: {error}"))?;
    let read = match StreamKind::from_byte(first[0]) {
        Some(StreamKind::Event) => messages(&core, Class::Event, &mut stream).await,
        Some(StreamKind::Telemetry) => messages(&core, Class::Telemetry, &mut stream).await,
        Some(StreamKind::Rpc) => calls(&core, &mut stream).await,
        _ => return Err(format!("a stream of unknown kind {}", first[0])),
    };
    read.map_err(|error| format!("stream {}: {error}", first[0]))
}

async fn messages(core: &Core, class: Class, stream: &mut quinn::RecvStream) -> Result<(), String> {
    let mut chunks = [const { Bytes::new() }; CHUNKS];
    core.intake(class).begin().map_err(|error| error.to_string())?;
    while let Some(count) = stream.read_chunks(&mut chunks).await.map_err(|error| error.to_string())? {
        take_in(core, class, &mut chunks[..count]).map_err(|error| {
            core.forget_session();
            error.to_string()
        })?;
    }
    Ok(())
}

/// Hands over what one read has brought.
fn take_in(core: &Core, class: Class, chunks: &mut [Bytes]) -> Result<(), Violation> {
    let mut intake = core.intake(class);
    let mut subscriptions = core.subscriptions();
    let (mut received, mut waiting, mut result) = (0, 0, Ok(()));
    for chunk in chunks {
        let chunk = std::mem::take(chunk);
        received += chunk.len() as u64;
        match intake.receive(&chunk, &mut subscriptions) {
            Ok(bytes) => waiting += bytes,
            Err(violation) => {
                result = Err(violation);
                break;
            }
        }
    }
    // Counted before the application can give it back.
    let told = core.inflow(class).receive(received, waiting, |total| core.grant(class.wire(), total));
    if told.pressed {
        core.relief.pressed.notify_one();
    }
    if class == Class::Event {
        core.acks.receive(intake.position(), |holder| subscriptions.hold(holder));
    }
    subscriptions.received(told.total);
    subscriptions.hand_over();
    let losses = subscriptions.losses();
    drop((intake, subscriptions));
    core.listeners.tell_losses(losses);
    result
}

async fn calls(core: &Arc<Core>, stream: &mut quinn::RecvStream) -> Result<(), String> {
    let mut splitter = Splitter::new(limits::FRAME_BYTES);
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await.map_err(|error| error.to_string())? {
        let chunk = chunk.bytes;
        splitter
            .split_shared(&chunk, |kind, body, memory| call_frame(core, kind, body, memory))
            .map_err(|error: Violation| error.to_string())?;
        core.rpc_inflow.receive(chunk.len() as u64, 0, |total| core.grant(v1::Class::Rpc, total));
    }
    Ok(())
}

fn call_frame(core: &Arc<Core>, kind: u8, body: &[u8], memory: &Bytes) -> Result<(), Violation> {
    match kind {
        kind::CALL => core.serve(decode(body, memory)?),
        kind::CALL_RESULT => {
            let result: v1::CallResult = decode(body, memory)?;
            let call = result.call;
            if !core.calls.result(result) {
                core.rpc.send(kind::CALL_CANCEL, &v1::CallCancel { call });
            }
        }
        kind::CALL_ERROR => {
            let error: v1::CallError = decode(body, memory)?;
            let call = error.call;
            if !core.calls.error(error) {
                core.rpc.send(kind::CALL_CANCEL, &v1::CallCancel { call });
            }
        }
        kind::CALL_END => core.calls.end(v1::CallEnd::decode(body)?.call),
        kind::CALL_CREDIT => {
            let v1::CallCredit { call, total } = v1::CallCredit::decode(body)?;
            core.registrations().grant(call, total);
        }
        kind::CALL_CANCEL => core.registrations().cancel(v1::CallCancel::decode(body)?.call),
        kind if kind >= kind::FIRST_SKIPPABLE => {}
        kind => return Err(Violation::Other(format!("a frame of kind {kind:#04x} has no place here"))),
    }
    Ok(())
}

/// Payloads of a large message share the memory that it lies in.
fn decode<T: prost::Message + Default>(body: &[u8], memory: &Bytes) -> Result<T, Violation> {
    Ok(if body.len() >= SHARED_BYTES { T::decode(memory.slice_ref(body))? } else { T::decode(body)? })
}

#[cfg(test)]
mod tests;
