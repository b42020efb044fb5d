//! `macula cert`: the authority of a mesh, and the certificates of its gateways.

use crate::args::{CertCommand, ConnectionArgs, IssueArgs};
use crate::connect::DEFAULT_REALM;
use crate::error::Error;
use crate::output::Output;
use macula_transport::tls::{Authority, GatewayUri, Identity, LeafRequest, load};
use serde_json::json;
use std::error::Error as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes what is asked for, or keeps it if it is there and good.
pub(crate) fn run(
    command: &CertCommand,
    connection: &ConnectionArgs,
    mut environment: impl Iterator<Item = (String, String)>,
    output: Output,
) -> Result<(), Error> {
    match command {
        CertCommand::Ca { dir } => {
            let authority =
                Authority::open_or_create(dir, "Macula mesh CA").map_err(|error| failed(&error))?;
            tell(output, &authority.certificate_path(), "the authority", None)
        }
        CertCommand::Issue(args) => {
            let from_environment =
                || environment.find(|(name, _)| name == "MACULA_REALM").map(|(_, realm)| realm);
            let realm = connection.realm.clone().or_else(from_environment);
            issue(args, realm.as_deref().unwrap_or(DEFAULT_REALM), output)
        }
    }
}

fn issue(args: &IssueArgs, realm: &str, output: Output) -> Result<(), Error> {
    let gateway = GatewayUri::new(realm, &args.gateway).map_err(|error| Error::Usage(error.to_string()))?;
    let authority = Authority::open(&args.authority).map_err(|error| failed(&error))?;
    let path = authority.certificate_path();
    let root = fs::read_to_string(&path).map_err(|error| io_error(&path, &error))?;
    let certificate = args.dir.join(CERTIFICATE);
    if let Some(good) = existing(args, &gateway, &root) {
        return tell(output, &certificate, "kept", Some(&good));
    }
    let life = DAY * args.days;
    let request =
        LeafRequest { common_name: "Macula gateway", names: &args.names, gateway: Some(&gateway), life };
    let leaf = authority.issue(&request).map_err(|error| failed(&error))?;
    fs::create_dir_all(&args.dir).map_err(|error| io_error(&args.dir, &error))?;
    write(&args.dir.join(AUTHORITY), &root)?;
    // The key last: it fits no other certificate, so an attempt that was cut off is seen and made again.
    write(&certificate, &leaf.certificate)?;
    write(&args.dir.join(KEY), &leaf.key)?;
    tell(output, &certificate, "made", Some(&leaf.identity))
}

/// The certificate that is there, if it is just what is asked for and still good for long enough.
fn existing(args: &IssueArgs, gateway: &GatewayUri, root: &str) -> Option<Identity> {
    let path = |name: &str| args.dir.join(name);
    let same_authority = fs::read_to_string(path(AUTHORITY)).is_ok_and(|there| there == root);
    let identity = load(Some(&path(CERTIFICATE)), Some(&path(KEY)), None).ok()?.identity?;
    let mut names = args.names.clone();
    names.sort();
    names.dedup();
    let fits = same_authority && identity.gateway().as_ref() == Some(gateway) && identity.names() == names;
    let latest_end = SystemTime::now() + DAY * args.days;
    (fits && SystemTime::now() < identity.renew_at() && identity.not_after() <= latest_end)
        .then_some(identity)
}

fn tell(mut output: Output, path: &Path, what: &str, identity: Option<&Identity>) -> Result<(), Error> {
    let left =
        |identity: &Identity| identity.not_after().duration_since(SystemTime::now()).unwrap_or_default();
    let days = identity.map(|identity| left(identity).as_secs() / DAY.as_secs());
    let gateway = identity.and_then(Identity::gateway).map(|gateway| gateway.to_string());
    if output.is_json() {
        let file = path.display().to_string();
        output.object(&json!({"file": file, "state": what, "gateway": gateway, "days": days}))?;
    } else {
        let more = match (gateway, days) {
            (Some(gateway), Some(days)) => format!(", {gateway}, valid for {days} more days"),
            _ => String::new(),
        };
        output.line(&format!("{}: {what}{more}", path.display()))?;
    }
    output.flush()
}

/// Writes a file whole or not at all, readable by this user alone.
fn write(path: &Path, content: &str) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let written = (|| {
        let _ = fs::remove_file(&temporary);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|error: std::io::Error| io_error(path, &error))
}

fn io_error(path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot use {}: {error}", path.display()))
}

fn failed(error: &macula_transport::tls::AuthorityError) -> Error {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Error::Failed(format!("{error}{cause}"))
}

#[cfg(test)]
mod tests;
