//! The port of the page: plain, or TLS where there is a certificate.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use macula_transport::tls::{CertSlot, Identity, load};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Certificate;
use crate::error::DashboardError;

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Door {
    /// As they are.
    Plain(TcpListener),
    /// After a handshake, each made by a task of its own, so that nobody waits for a slow one.
    Tls {
        address: SocketAddr,
        ready: mpsc::Receiver<(Stream, SocketAddr)>,
        _accepting: AbortOnDropHandle<()>,
    },
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Door {
    /// Serves TLS if there is a certificate.
    pub(crate) fn new(
        listener: TcpListener,
        certificate: Option<Certificate>,
    ) -> Result<Self, DashboardError> {
        let Some(files) = certificate else { return Ok(Self::Plain(listener)) };
        let address =
            listener.local_addr().map_err(|error| DashboardError::Certificate(error.to_string()))?;
        let slot = CertSlot::new(read(&files).map_err(DashboardError::Certificate)?);
        let acceptor =
            acceptor(slot.clone()).map_err(|error| DashboardError::Certificate(error.to_string()))?;
        let (sink, ready) = mpsc::channel(WAITING);
        let accepting = tokio::spawn(async move {
            tokio::join!(accept(listener, acceptor, sink), reload(files, slot));
        });
        Ok(Self::Tls { address, ready, _accepting: AbortOnDropHandle::new(accepting) })
    }
}

fn read(files: &Certificate) -> Result<Identity, String> {
    let mounted = load(Some(&files.chain), Some(&files.key), None).map_err(|error| error.to_string())?;
    mounted.identity.ok_or_else(|| "the file holds no certificate".to_owned())
}

fn acceptor(slot: Arc<CertSlot>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(slot);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(mut listener: TcpListener, acceptor: TlsAcceptor, sink: mpsc::Sender<(Stream, SocketAddr)>) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer) = Listener::accept(&mut listener), if handshakes.len() < HANDSHAKES => {
                let (acceptor, sink) = (acceptor.clone(), sink.clone());
                handshakes.spawn(async move {
                    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                        // Closed only when the server has ended.
                        Ok(Ok(stream)) => drop(sink.send((Stream::Tls(Box::new(stream)), peer)).await),
                        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS"),
                        Err(_) => tracing::debug!(%peer, "no TLS in time"),
                    }
                });
            }
            Some(_) = handshakes.join_next() => {}
        }
    }
}

/// Takes up files that have changed; what is wrong with them leaves the last good ones.
async fn reload(files: Certificate, slot: Arc<CertSlot>) {
    let contents = || [&files.chain, &files.key].map(|path| std::fs::read(path).ok());
    let mut seen = contents();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = contents();
        if now == seen {
            continue;
        }
        seen = now;
        match read(&files) {
            Ok(identity) => {
                slot.replace(identity);
                tracing::info!("the certificate was reloaded");
            }
            Err(reason) => tracing::error!(reason, "the certificate is unusable; the last good one stays"),
        }
    }
}

impl Listener for Door {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self {
            Self::Plain(listener) => {
                let (stream, peer) = Listener::accept(listener).await;
                // Small answers and events are not to wait for more.
                let _ = stream.set_nodelay(true);
                (Stream::Plain(stream), peer)
            }
            Self::Tls { ready, .. } => match ready.recv().await {
                Some(accepted) => accepted,
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Plain(listener) => listener.local_addr(),
            Self::Tls { address, .. } => Ok(*address),
        }
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Connections that wait for the server; it takes them at once.
const WAITING: usize = 16;
/// Handshakes at the same time; further connections wait in the system's queue.
const HANDSHAKES: usize = 64;
/// Time for a handshake, over a slow mobile link.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);
