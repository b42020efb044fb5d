//! The UDP socket as quinn uses it, with as few system calls and wake-ups as there can be.
//!
//! quinn's own socket for tokio waits for reading and for writing at once. On a machine that talks to itself the kernel says
//! "writable" after each packet, as it has already arrived: a wake-up for each packet sent, for nothing. And it asks
//! for packets until there are none, one call in vain for each that comes alone.

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket that is woken for what arrives and, once there has been no room to send, for room as well.
#[derive(Debug)]
pub(crate) struct Udp {
    /// Registered for reading alone.
    io: AsyncFd<Arc<UdpSocket>>,
    state: UdpSocketState,
    /// An attempt to send has found no room. It stays so: where that happens once it happens again.
    was_full: AtomicBool,
    /// The socket once more, since a descriptor is registered once; made while descriptors are there to be had. Locked by who
    /// registers it.
    again: Mutex<Arc<UdpSocket>>,
    /// Registered for writing, from the first time on that there was no room.
    room: OnceLock<AsyncFd<Arc<UdpSocket>>>,
}

impl Udp {
    /// Registers `socket` with the runtime that this is called on.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        // Puts the socket into non-blocking mode, too.
        let state = UdpSocketState::new((&socket).into())?;
        let again = Mutex::new(Arc::new(socket.try_clone()?));
        let io = register(Arc::new(socket), Interest::READABLE)?;
        Ok(Self { io, state, was_full: AtomicBool::new(false), again, room: OnceLock::new() })
    }

    /// Waits for room, as the system sees it.
    async fn room(&self) -> io::Result<()> {
        {
            // Registering panics outside of a runtime; this is polled by connections on theirs.
            let again = self.again.lock().expect("no holder of this lock panics");
            if self.room.get().is_none() {
                let _ = self.room.set(register(Arc::clone(&again), Interest::WRITABLE)?);
            }
        }
        match self.room.get() {
            Some(room) => room.writable().await.map(|mut ready| ready.retain_ready()),
            None => Ok(()),
        }
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let send = |socket: &Arc<UdpSocket>| self.state.send((&**socket).into(), transmit);
        if let Some(room) = self.room.get() {
            // Remembers that there is none.
            return room.try_io(Interest::WRITABLE, send);
        }
        let sent = send(self.io.get_ref());
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.was_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readable = ready!(self.io.poll_read_ready(context))?;
            match self.state.recv((&**self.io.get_ref()).into(), buffers, meta) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable.clear_ready(),
                Ok(count) => {
                    // All that there was. What came since has the runtime wake us again.
                    if count < buffers.len() {
                        readable.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Waits for room to send, on behalf of one task.
struct Room {
    socket: Arc<Udp>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.socket.was_full.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        // Most often there is room again, and nothing to wait for.
        if self.waiting.is_none()
            && let Some(room) = self.socket.room.get()
            && room.try_io(Interest::WRITABLE, |_| Ok(())).is_ok()
        {
            return Poll::Ready(Ok(()));
        }
        let socket = Arc::clone(&self.socket);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { socket.room().await }));
        let told = ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(told)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[expect(unsafe_code, reason = "tokio has no safe way to register a socket for one direction alone")]
fn register(socket: Arc<UdpSocket>, interest: Interest) -> io::Result<AsyncFd<Arc<UdpSocket>>> {
    // SAFETY: the descriptor is open and the same for as long as its `UdpSocket` is there, which `AsyncFd` holds, and
    // which nothing can take the descriptor from, since it is shared.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::task::Waker;

    fn udp() -> Arc<Udp> {
        Arc::new(Udp::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap())
    }

    fn send(from: &Udp, to: &Udp, contents: &[u8]) -> io::Result<()> {
        let destination = to.local_addr().unwrap();
        from.try_send(&Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None })
    }

    /// Receives as quinn does.
    fn poll(socket: &Udp, context: &mut Context<'_>) -> Poll<usize> {
        let mut buffers = vec![[0; 64]; quinn::udp::BATCH_SIZE];
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let mut meta = vec![RecvMeta::default(); slices.len()];
        socket.poll_recv(context, &mut slices, &mut meta).map(Result::unwrap)
    }

    #[tokio::test]
    async fn whatever_comes_after_all_was_taken_wakes_again() {
        let (from, to) = (udp(), udp());
        for _ in 0..100 {
            send(&from, &to, b"one").unwrap();
            assert_eq!(poll_fn(|context| poll(&to, context)).await, 1);
            // Between the two is where a wake-up could be lost.
            send(&from, &to, b"two").unwrap();
            send(&from, &to, b"three").unwrap();
            let mut received = 0;
            while received < 2 {
                received += poll_fn(|context| poll(&to, context)).await;
            }
            assert!(poll(&to, &mut Context::from_waker(Waker::noop())).is_pending());
        }
    }

    #[tokio::test]
    async fn more_than_is_taken_at_once_is_all_taken() {
        let (from, to) = (udp(), udp());
        let sent = 3 * quinn::udp::BATCH_SIZE + 1;
        for _ in 0..sent {
            send(&from, &to, b"one").unwrap();
        }
        let mut received = 0;
        while received < sent {
            received += poll_fn(|context| poll(&to, context)).await;
        }
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn who_found_no_room_is_told_once_there_is_some() {
        let socket = udp();
        let mut pollers = [(); 3].map(|()| socket.clone().create_io_poller());
        for poller in &mut pollers {
            assert!(poll_once(poller).is_ready(), "nothing was ever full");
        }
        // Loopback delivers at once, so that no buffer of its fills: this is what a full one leaves behind.
        socket.was_full.store(true, Ordering::Relaxed);
        for poller in &mut pollers {
            assert!(poll_once(poller).is_pending(), "asks the system");
        }
        for poller in &mut pollers {
            poll_fn(|context| poller.as_mut().poll_writable(context)).await.unwrap();
        }
        send(&socket, &socket, b"room").unwrap();
        assert_eq!(poll_fn(|context| poll(&socket, context)).await, 1);
    }

    #[tokio::test]
    async fn who_finds_no_room_again_is_not_told_of_the_room_before() {
        let socket = udp();
        let mut poller = socket.clone().create_io_poller();
        socket.was_full.store(true, Ordering::Relaxed);
        poll_fn(|context| poller.as_mut().poll_writable(context)).await.unwrap();
        let full = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        let room = socket.room.get().expect("it was asked for");
        room.try_io(Interest::WRITABLE, |_| full()).unwrap_err();
        assert!(poll_once(&mut poller).is_pending());
    }

    fn poll_once(poller: &mut Pin<Box<dyn UdpPoller>>) -> Poll<()> {
        poller.as_mut().poll_writable(&mut Context::from_waker(Waker::noop())).map(Result::unwrap)
    }
}
