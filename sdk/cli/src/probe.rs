//! Whether QUIC answers at an address, without TLS: what `nc -zvu` cannot tell.
//!
//! A QUIC server answers a version that it does not know with the versions that it does (RFC 9000, 6.1), so one
//! datagram tells whether UDP comes through in both directions.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// A version that is reserved for being unknown (RFC 9000, 15).
const UNKNOWN_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
/// Servers may ignore smaller datagrams (RFC 9000, 14.1).
const DATAGRAM_BYTES: usize = 1200;
/// The connection id that the answer has to name.
const ID: [u8; 8] = *b"doctor-1";
/// How long to wait before asking again: UDP may lose either datagram.
const REPEAT: Duration = Duration::from_millis(300);

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// QUIC, after this time.
    Quic(Duration),
    /// Something else.
    Other,
    /// The host itself: nobody listens at this port.
    Closed,
    /// Nothing.
    Silence,
}

/// Asks until something comes back or time is up.
pub(crate) async fn probe(address: SocketAddr, patience: Duration) -> io::Result<Answer> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    // Only a connected socket is told that nobody listens.
    socket.connect(address).await?;
    tokio::time::timeout(patience, ask(&socket)).await.unwrap_or(Ok(Answer::Silence))
}

async fn ask(socket: &UdpSocket) -> io::Result<Answer> {
    let began = Instant::now();
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        match socket.send(&question()).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Answer::Closed),
            sent => sent?,
        };
        match tokio::time::timeout(REPEAT, socket.recv(&mut buffer)).await {
            Err(_) => {}
            Ok(Ok(bytes)) if is_answer(&buffer[..bytes]) => return Ok(Answer::Quic(began.elapsed())),
            Ok(Ok(_)) => return Ok(Answer::Other),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Answer::Closed),
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// A long header of the unknown version, padded.
fn question() -> [u8; DATAGRAM_BYTES] {
    let mut datagram = [0; DATAGRAM_BYTES];
    datagram[0] = 0xc0;
    datagram[1..5].copy_from_slice(&UNKNOWN_VERSION);
    datagram[5] = ID.len() as u8;
    datagram[6..14].copy_from_slice(&ID);
    datagram[14] = ID.len() as u8;
    datagram[15..23].copy_from_slice(&ID);
    datagram
}

/// Version negotiation: a long header of version 0 for our connection id.
fn is_answer(datagram: &[u8]) -> bool {
    datagram.len() > 14 && datagram[0] & 0x80 != 0 && datagram[1..5] == [0; 4] && datagram[6..14] == ID
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_told_from_a_closed_port_and_from_strangers() {
        let patience = Duration::from_millis(500);
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
        let address = silent.local_addr().expect("it is bound");
        assert_eq!(probe(address, patience).await.expect("a socket"), Answer::Silence);
        drop(silent);
        assert_eq!(probe(address, patience).await.expect("a socket"), Answer::Closed);

        let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
        let address = stranger.local_addr().expect("it is bound");
        let reply = async {
            let mut buffer = [0; DATAGRAM_BYTES];
            let (_, from) = stranger.recv_from(&mut buffer).await.expect("the question");
            stranger.send_to(b"what?", from).await.expect("an answer");
        };
        let (answer, ()) = tokio::join!(probe(address, Duration::from_secs(5)), reply);
        assert_eq!(answer.expect("a socket"), Answer::Other);
    }
}
