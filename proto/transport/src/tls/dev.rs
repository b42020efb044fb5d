//! Certificates for development: an authority that all processes of one user on one machine share.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::RootCertStore;

use super::{Authority, AuthorityError, GatewayUri, Identity, LeafRequest};

/// Life of a leaf. Browsers accept a certificate by its hash only if it lives at most 14 days.
const LEAF_LIFE: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// The development authority of this user on this machine.
#[derive(Debug)]
pub struct DevAuthority(Authority);

impl DevAuthority {
    /// Where the authority is kept: `macula/dev-ca` in the user's state directory, else a directory of the user
    /// in the temporary one. `env` reads an environment variable, usually [`std::env::var_os`].
    pub fn default_dir(env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .or_else(|| absolute("LOCALAPPDATA"))
            .map(|state| state.join("macula/dev-ca"))
            .unwrap_or_else(|| std::env::temp_dir().join(format!("macula-dev-ca-{}", user())))
    }

    /// Opens the authority in `dir`, or makes it there. Processes that do so at the same time get the same one.
    ///
    /// # Errors
    /// As [`Authority::open_or_create`].
    pub fn open_or_create(dir: &Path) -> Result<Self, AuthorityError> {
        // Not the leaf's subject: a verifier that builds chains by name would take it for self-signed.
        Authority::open_or_create(dir, "Macula development CA").map(Self)
    }

    /// Bytes that only this user's processes know, the same in each of them, different for each purpose.
    pub fn secret(&self, purpose: &str) -> Vec<u8> {
        self.0.secret(purpose)
    }

    /// The certificate of the authority, in PEM form, for tools such as `curl --cacert`.
    pub fn certificate_path(&self) -> PathBuf {
        self.0.certificate_path()
    }

    /// Trust in this authority and no other.
    pub fn roots(&self) -> RootCertStore {
        self.0.roots()
    }

    /// Issues a certificate with a new key, for server and client use. It is valid for ten days, for this
    /// machine's own names, for `names` (host names or IP addresses), and as `gateway` if one is given.
    ///
    /// # Errors
    /// [`AuthorityError::BadName`] when a name cannot stand in a certificate.
    pub fn issue(&self, names: &[String], gateway: Option<&GatewayUri>) -> Result<Identity, AuthorityError> {
        let names: Vec<String> = own_names().chain(names.iter().cloned()).collect();
        let request = LeafRequest {
            common_name: "Macula development gateway",
            names: &names,
            gateway,
            life: LEAF_LIFE,
        };
        Ok(self.0.issue(&request)?.identity)
    }
}

/// What this machine is called from itself and from its neighbours.
fn own_names() -> impl Iterator<Item = String> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    // A machine may be called what no certificate can hold.
    let legal = |name: &String| super::authority::is_legal_name(name);
    names.into_iter().chain(host_name()).filter(legal)
}

#[cfg(unix)]
fn user() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "user".to_owned())
}

#[cfg(not(unix))]
fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_comes_from_the_environment_it_is_given() {
        let only = |wanted: &'static str, value: &'static str| {
            move |name: &str| (name == wanted).then(|| OsString::from(value))
        };
        assert_eq!(DevAuthority::default_dir(only("XDG_STATE_HOME", "/s")), Path::new("/s/macula/dev-ca"));
        let home = DevAuthority::default_dir(only("HOME", "/home/me"));
        assert_eq!(home, Path::new("/home/me/.local/state/macula/dev-ca"));
        let relative = DevAuthority::default_dir(only("XDG_STATE_HOME", "s"));
        assert!(relative.starts_with(std::env::temp_dir()));
    }
}
