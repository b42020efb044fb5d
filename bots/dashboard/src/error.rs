//! Why there is no dashboard.

use std::net::SocketAddr;

use cortexiq_shell::RunError;
use macula_transport::client::DialerError;

/// Why the dashboard did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The mesh.
    #[error(transparent)]
    Mesh(#[from] RunError),
    /// The port cannot be had.
    #[error("PORT: cannot listen on TCP {address}: {source}; is another dashboard running?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error("DASHBOARD_TLS_CERT: {0}")]
    Certificate(String),
    /// No gateway can be asked for its certificate.
    #[error("cannot look at the gateway's certificate: {0}")]
    Dialer(#[from] DialerError),
    /// The server ended although nobody stopped it.
    #[error("the web server has ended: {0}")]
    Ended(std::io::Error),
}
