//! Certificate authorities to trust.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The authorities in a PEM file.
///
/// # Errors
/// [`RootsError`] naming the file.
pub fn roots_from_pem(path: &Path) -> Result<RootCertStore, RootsError> {
    let bad = |reason: String| RootsError::Unusable { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|source| RootsError::Io { path: path.to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// The authorities that the operating system trusts, read once in the life of the process: there are hundreds.
///
/// # Errors
/// [`RootsError::NoPlatformRoots`] when it has none, as in a bare container.
pub fn platform_roots() -> Result<RootCertStore, RootsError> {
    static ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots = ROOTS.clone();
    if roots.is_empty() { Err(RootsError::NoPlatformRoots) } else { Ok(roots) }
}

/// There is no authority to trust.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("cannot read the CA file {path}; check that it exists and may be read by this user", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is no CA file: {reason}; give a PEM file of CA certificates", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system trusts nobody.
    #[error("this system has no CA certificates; install ca-certificates, or set MACULA_CA to a CA file")]
    NoPlatformRoots,
}
