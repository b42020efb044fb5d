//! A session in the hands of its user.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::capsule::Close;
use crate::h3quic::{BIDI_MARKER, Router, UNI_MARKER};
use crate::varint;

/// A WebTransport session. Clones are handles of the same one; when the last is dropped it is closed with code 0.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
    _last: Arc<CloseOnDrop>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { _last: Arc::new(CloseOnDrop(shared.clone())), shared }
    }

    /// Opens a bidirectional stream. The peer sees it at once: the prefix is written here.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn open_bi(&self) -> Result<(quinn::SendStream, quinn::RecvStream), SessionError> {
        let open = async {
            let (mut send, recv) = self.shared.connection.open_bi().await?;
            send.write_chunk(self.shared.bidi_prefix.clone()).await.map_err(SessionError::from_write)?;
            Ok((send, recv))
        };
        self.while_open(open).await
    }

    /// Opens a unidirectional stream. The peer sees it at once: the prefix is written here.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn open_uni(&self) -> Result<quinn::SendStream, SessionError> {
        let open = async {
            let mut send = self.shared.connection.open_uni().await?;
            send.write_chunk(self.shared.uni_prefix.clone()).await.map_err(SessionError::from_write)?;
            Ok(send)
        };
        self.while_open(open).await
    }

    /// The next bidirectional stream of the peer. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn accept_bi(&self) -> Result<(quinn::SendStream, quinn::RecvStream), SessionError> {
        match self.shared.router.next_bidi().await {
            Some(stream) => Ok(stream),
            None => Err(SessionError::Over(self.closed().await)),
        }
    }

    /// The next unidirectional stream of the peer. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn accept_uni(&self) -> Result<quinn::RecvStream, SessionError> {
        match self.shared.router.next_uni().await {
            Some(stream) => Ok(stream),
            None => Err(SessionError::Over(self.closed().await)),
        }
    }

    /// Waits until the session is over, whoever ended it. After [`close`](Self::close) this is when the peer has
    /// answered, or has not within three seconds.
    pub async fn closed(&self) -> SessionEnd {
        let mut end = self.shared.end.subscribe();
        match end.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(end)) => end.clone(),
            _ => unreachable!("the sender lives in what `self` holds, and is waited on for a value"),
        }
    }

    /// How the session ended, if it is over.
    pub fn end(&self) -> Option<SessionEnd> {
        self.shared.end.borrow().clone()
    }

    /// Asks to close the session with this code and reason, of which at most
    /// [`MAX_REASON`](super::MAX_REASON) bytes are sent. The first call counts. Data of streams that is under way
    /// may be lost; wait for [`closed`](Self::closed) before the connection is dropped, or the peer learns less.
    pub fn close(&self, code: u32, reason: &str) {
        self.shared.request_close(Close { code, reason: reason.to_owned() });
    }

    /// The peer's address at the moment.
    pub fn remote_address(&self) -> SocketAddr {
        self.shared.connection.remote_address()
    }

    /// The QUIC connection, for its statistics and certificates. Streams opened on it are not of the session.
    pub fn connection(&self) -> &quinn::Connection {
        &self.shared.connection
    }

    /// The id that its streams name.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    async fn while_open<T>(
        &self,
        opening: impl Future<Output = Result<T, SessionError>>,
    ) -> Result<T, SessionError> {
        tokio::select! {
            biased;
            end = self.closed() => Err(SessionError::Over(end)),
            opened = opening => opened,
        }
    }
}

/// How a session ended.
#[derive(Clone, Debug)]
pub enum SessionEnd {
    /// One side closed it, with a code and a reason of its application.
    Closed {
        /// The code of the application.
        code: u32,
        /// The reason in words, possibly empty.
        reason: String,
        /// Whether it was the other side.
        by_peer: bool,
    },
    /// The peer finished the request of the session and said no more.
    Finished,
    /// The peer reset the request of the session.
    Reset {
        /// The code of HTTP/3.
        code: u64,
    },
    /// The connection is lost, or was closed as a whole.
    Connection(quinn::ConnectionError),
    /// The peer broke the rules of the session.
    Protocol(String),
}

impl SessionEnd {
    /// The code of the application; 0 when there was none.
    pub fn code(&self) -> u32 {
        match self {
            SessionEnd::Closed { code, .. } => *code,
            _ => 0,
        }
    }

    /// The reason in words, for people.
    pub fn reason(&self) -> String {
        match self {
            SessionEnd::Closed { reason, .. } => reason.clone(),
            SessionEnd::Finished => "finished by the peer".to_owned(),
            SessionEnd::Reset { code } => format!("reset by the peer with code {code:#x}"),
            SessionEnd::Connection(error) => error.to_string(),
            SessionEnd::Protocol(reason) => reason.clone(),
        }
    }
}

/// A stream of a session could not be opened or accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// The session is over.
    #[error("the session is over: {}", .0.reason())]
    Over(SessionEnd),
    /// The connection is lost.
    #[error("the connection of the session is lost")]
    Connection(#[from] quinn::ConnectionError),
    /// The peer stopped the stream before it began.
    #[error("the peer stopped the stream with code {0}")]
    Stopped(u64),
}

impl SessionError {
    fn from_write(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::Stopped(code.into_inner()),
            quinn::WriteError::ConnectionLost(error) => Self::Connection(error),
            quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => {
                unreachable!("the stream was opened just now, and not as early data")
            }
        }
    }
}

/// What the handles and the driver of a session share.
#[derive(Debug)]
pub(super) struct Shared {
    connection: quinn::Connection,
    router: Arc<Router>,
    id: u64,
    bidi_prefix: Bytes,
    uni_prefix: Bytes,
    close: Mutex<Option<Close>>,
    close_requested: Notify,
    end: watch::Sender<Option<SessionEnd>>,
}

impl Shared {
    pub(super) fn new(connection: quinn::Connection, router: Arc<Router>, id: u64) -> Arc<Self> {
        let prefix = |marker| {
            let mut prefix = Vec::new();
            varint::put(&mut prefix, marker);
            varint::put(&mut prefix, id);
            Bytes::from(prefix)
        };
        Arc::new(Self {
            connection,
            router,
            id,
            bidi_prefix: prefix(BIDI_MARKER),
            uni_prefix: prefix(UNI_MARKER),
            close: Mutex::default(),
            close_requested: Notify::new(),
            end: watch::Sender::new(None),
        })
    }

    pub(super) fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    fn request_close(&self, close: Close) {
        let mut requested = self.close.lock().unwrap_or_else(PoisonError::into_inner);
        requested.get_or_insert(close);
        drop(requested);
        self.close_requested.notify_one();
    }

    /// What a handle has asked for.
    pub(super) fn requested_close(&self) -> Option<Close> {
        self.close.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a handle asks for the end.
    pub(super) async fn close_requested(&self) -> Close {
        loop {
            let notified = self.close_requested.notified();
            if let Some(close) = self.requested_close() {
                return close;
            }
            notified.await;
        }
    }

    /// Marks the session as over. The first end counts.
    pub(super) fn finish(&self, end: SessionEnd) {
        self.end.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(end);
            first
        });
        self.router.end();
    }
}

#[derive(Debug)]
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.request_close(Close { code: 0, reason: String::new() });
    }
}
