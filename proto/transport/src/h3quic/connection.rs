//! The connection as h3 sees it: streams that come in, streams that go out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};

use super::accept::{Incoming, Opened};
use super::{BIDI_MARKER, RecvStream, Router, SendStream, UNI_MARKER, code, connection_error, stream_error};

type Bidi = (quinn::SendStream, quinn::RecvStream);
type Opening<T> = Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>;

/// A quinn connection for h3, of a server or a client.
///
/// WebTransport streams never reach h3; they wait for the session, at most
/// [`WAITING_STREAMS`](super::WAITING_STREAMS) of them.
pub struct Connection {
    connection: quinn::Connection,
    bidi: Incoming<Bidi>,
    uni: Incoming<quinn::RecvStream>,
    open: OpenStreams,
    router: Arc<Router>,
}

impl Connection {
    /// Adapts `connection`, for plain HTTP/3: WebTransport streams will wait in vain.
    pub fn new(connection: quinn::Connection) -> Self {
        Self::with_router(connection, Arc::default())
    }

    pub(crate) fn with_router(connection: quinn::Connection, router: Arc<Router>) -> Self {
        let (for_bidi, for_uni) = (connection.clone(), connection.clone());
        Self {
            bidi: Incoming::new(BIDI_MARKER, move || {
                let connection = for_bidi.clone();
                Box::pin(async move { connection.accept_bi().await })
            }),
            uni: Incoming::new(UNI_MARKER, move || {
                let connection = for_uni.clone();
                Box::pin(async move { connection.accept_uni().await })
            }),
            open: OpenStreams::new(connection.clone()),
            connection,
            router,
        }
    }

    /// A session is named by the stream of its request, which only a client opens.
    fn check_session(&self, session: u64) -> Result<(), ConnectionErrorIncoming> {
        if session.is_multiple_of(4) {
            return Ok(());
        }
        self.connection.close(code(Code::H3_ID_ERROR.value()), b"stream of an impossible session");
        Err(connection_error(quinn::ConnectionError::LocallyClosed))
    }
}

impl<B: Buf> quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        loop {
            match ready!(self.uni.poll_next(cx)).map_err(connection_error)? {
                Opened::WebTransport { session, stream } => {
                    self.check_session(session)?;
                    self.router.deliver_uni(session, stream);
                }
                Opened::Http { stream, seen } => {
                    return Poll::Ready(Ok(RecvStream::uni(stream, self.connection.clone(), seen)));
                }
            }
        }
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream, ConnectionErrorIncoming>> {
        loop {
            match ready!(self.bidi.poll_next(cx)).map_err(connection_error)? {
                Opened::WebTransport { session, stream: (send, recv) } => {
                    self.check_session(session)?;
                    self.router.deliver_bidi(session, send, recv);
                }
                Opened::Http { stream, seen } => {
                    return Poll::Ready(Ok(BidiStream::new(stream, self.connection.clone(), seen)));
                }
            }
        }
    }

    fn opener(&self) -> OpenStreams {
        self.open.clone()
    }
}

impl<B: Buf> quic::OpenStreams<B> for Connection {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        quic::OpenStreams::<B>::poll_open_bidi(&mut self.open, cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, StreamErrorIncoming>> {
        quic::OpenStreams::<B>::poll_open_send(&mut self.open, cx)
    }

    fn close(&mut self, error: Code, reason: &[u8]) {
        self.connection.close(code(error.value()), reason);
    }
}

/// Opens streams on a connection.
pub struct OpenStreams {
    connection: quinn::Connection,
    opening_bidi: Option<Opening<Bidi>>,
    opening_uni: Option<Opening<quinn::SendStream>>,
}

impl OpenStreams {
    fn new(connection: quinn::Connection) -> Self {
        Self { connection, opening_bidi: None, opening_uni: None }
    }
}

impl Clone for OpenStreams {
    /// Another opener of the same connection; what this one is waiting for stays with it.
    fn clone(&self) -> Self {
        Self::new(self.connection.clone())
    }
}

impl<B: Buf> quic::OpenStreams<B> for OpenStreams {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        let opening = self.opening_bidi.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_bi().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening_bidi = None;
        let stream = opened.map_err(stream_error)?;
        Poll::Ready(Ok(BidiStream::new(stream, self.connection.clone(), Bytes::new())))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, StreamErrorIncoming>> {
        let opening = self.opening_uni.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening_uni = None;
        Poll::Ready(Ok(SendStream::new(opened.map_err(stream_error)?)))
    }

    fn close(&mut self, error: Code, reason: &[u8]) {
        self.connection.close(code(error.value()), reason);
    }
}

/// A request stream, both halves.
pub struct BidiStream {
    send: SendStream,
    recv: RecvStream,
}

impl BidiStream {
    fn new((send, recv): Bidi, connection: quinn::Connection, seen: Bytes) -> Self {
        Self { send: SendStream::new(send), recv: RecvStream::frames(recv, connection, seen) }
    }
}

impl<B: Buf> quic::BidiStream<B> for BidiStream {
    type SendStream = SendStream;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream, RecvStream) {
        (self.send, self.recv)
    }
}

impl quic::RecvStream for BidiStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl<B: Buf> quic::SendStream<B> for BidiStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        quic::SendStream::<B>::poll_ready(&mut self.send, cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        quic::SendStream::<B>::poll_finish(&mut self.send, cx)
    }

    fn reset(&mut self, reset_code: u64) {
        quic::SendStream::<B>::reset(&mut self.send, reset_code);
    }

    fn send_id(&self) -> StreamId {
        quic::SendStream::<B>::send_id(&self.send)
    }
}
