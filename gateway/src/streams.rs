//! The streams of one connection: a reader for each that the peer opens, a writer for each class.

use crate::hub::{Closing, Hub, Outlet};
use bytes::Bytes;
use macula_core::ConnKey;
use macula_proto::kind::StreamKind;
use macula_proto::v1::Code;
use macula_transport::session::Session;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Chunks taken from a stream at once; a chunk is at most one packet, so this is up to 200 KiB.
const CHUNKS: usize = 32;
/// Time for the last frames of a connection that is being closed.
const FAREWELL: Duration = Duration::from_millis(500);
/// Streams of one peer that are read at a time, its datagrams counted as one: one for each kind, and room for some that
/// have not said theirs.
const STREAMS: usize = 9;

/// Who is at the other end, by how streams are opened to it.
#[derive(Clone)]
pub(crate) enum Wire {
    /// A client's WebTransport session.
    Session(Session),
    /// A link to another gateway.
    Link(quinn::Connection),
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The core ended it.
    Core(Closing),
    /// The other end, or the network.
    Peer(String),
}

/// Serves a connection until it ends, and takes it out of the core.
pub(crate) async fn serve(
    hub: Hub,
    key: ConnKey,
    outlet: Rc<Outlet>,
    wire: Wire,
    control: (quinn::SendStream, quinn::RecvStream),
) -> End {
    // The task may be aborted when the connection is lost; the core has to hear of it all the same.
    let _registered = RemoveOnDrop { hub: hub.clone(), key };
    let (mut readers, mut writers) = (JoinSet::new(), JoinSet::new());
    let opened = Rc::new(Cell::new([false; StreamKind::ALL.len()]));
    let (mut control_send, control_recv) = control;
    let _ = control_send.set_priority(3);
    for stream in [StreamKind::Rpc, StreamKind::Event, StreamKind::Telemetry] {
        writers.spawn_local(write_class(hub.clone(), key, outlet.clone(), wire.clone(), stream));
    }
    readers.spawn_local(read(hub.clone(), key, StreamKind::Control, control_recv));
    if let Wire::Link(connection) = &wire {
        readers.spawn_local(read_datagrams(hub.clone(), key, connection.clone()));
    }
    let end = {
        let control = write_control(&hub, key, &outlet, &mut control_send);
        tokio::pin!(control);
        loop {
            tokio::select! {
                biased;
                closing = outlet.closing() => break End::Core(closing),
                result = &mut control => break End::Peer(result),
                Some(result) = writers.join_next() => if let Err(reason) = joined(result) {
                    break End::Peer(reason);
                },
                Some(result) = readers.join_next() => if let Err(reason) = joined(result) {
                    break End::Peer(reason);
                },
                stream = accept_class(&wire, &outlet), if readers.len() < STREAMS => match stream {
                    Ok(stream) => {
                        readers.spawn_local(read_class(hub.clone(), key, stream, opened.clone()));
                    }
                    Err(reason) => break End::Peer(reason),
                },
                reason = wire.closed() => break End::Peer(reason),
            }
        }
    };
    let (code, message) = match &end {
        End::Core(closing) => {
            let _ = tokio::time::timeout(FAREWELL, say_farewell(&hub, key, &mut control_send)).await;
            (closing.code, closing.message.clone())
        }
        End::Peer(_) => {
            // What had arrived before the end is still there to be read.
            let all = async { while readers.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(FAREWELL, all).await;
            (Code::Ok, String::new())
        }
    };
    writers.shutdown().await;
    readers.shutdown().await;
    wire.close(code, &message);
    end
}

/// Why a task of a connection ended, if not by itself.
fn joined(result: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    result.unwrap_or_else(|error| Err(format!("a task failed: {error}")))
}

/// Takes a connection out of the core at the end.
struct RemoveOnDrop {
    hub: Hub,
    key: ConnKey,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        self.hub.remove(self.key);
    }
}

async fn write_control(hub: &Hub, key: ConnKey, outlet: &Outlet, stream: &mut quinn::SendStream) -> String {
    loop {
        while let Some(batch) = hub.take(key, StreamKind::Control) {
            if let Err(error) = stream.write_chunk(batch).await {
                return error.to_string();
            }
        }
        outlet.ready(StreamKind::Control).await;
    }
}

async fn say_farewell(hub: &Hub, key: ConnKey, stream: &mut quinn::SendStream) {
    while let Some(batch) = hub.take(key, StreamKind::Control) {
        if stream.write_chunk(batch).await.is_err() {
            return;
        }
    }
    let _ = stream.finish();
    let _ = stream.stopped().await;
}

async fn write_class(
    hub: Hub,
    key: ConnKey,
    outlet: Rc<Outlet>,
    wire: Wire,
    kind: StreamKind,
) -> Result<(), String> {
    let _writer = outlet.writer();
    let first = loop {
        outlet.ready(kind).await;
        match hub.take(key, kind) {
            Some(batch) => break batch,
            None if outlet.finishing() && !hub.waits(key, kind) => return Ok(()),
            None => {}
        }
    };
    let mut stream = wire.open_uni().await?;
    let _ = stream.set_priority(match kind {
        StreamKind::Control | StreamKind::Rpc => 2,
        StreamKind::Event => 1,
        StreamKind::Telemetry => 0,
    });
    let gone = |error: quinn::WriteError| format!("{kind:?} stream: {error}");
    stream.write_chunk(Bytes::copy_from_slice(&[kind as u8])).await.map_err(gone)?;
    stream.write_chunk(first).await.map_err(gone)?;
    loop {
        while let Some(batch) = hub.take(key, kind) {
            stream.write_chunk(batch).await.map_err(gone)?;
        }
        // What waits for credit gets it, or the gateway's time is up.
        if outlet.finishing() && !hub.waits(key, kind) {
            let _ = stream.finish();
            // Resolves when the peer has everything.
            let _ = stream.stopped().await;
            return Ok(());
        }
        outlet.ready(kind).await;
    }
}

/// The next class stream. Those of a session wait until it is welcomed, within the bounds of the transport: QUIC
/// keeps no order between streams, so they may come before Hello.
async fn accept_class(wire: &Wire, outlet: &Outlet) -> Result<quinn::RecvStream, String> {
    if matches!(wire, Wire::Session(_)) {
        outlet.welcomed().await;
    }
    wire.accept_uni().await
}

/// Reads a stream that the peer has opened, unless it has `opened` one of its kind before: the core puts the bytes of
/// a kind together, and those of two streams would mix.
async fn read_class(
    hub: Hub,
    key: ConnKey,
    mut stream: quinn::RecvStream,
    opened: Rc<Cell<[bool; StreamKind::ALL.len()]>>,
) -> Result<(), String> {
    let mut first = [0];
    if stream.read_exact(&mut first).await.is_err() {
        return Ok(());
    }
    match StreamKind::from_byte(first[0]) {
        Some(StreamKind::Control) | None => {
            let message = format!("a stream begins with byte {:#04x}, which names no class", first[0]);
            hub.fail(key, Code::InvalidArgument, message);
            Ok(())
        }
        Some(kind) => {
            let mut kinds = opened.get();
            if std::mem::replace(&mut kinds[kind as usize], true) {
                hub.fail(key, Code::InvalidArgument, format!("a second {kind:?} stream"));
                return Ok(());
            }
            opened.set(kinds);
            read(hub, key, kind, stream).await
        }
    }
}

async fn read_datagrams(hub: Hub, key: ConnKey, connection: quinn::Connection) -> Result<(), String> {
    loop {
        let datagram = connection.read_datagram().await.map_err(|error| error.to_string())?;
        hub.receive_datagram(key, &datagram);
    }
}

async fn read(hub: Hub, key: ConnKey, kind: StreamKind, mut stream: quinn::RecvStream) -> Result<(), String> {
    let mut chunks = [const { Bytes::new() }; CHUNKS];
    loop {
        match stream.read_chunks(&mut chunks).await {
            Ok(Some(count)) => hub.receive(key, kind, &chunks[..count]),
            Ok(None) if kind == StreamKind::Control => return Err("the control stream ended".to_owned()),
            Ok(None) => {
                hub.finished(key, kind);
                return Ok(());
            }
            Err(error) => return Err(format!("{kind:?} stream: {error}")),
        }
    }
}

impl Wire {
    async fn open_uni(&self) -> Result<quinn::SendStream, String> {
        match self {
            Wire::Session(session) => session.open_uni().await.map_err(|error| error.to_string()),
            Wire::Link(connection) => connection.open_uni().await.map_err(|error| error.to_string()),
        }
    }

    async fn accept_uni(&self) -> Result<quinn::RecvStream, String> {
        match self {
            Wire::Session(session) => session.accept_uni().await.map_err(|error| error.to_string()),
            Wire::Link(connection) => connection.accept_uni().await.map_err(|error| error.to_string()),
        }
    }

    async fn closed(&self) -> String {
        match self {
            Wire::Session(session) => {
                let closed = session.closed().await;
                format!("{closed:?}")
            }
            Wire::Link(connection) => connection.closed().await.to_string(),
        }
    }

    fn close(&self, code: Code, message: &str) {
        match self {
            Wire::Session(session) => session.close(code as u32, message),
            Wire::Link(connection) => connection.close((code as u32).into(), message.as_bytes()),
        }
    }
}
