//! Certificates that somebody else makes and mounts as files, such as cert-manager.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Identity, IdentityError, RootsError, roots_from_pem};

/// What mounted files gave.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// The certificate to present, if one is mounted.
    pub identity: Option<Identity>,
    /// The authorities to trust, if they are mounted.
    pub roots: Option<RootCertStore>,
}

/// Reads mounted PEM files: a certificate chain with its key, and CA certificates.
///
/// Read again after a change; on an error the last good identity is better than none.
///
/// # Errors
/// [`LoadError`] naming the file and what to do, also when only one of certificate and key is given.
pub fn load(cert: Option<&Path>, key: Option<&Path>, ca: Option<&Path>) -> Result<Mounted, LoadError> {
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some(load_identity(cert, key)?),
        (Some(cert), None) => return Err(LoadError::NoKey { cert: cert.to_owned() }),
        (None, Some(key)) => return Err(LoadError::NoCertificate { key: key.to_owned() }),
        (None, None) => None,
    };
    Ok(Mounted { identity, roots: ca.map(roots_from_pem).transpose()? })
}

fn load_identity(cert: &Path, key: &Path) -> Result<Identity, LoadError> {
    let chain = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| LoadError::NotPem { path: cert.to_owned(), reason: error.to_string() })?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| LoadError::NotPem { path: key.to_owned(), reason: error.to_string() })?;
    Identity::new(chain, private).map_err(|source| LoadError::NoIdentity {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })
}

/// Mounted certificate files are unusable.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A certificate is given without its key.
    #[error("certificate {cert} has no key; set MACULA_TLS_KEY too", cert = cert.display())]
    NoKey {
        /// The certificate file.
        cert: PathBuf,
    },
    /// A key is given without its certificate.
    #[error("key {key} has no certificate; set MACULA_TLS_CERT too", key = key.display())]
    NoCertificate {
        /// The key file.
        key: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}; check that it is mounted and may be read by this user", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not in PEM form.
    #[error("{path} holds no usable PEM: {reason}; give it in PEM form", path = path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not fit.
    #[error("{cert} and {key} make no identity; mount the chain, leaf first, with the leaf's key",
        cert = cert.display(), key = key.display())]
    NoIdentity {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// The CA file is unusable.
    #[error(transparent)]
    Roots(#[from] RootsError),
}
