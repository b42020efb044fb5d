//! UDP sockets with large buffers, for both IP versions where possible.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Once;

use socket2::{Domain, Protocol, Socket, Type};

/// Kernel buffer asked for, in each direction. The usual default of 208 KiB holds fewer than a hundred packets.
const BUFFER_BYTES: usize = 4 << 20;

/// Binds `addr`. The unspecified IPv6 address takes IPv4 too, and falls back to IPv4 alone where there is no IPv6.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    match bind_one(addr) {
        Err(error) if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && lacks_ipv6(&error) => {
            bind_one(SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port())))
        }
        bound => bound,
    }
}

fn bind_one(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    enlarge_buffers(&socket);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        // EAFNOSUPPORT has no kind of its own: 97 on Linux, 47 on the BSDs, 10047 on Windows.
        || matches!(error.raw_os_error(), Some(97 | 47 | 10047))
}

/// Asks for large buffers and says once what is missing; a smaller buffer costs speed, not correctness.
fn enlarge_buffers(socket: &Socket) {
    static WARNED: Once = Once::new();
    // Linux reports twice what it grants, to account for its own bookkeeping.
    let share = if cfg!(target_os = "linux") { 2 } else { 1 };
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    let receive = socket.recv_buffer_size().unwrap_or(0) / share;
    let send = socket.send_buffer_size().unwrap_or(0) / share;
    if receive < BUFFER_BYTES || send < BUFFER_BYTES {
        WARNED.call_once(|| {
            tracing::warn!(
                receive,
                send,
                wanted = BUFFER_BYTES,
                "UDP buffers are smaller than wanted, bursts may be lost; raise net.core.rmem_max and net.core.wmem_max"
            );
        });
    }
}

/// Whether packets to this address stay on the machine.
pub(crate) fn is_loopback(addr: SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_seen_through_an_ipv6_socket_is_loopback_too() {
        assert!(is_loopback("[::ffff:127.0.0.1]:1".parse().unwrap()));
        assert!(is_loopback("[::1]:1".parse().unwrap()));
        assert!(!is_loopback("192.0.2.1:1".parse().unwrap()));
    }

    #[test]
    fn the_unspecified_address_can_always_be_bound() {
        let socket = bind("[::]:0".parse().unwrap()).unwrap();
        assert_ne!(socket.local_addr().unwrap().port(), 0);
    }
}
