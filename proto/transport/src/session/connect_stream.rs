//! The CONNECT stream during the life of its session: whoever ends it ends the session.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::StreamError;

use super::SessionEnd;
use super::capsule::{Capsules, Close};
use super::handle::Shared;
use crate::h3quic::{RecvStream, SendStream};

/// How long a session that was closed here waits for the answer of the peer. A guess, not measured.
const LINGER: Duration = Duration::from_secs(3);

/// The sending half, the same for client and server though h3 has a type for each.
pub(super) trait Sender: Send {
    fn send(&mut self, data: Bytes) -> impl Future<Output = Result<(), StreamError>> + Send;
    fn finish(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send;
}

/// The receiving half. Its future may be dropped and made anew.
pub(super) trait Receiver: Send {
    fn receive(&mut self) -> impl Future<Output = Result<Option<Bytes>, StreamError>> + Send;
}

macro_rules! halves {
    ($side:ident) => {
        impl Sender for h3::$side::RequestStream<SendStream, Bytes> {
            async fn send(&mut self, data: Bytes) -> Result<(), StreamError> {
                self.send_data(data).await
            }

            async fn finish(&mut self) -> Result<(), StreamError> {
                self.finish().await
            }
        }

        impl Receiver for h3::$side::RequestStream<RecvStream, Bytes> {
            async fn receive(&mut self) -> Result<Option<Bytes>, StreamError> {
                poll_fn(|cx| {
                    let data = self.poll_recv_data(cx);
                    data.map(|data| {
                        data.map(|data| data.map(|mut data| data.copy_to_bytes(data.remaining())))
                    })
                })
                .await
            }
        }
    };
}

halves!(client);
halves!(server);

/// Marks the session as over when its driver goes away without having done so.
pub(super) struct EndGuard(Arc<Shared>);

impl EndGuard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.finish(match self.0.requested_close() {
            // A peer that closes the whole connection in answer has understood.
            Some(Close { code, reason }) => SessionEnd::Closed { code, reason, by_peer: false },
            None => SessionEnd::Connection(
                self.0.connection().close_reason().unwrap_or(quinn::ConnectionError::LocallyClosed),
            ),
        });
    }
}

/// Holds the CONNECT stream until one side ends the session.
pub(super) async fn hold(mut send: impl Sender, mut recv: impl Receiver, guard: EndGuard) {
    let shared = &guard.0;
    let mut capsules = Capsules::default();
    let end = tokio::select! {
        end = read_to_end(&mut recv, &mut capsules, shared) => {
            // The answer to a closing capsule is the end of the stream. The peer may be gone by now.
            let _ = send.finish().await;
            end
        }
        close = shared.close_requested() => {
            let farewell = async {
                if send.send(close.encode()).await.is_ok() && send.finish().await.is_ok() {
                    read_to_end(&mut recv, &mut capsules, shared).await;
                }
            };
            let _ = tokio::time::timeout(LINGER, farewell).await;
            SessionEnd::Closed { code: close.code, reason: close.reason, by_peer: false }
        }
    };
    shared.finish(end);
}

async fn read_to_end(recv: &mut impl Receiver, capsules: &mut Capsules, shared: &Shared) -> SessionEnd {
    loop {
        match recv.receive().await {
            Ok(Some(data)) => match capsules.read(data) {
                Ok(None) => {}
                Ok(Some(close)) => {
                    return SessionEnd::Closed { code: close.code, reason: close.reason, by_peer: true };
                }
                Err(malformed) => return SessionEnd::Protocol(malformed.to_string()),
            },
            Ok(None) => return SessionEnd::Finished,
            Err(StreamError::RemoteTerminate { code, .. }) => {
                return SessionEnd::Reset { code: code.value() };
            }
            Err(error) => {
                return match shared.connection().close_reason() {
                    Some(lost) => SessionEnd::Connection(lost),
                    None => SessionEnd::Protocol(error.to_string()),
                };
            }
        }
    }
}
