//! Who we are and whom we trust: certificates, their reload, and the TLS settings of both ends.
//!
//! TLS 1.3 only, aws-lc-rs, AES-128-GCM first, 0-RTT off: a replayed publication or call would do harm.
//! Development needs no set-up, see [`DevAuthority`]; production mounts files, see [`load`].

mod authority;
mod client;
mod dev;
mod gateway_uri;
mod identity;
mod mounted;
mod pinned;
mod roots;
mod server;
mod trust;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use authority::{Authority, AuthorityError, Leaf, LeafRequest};
pub use client::ClientTls;
pub use dev::DevAuthority;
pub use gateway_uri::{GatewayUri, GatewayUriError, PeerGatewayError, peer_gateway};
pub use identity::{CertSlot, Identity, IdentityError, hash_for_browsers};
pub use mounted::{LoadError, Mounted, load};
pub use roots::{RootsError, platform_roots, roots_from_pem};
pub use server::ServerTls;
pub use trust::TrustSlot;

pub use rustls::RootCertStore;

/// TLS settings could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The roots are unusable.
    #[error("no certificate could be verified with these roots")]
    Roots(#[from] rustls::server::VerifierBuilderError),
    /// rustls refuses the settings.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// The cryptography of both ends: that of aws-lc-rs, with the cipher that is fastest on server processors first.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        Arc::new(provider)
    });
    PROVIDER.clone()
}
