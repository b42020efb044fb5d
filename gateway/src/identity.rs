//! Who this gateway is: name, id, epoch. The id follows from realm and name, so that every peer can check it against the
//! name in a certificate.

use crate::settings::Settings;
use macula_core::{Identity, NodeId};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The identity of a gateway that listens on `port`.
pub(crate) fn identity(settings: &Settings, port: u16) -> Result<Identity, String> {
    let host = host_name();
    let name = match (&settings.name, &settings.state_dir) {
        (Some(name), _) => name.clone(),
        (None, Some(dir)) => stored(dir, &host)?,
        // A port that the system chooses says nothing about who we are.
        (None, None) if port == 0 => format!("{host}-{}", Uuid::new_v4().simple()),
        (None, None) => format!("{host}-{port}"),
    };
    let node = NodeId::derived(&settings.realm, &name);
    let advertise = if settings.advertise.is_empty() {
        vec![format!("{host}:{port}")]
    } else {
        settings.advertise.clone()
    };
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Identity { node, name, realm: settings.realm.clone(), epoch, advertise })
}

/// The name in the state directory, made at the first start: it stays when the machine gets another.
fn stored(dir: &Path, host: &str) -> Result<String, String> {
    let path = dir.join("node-name");
    let wrong = |error: &dyn std::fmt::Display| format!("MACULA_STATE_DIR: {}: {error}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Err(wrong(&"it is empty; remove it, and it is made anew")),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = format!("{host}-{}", &Uuid::new_v4().simple().to_string()[..8]);
            std::fs::create_dir_all(dir).map_err(|error| wrong(&error))?;
            std::fs::write(&path, format!("{name}\n")).map_err(|error| wrong(&error))?;
            Ok(name)
        }
        Err(error) => Err(wrong(&error)),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let legal: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.').collect();
    if legal.is_empty() { "localhost".to_owned() } else { legal }
}
