//! Accepts streams and looks at how they begin, without letting a silent one hold up the others.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::prefix::{MAX_PREFIX, Verdict, judge};

type Accepting<T> = Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>;

/// The incoming streams of one direction.
pub(super) struct Incoming<T> {
    accept: Box<dyn Fn() -> Accepting<T> + Send + Sync>,
    accepting: Accepting<T>,
    /// Streams that have not said yet what they are, oldest first. At most as many as the peer may have open, so
    /// polling all of them is cheap.
    peeking: Vec<Peek<T>>,
    marker: u64,
}

/// A stream whose beginning is known.
pub(super) enum Opened<T> {
    /// Of this WebTransport session; the prefix has been taken off.
    WebTransport { session: u64, stream: T },
    /// Of HTTP/3, with the bytes that were read to know it.
    Http { stream: T, seen: Bytes },
}

/// What arrives: a receiving half, alone or with its sending half.
pub(super) trait Stream: Unpin {
    fn recv(&mut self) -> &mut quinn::RecvStream;
}

impl Stream for quinn::RecvStream {
    fn recv(&mut self) -> &mut quinn::RecvStream {
        self
    }
}

impl Stream for (quinn::SendStream, quinn::RecvStream) {
    fn recv(&mut self) -> &mut quinn::RecvStream {
        &mut self.1
    }
}

impl<T: Stream> Incoming<T> {
    pub(super) fn new(marker: u64, accept: impl Fn() -> Accepting<T> + Send + Sync + 'static) -> Self {
        Self { accepting: accept(), accept: Box::new(accept), peeking: Vec::new(), marker }
    }

    /// The next stream of which it is known how it begins.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Opened<T>, quinn::ConnectionError>> {
        while let Poll::Ready(accepted) = self.accepting.as_mut().poll(cx) {
            self.accepting = (self.accept)();
            self.peeking.push(Peek::new(accepted?));
        }
        let mut index = 0;
        while index < self.peeking.len() {
            let Poll::Ready(verdict) = self.peeking[index].poll(cx, self.marker) else {
                index += 1;
                continue;
            };
            let peek = self.peeking.remove(index);
            match verdict {
                Some(Verdict::WebTransport { session }) => {
                    return Poll::Ready(Ok(Opened::WebTransport { session, stream: peek.stream }));
                }
                Some(_) => {
                    let seen = Bytes::copy_from_slice(&peek.seen[..peek.len]);
                    return Poll::Ready(Ok(Opened::Http { stream: peek.stream, seen }));
                }
                // It ended before it began; dropping it is all that can be done.
                None => {}
            }
        }
        Poll::Pending
    }
}

/// A stream of which too little has arrived.
struct Peek<T> {
    stream: T,
    seen: [u8; MAX_PREFIX],
    len: usize,
}

impl<T: Stream> Peek<T> {
    fn new(stream: T) -> Self {
        Self { stream, seen: [0; MAX_PREFIX], len: 0 }
    }

    /// `None` when the stream was reset, or ended within its first integers.
    fn poll(&mut self, cx: &mut Context<'_>, marker: u64) -> Poll<Option<Verdict>> {
        loop {
            let wanted = match judge(&self.seen[..self.len], marker) {
                Verdict::More(wanted) => wanted,
                verdict => return Poll::Ready(Some(verdict)),
            };
            let free = &mut self.seen[self.len..][..wanted];
            match self.stream.recv().poll_read(cx, free) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(read)) => self.len += read,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
