//! Dialling a gateway as its client: resolve, connect, open the session.

use crate::endpoint::{self, client_endpoint};
use crate::profile::TransportProfile;
use crate::session::{ConnectError, Driver, Session, connect_session};
use crate::tls::{
    ClientTls, DevAuthority, RootCertStore, RootsError, TlsError, platform_roots, roots_from_pem,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Path of the session on every gateway.
pub const SESSION_PATH: &str = "/v1/session";

/// Whom a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The development authority of this user and machine, and the platform's roots.
    Development,
    /// The authorities in a PEM file.
    File(PathBuf),
}

/// Opens sessions from one socket, which others may share.
#[derive(Debug)]
pub struct Dialer {
    endpoint: quinn::Endpoint,
    tls: ClientTls,
}

impl Dialer {
    /// Binds a socket on a free port.
    ///
    /// # Errors
    /// When there is no socket, or the roots cannot be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(roots: &Roots) -> Result<Self, DialerError> {
        Self::on(client_endpoint().map_err(DialerError::Socket)?, roots)
    }

    /// Dials from an endpoint that is there.
    ///
    /// # Errors
    /// When the roots cannot be read.
    pub fn on(endpoint: quinn::Endpoint, roots: &Roots) -> Result<Self, DialerError> {
        Ok(Self { endpoint, tls: ClientTls::session(roots.load()?, None)? })
    }

    /// Opens a session. The name is resolved anew; its addresses are tried in turn. The driver has to be spawned.
    ///
    /// # Errors
    /// [`SessionDialError`] of the last address.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        headers: &[(&str, &str)],
    ) -> Result<(Session, Driver), SessionDialError> {
        let unresolved = |source| SessionDialError::Unresolved { host: host.to_owned(), source };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((host, port)).await.map_err(unresolved)?.collect();
        let mut last = unresolved(std::io::Error::other("the name has no address"));
        for address in addresses {
            match self.open(address, host, port, headers).await {
                Ok(opened) => return Ok(opened),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The certificate that a gateway shows to clients, if it is one that this client trusts. No session is opened.
    ///
    /// # Errors
    /// [`SessionDialError`] of the last address.
    pub async fn certificate(
        &self,
        host: &str,
        port: u16,
    ) -> Result<CertificateDer<'static>, SessionDialError> {
        let unresolved = |source| SessionDialError::Unresolved { host: host.to_owned(), source };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((host, port)).await.map_err(unresolved)?.collect();
        let mut last = unresolved(std::io::Error::other("the name has no address"));
        for address in addresses {
            let connecting =
                endpoint::connect(&self.endpoint, address, host, &self.tls, &TransportProfile::SESSION);
            match connecting.await {
                Ok(connection) => {
                    let chain = connection
                        .peer_identity()
                        .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
                    connection.close(0u32.into(), b"");
                    match chain.and_then(|chain| chain.into_iter().next()) {
                        Some(leaf) => return Ok(leaf),
                        None => last = unresolved(std::io::Error::other("the peer shows no certificate")),
                    }
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    async fn open(
        &self,
        address: SocketAddr,
        host: &str,
        port: u16,
        headers: &[(&str, &str)],
    ) -> Result<(Session, Driver), SessionDialError> {
        let connection =
            endpoint::connect(&self.endpoint, address, host, &self.tls, &TransportProfile::SESSION).await?;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name =
                HeaderName::try_from(*name).map_err(|_| SessionDialError::Header((*name).to_owned()))?;
            let value =
                HeaderValue::try_from(*value).map_err(|_| SessionDialError::Header(name.to_string()))?;
            map.insert(name, value);
        }
        Ok(connect_session(connection, &authority, SESSION_PATH, map).await?)
    }

    /// Closes all connections of the endpoint and waits until their peers know.
    pub async fn close(&self) {
        self.endpoint.close(0u32.into(), b"");
        self.endpoint.wait_idle().await;
    }
}

impl Roots {
    fn load(&self) -> Result<RootCertStore, DialerError> {
        match self {
            Roots::File(path) => Ok(roots_from_pem(path)?),
            Roots::Development => {
                let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
                let mut roots = match DevAuthority::open_or_create(&dir) {
                    Ok(authority) => authority.roots(),
                    // A machine where the directory cannot be written has no development gateway either.
                    Err(error) => {
                        tracing::debug!(%error, "no development authority");
                        RootCertStore::empty()
                    }
                };
                if let Ok(platform) = platform_roots() {
                    roots.extend(platform.roots);
                }
                Ok(roots)
            }
        }
    }
}

/// A dialer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    /// No socket.
    #[error("no UDP socket can be bound")]
    Socket(#[source] std::io::Error),
    /// The file of authorities.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SessionDialError {
    /// The name has no address.
    #[error("`{host}` cannot be resolved")]
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// A header that HTTP does not allow.
    #[error("`{0}` is no legal header, or its value is not")]
    Header(String),
    /// No connection.
    #[error(transparent)]
    Dial(#[from] endpoint::DialError),
    /// A connection, but no session.
    #[error(transparent)]
    Session(#[from] ConnectError),
}
