//! QUIC endpoints: the gateway's listener, and the sockets that clients and links dial from.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use aws_lc_rs::hmac;
use quinn::{AsyncUdpSocket, EndpointConfig, TokioRuntime};
use quinn_proto::HashedConnectionIdGenerator;
use quinn_proto::crypto::{CryptoError, HmacKey};

use crate::profile::{MAX_UDP_PAYLOAD, TransportProfile};
use crate::socket;
use crate::tls::{ClientTls, ServerTls};

/// Handshakes that may wait to be accepted; further ones are refused. A guess, not measured.
const MAX_INCOMING: usize = 1024;

/// Bytes buffered for connections that are not accepted yet, all together.
const INCOMING_BUFFER: u64 = 16 << 20;

/// The listening endpoint of a gateway, for clients and links on one port.
///
/// Dropping it does not close its connections; [`quinn::Endpoint::close`] does.
#[derive(Clone, Debug)]
pub struct ServerEndpoint {
    endpoint: quinn::Endpoint,
    near: Arc<quinn::ServerConfig>,
    far: Arc<quinn::ServerConfig>,
}

impl ServerEndpoint {
    /// Listens on `addr`. With the same `reset_secret` as before, a listener that was killed and started again tells the
    /// peers of lost connections at their next packet that these are gone; else they notice by silence. `[::]` takes IPv4 as well, and becomes `0.0.0.0` on a machine without IPv6. Every
    /// connection begins with `profile`; see [`TransportProfile::apply`].
    ///
    /// # Errors
    /// When the address cannot be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        tls: &ServerTls,
        profile: &TransportProfile,
        reset_secret: Option<&[u8]>,
    ) -> io::Result<Self> {
        let mut far = quinn::ServerConfig::with_crypto(tls.quic());
        far.max_incoming(MAX_INCOMING)
            .incoming_buffer_size_total(INCOMING_BUFFER)
            .transport_config(Arc::new(profile.transport_config(false)));
        // A clone, so that both sign address tokens with the same key.
        let mut near = far.clone();
        near.transport_config(Arc::new(profile.transport_config(true)));
        let endpoint = endpoint(addr, Some(far.clone()), reset_secret)?;
        Ok(Self { endpoint, near: Arc::new(near), far: Arc::new(far) })
    }

    /// The next attempt to connect; `None` once the endpoint is closed. [`admit`](Self::admit) it, or refuse it,
    /// or have it prove its address with [`quinn::Incoming::retry`].
    pub async fn accept(&self) -> Option<quinn::Incoming> {
        self.endpoint.accept().await
    }

    /// Starts the handshake, with large packets from the start when the peer is on this machine.
    ///
    /// # Errors
    /// When the first packet of the peer is invalid.
    pub fn admit(&self, incoming: quinn::Incoming) -> Result<quinn::Connecting, quinn::ConnectionError> {
        let near = socket::is_loopback(incoming.remote_address());
        incoming.accept_with(if near { self.near.clone() } else { self.far.clone() })
    }

    /// Where it listens, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The endpoint itself, to close it, or to wait until it is idle.
    pub fn quinn(&self) -> &quinn::Endpoint {
        &self.endpoint
    }
}

/// An endpoint to dial from, on a free port, for both IP versions where the machine has them.
///
/// # Errors
/// When no socket can be bound.
///
/// # Panics
/// Outside a tokio runtime.
pub fn client_endpoint() -> io::Result<quinn::Endpoint> {
    endpoint(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), None, None)
}

/// Dials `addr` and waits for the handshake. The certificate has to be valid for `server_name`.
///
/// # Errors
/// [`DialError`] with the address; whether trying again helps depends on its source.
pub async fn connect(
    endpoint: &quinn::Endpoint,
    addr: SocketAddr,
    server_name: &str,
    tls: &ClientTls,
    profile: &TransportProfile,
) -> Result<quinn::Connection, DialError> {
    let mut config = quinn::ClientConfig::new(tls.quic());
    config.transport_config(Arc::new(profile.transport_config(socket::is_loopback(addr))));
    endpoint
        .connect_with(config, addr, server_name)
        .map_err(|source| DialError::Impossible { addr, server_name: server_name.to_owned(), source })?
        .await
        .map_err(|source| DialError::Failed { addr, server_name: server_name.to_owned(), source })
}

/// The ALPN that the handshake of this connection chose.
pub fn alpn(connection: &quinn::Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<quinn::crypto::rustls::HandshakeData>().ok()?.protocol
}

fn endpoint(
    addr: SocketAddr,
    server: Option<quinn::ServerConfig>,
    reset_secret: Option<&[u8]>,
) -> io::Result<quinn::Endpoint> {
    let mut config = reset_secret.map_or_else(EndpointConfig::default, resettable);
    // Told to the peer, who never sends more; quinn's default would cap every path at 1472.
    config.max_udp_payload_size(MAX_UDP_PAYLOAD).expect("the limit lies within what QUIC allows");
    let socket = register(socket::bind(addr)?)?;
    quinn::Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
}

#[cfg(unix)]
fn register(socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    Ok(Arc::new(crate::udp::Udp::new(socket)?))
}

#[cfg(not(unix))]
fn register(socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket)
}

/// Connection ids and reset tokens that the next process with this secret knows as its own.
fn resettable(secret: &[u8]) -> EndpointConfig {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, b"connection ids");
    let (ids, _) = tag.as_ref().split_first_chunk().expect("a tag of SHA-256 has 32 bytes");
    let ids = u64::from_le_bytes(*ids);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// quinn implements its trait for aws-lc-rs only where no other crate of the program has it use ring.
struct ResetKey(hmac::Key);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        hmac::HMAC_SHA256.digest_algorithm().output_len()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

/// Dialling a peer did not give a connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing was sent: the endpoint is closed, or the name or address is unusable.
    #[error("cannot dial {server_name} at {addr}")]
    Impossible {
        /// Where to.
        addr: SocketAddr,
        /// The name its certificate should have.
        server_name: String,
        /// Why.
        source: quinn::ConnectError,
    },
    /// The handshake failed.
    #[error("no connection to {server_name} at {addr}")]
    Failed {
        /// Where to.
        addr: SocketAddr,
        /// The name its certificate should have.
        server_name: String,
        /// Why.
        source: quinn::ConnectionError,
    },
}
