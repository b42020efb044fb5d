//! An authority in a directory, and the certificates that it issues.
//!
//! The first process that needs it makes it, under a lock, and the others find it. Nobody else can read its key,
//! so nothing outside this user's account has to be trusted.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{GatewayUri, Identity, IdentityError};

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";
const LOCK: &str = "lock";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Life of the authority. Long enough to be forgotten, since renewing it would cut running processes off.
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Certificates are valid from a little before now, for machines whose clocks differ.
const CLOCK_SLACK: Duration = Duration::from_secs(60 * 60);

/// An authority whose certificate and key are kept in a directory.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate to be issued.
#[derive(Clone, Copy, Debug)]
pub struct LeafRequest<'a> {
    /// Its subject's common name; no verifier looks at it, and it must not be the authority's.
    pub common_name: &'a str,
    /// Host names and IP addresses that it is for.
    pub names: &'a [String],
    /// The gateway that it is for, if it is for one.
    pub gateway: Option<&'a GatewayUri>,
    /// How long it is valid.
    pub life: Duration,
}

/// An issued certificate with its new key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Ready to be presented.
    pub identity: Identity,
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PEM.
    pub key: String,
}

impl Authority {
    /// Opens the authority in `dir`, or makes it there under this common name. Processes that do so at the same time get
    /// the same one.
    ///
    /// # Errors
    /// [`AuthorityError`] naming the path and the remedy, when the directory cannot be used or what is in it
    /// is damaged or belongs to somebody else. Nothing is replaced then: others may be using it.
    pub fn open_or_create(dir: &Path, common_name: &str) -> Result<Self, AuthorityError> {
        create_dir(dir).map_err(|source| AuthorityError::io(dir, source))?;
        check_owner(dir)?;
        let lock_path = dir.join(LOCK);
        let lock = private().create(true).open(&lock_path);
        let lock = lock.map_err(|source| AuthorityError::io(&lock_path, source))?;
        // Held until the file is closed at the end of this function.
        lock.lock().map_err(|source| AuthorityError::io(&lock_path, source))?;
        // The certificate is written last, so a key alone is an attempt that was cut off.
        if !dir.join(CERTIFICATE).exists() {
            create(dir, common_name)?;
        }
        Self::open(dir)
    }

    /// Opens the authority in `dir`, which has to be there.
    ///
    /// # Errors
    /// As [`open_or_create`](Self::open_or_create).
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let certificate_path = dir.join(CERTIFICATE);
        let key_path = dir.join(KEY);
        let damaged = |path: &Path, reason: &str| AuthorityError::damaged(dir, path, reason);

        let certificate = read(&certificate_path)?;
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| damaged(&certificate_path, "is not a PEM certificate"))?;
        let key = match read(&key_path) {
            Err(AuthorityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(&key_path, "is missing"));
            }
            key => KeyPair::from_pem(&key?).map_err(|_| damaged(&key_path, "is not a PEM key"))?,
        };

        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| damaged(&certificate_path, "is not an X.509 certificate"))?;
        if !parsed.is_ca() {
            return Err(damaged(&certificate_path, "is not the certificate of an authority"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != rcgen::PublicKeyData::der_bytes(&key) {
            return Err(damaged(&key_path, "is not the key of the certificate beside it"));
        }
        if !parsed.validity().is_valid() {
            return Err(damaged(&certificate_path, "is out of date"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|_| damaged(&certificate_path, "cannot be used to issue certificates"))?;
        Ok(Self { dir: dir.to_owned(), certificate, issuer })
    }

    /// Bytes that only this user's processes know, the same in each of them, different for each purpose.
    pub fn secret(&self, purpose: &str) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.issuer.key().serialize_der());
        hmac::sign(&key, purpose.as_bytes()).as_ref().to_vec()
    }

    /// The certificate of the authority, in PEM form, for tools such as `curl --cacert`.
    pub fn certificate_path(&self) -> PathBuf {
        self.dir.join(CERTIFICATE)
    }

    /// Trust in this authority and no other.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("the certificate was read when it was opened");
        roots
    }

    /// Issues a certificate with a new key, for server and client use.
    ///
    /// # Errors
    /// [`AuthorityError::BadName`] when a name cannot stand in a certificate.
    pub fn issue(&self, request: &LeafRequest<'_>) -> Result<Leaf, AuthorityError> {
        let mut alternative_names = Vec::new();
        for name in request.names {
            let name = alternative_name(name).ok_or_else(|| AuthorityError::BadName(name.clone()))?;
            if !alternative_names.contains(&name) {
                alternative_names.push(name);
            }
        }
        if let Some(gateway) = request.gateway {
            let uri = gateway.to_string().try_into().expect("a gateway URI is ASCII");
            alternative_names.push(SanType::URI(uri));
        }

        let mut params = CertificateParams::default();
        params.distinguished_name = subject(request.common_name);
        params.subject_alt_names = alternative_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = (now - CLOCK_SLACK).into();
        params.not_after = (now - CLOCK_SLACK + request.life).into();

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen writes PKCS #8");
        let identity = Identity::new(vec![leaf.der().clone()], private)?;
        Ok(Leaf { identity, certificate: leaf.pem(), key: key.serialize_pem() })
    }
}

/// Makes the authority; the caller holds the lock.
fn create(dir: &Path, common_name: &str) -> Result<(), AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + CA_LIFE).into();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    write(dir, KEY, &key.serialize_pem())?;
    write(dir, CERTIFICATE, &certificate.pem())
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Macula");
    subject.push(DnType::CommonName, name);
    subject
}

/// Whether a name can stand in a certificate.
pub(super) fn is_legal_name(name: &str) -> bool {
    alternative_name(name).is_some()
}

fn alternative_name(name: &str) -> Option<SanType> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(SanType::IpAddress(address));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte);
    if name.is_empty() || !name.bytes().all(legal) {
        return None;
    }
    name.try_into().ok().map(SanType::DnsName)
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    check_owner(path)?;
    std::fs::read_to_string(path).map_err(|source| AuthorityError::io(path, source))
}

/// Writes a file whole or not at all, readable by this user alone.
fn write(dir: &Path, name: &str, content: &str) -> Result<(), AuthorityError> {
    let temporary = dir.join(format!("{name}.new"));
    let written = (|| {
        let mut file: File = private().create(true).truncate(true).open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, dir.join(name))
    })();
    written.map_err(|source| AuthorityError::io(&temporary, source))
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(unix)]
fn create_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A directory in a shared place could have been put there by another user.
#[cfg(unix)]
fn check_owner(path: &Path) -> Result<(), AuthorityError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path).map_err(|source| AuthorityError::io(path, source))?;
    let writable_by_others = metadata.mode() & 0o022 != 0;
    if metadata.uid() != rustix::process::geteuid().as_raw() || writable_by_others {
        return Err(AuthorityError::Foreign { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

#[cfg(not(unix))]
fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(dir)
}

/// Elsewhere the user's own directories are protected by the system.
#[cfg(not(unix))]
fn check_owner(path: &Path) -> Result<(), AuthorityError> {
    std::fs::metadata(path).map(drop).map_err(|source| AuthorityError::io(path, source))
}

/// An authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or directory cannot be read or written.
    #[error("cannot use {path} for the CA; make it writable, or use another directory (XDG_STATE_HOME for the development CA)",
        path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It belongs to somebody else, or others may change it.
    #[error("{path} can be changed by another user, so its CA is not trusted; remove it, or use a directory of your own (XDG_STATE_HOME for the development CA)",
        path = path.display())]
    Foreign {
        /// The file or directory.
        path: PathBuf,
    },
    /// The authority is damaged or out of date.
    #[error("CA: {path} {reason}; stop Macula, remove {dir} and start again",
        path = path.display(), dir = dir.display())]
    Damaged {
        /// The directory to remove.
        dir: PathBuf,
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A name cannot stand in a certificate.
    #[error("{0:?} is neither a host name nor an IP address")]
    BadName(String),
    /// Making a key or certificate failed.
    #[error("cannot make a certificate")]
    Generate(#[from] rcgen::Error),
    /// The issued certificate is unusable.
    #[error("cannot use the certificate that was made")]
    Identity(#[from] IdentityError),
}

impl AuthorityError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn damaged(dir: &Path, path: &Path, reason: &str) -> Self {
        Self::Damaged { dir: dir.to_owned(), path: path.to_owned(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests;
