//! Writers: one task for each stream out.

use crate::core::Core;
use crate::lane::Source;
use macula_proto::kind::StreamKind;
use macula_transport::session::Session;
use std::sync::Arc;
use std::time::Duration;

/// How long an acknowledgement waits for others. From the protocol: a gateway may count on it.
const ACK_DELAY: Duration = Duration::from_millis(5);

/// Writes the control stream until it breaks.
pub(super) async fn control(core: Arc<Core>, mut stream: quinn::SendStream) -> Result<(), String> {
    loop {
        while let Some(bytes) = core.control.take() {
            stream.write_chunk(bytes).await.map_err(|error| format!("control stream: {error}"))?;
        }
        core.control.wake().notified().await;
    }
}

/// Acknowledges what the application has dealt with, a little later, so that one frame speaks for many.
pub(super) async fn acknowledgements(core: Arc<Core>) -> Result<(), String> {
    loop {
        core.acks.due().await;
        tokio::time::sleep(ACK_DELAY).await;
        core.acks.flush(|position| core.acknowledge(position));
    }
}

/// Writes the stream of one class until it breaks, or until the client ends and everything has arrived.
pub(super) async fn class(core: Arc<Core>, session: Session, kind: StreamKind) -> Result<(), String> {
    let written = match kind {
        StreamKind::Event => write(&core, &core.events, session, kind).await,
        StreamKind::Telemetry => write(&core, &core.telemetry, session, kind).await,
        StreamKind::Rpc | StreamKind::Control => write(&core, &core.rpc, session, kind).await,
    };
    written.map_err(|error| format!("{kind:?} stream: {error}"))
}

async fn write(core: &Core, source: &impl Source, session: Session, kind: StreamKind) -> Result<(), String> {
    let mut closing = core.closing.subscribe();
    // Opened when there is something to send.
    let mut opened: Option<quinn::SendStream> = None;
    loop {
        while let Some(bytes) = source.take() {
            let stream = match &mut opened {
                Some(stream) => stream,
                none => none.insert(open(&session, kind).await?),
            };
            stream.write_chunk(bytes).await.map_err(|error| error.to_string())?;
        }
        if *closing.borrow_and_update() && source.is_drained() {
            break;
        }
        tokio::select! {
            () = source.wake().notified() => {}
            changed = closing.changed() => changed.map_err(|error| error.to_string())?,
        }
    }
    if let Some(mut stream) = opened {
        let _ = stream.finish();
        let _ = stream.stopped().await;
    }
    Ok(())
}

async fn open(session: &Session, kind: StreamKind) -> Result<quinn::SendStream, String> {
    let mut stream = session.open_uni().await.map_err(|error| error.to_string())?;
    // Rpc before events, events before telemetry; control is above them all.
    let _ = stream.set_priority(StreamKind::Telemetry as i32 - kind as i32);
    stream.write_all(&[kind as u8]).await.map_err(|error| error.to_string())?;
    Ok(stream)
}
