//! Who this gateway is: name, id, epoch.

use crate::settings::Settings;
use macula_core::{Identity, NodeId};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The identity of a gateway that listens on `port`.
pub(crate) fn identity(settings: &Settings, port: u16) -> Result<Identity, String> {
    let host = host_name();
    let (name, node) = match (&settings.name, &settings.state_dir) {
        (Some(name), _) => (name.clone(), derived(&settings.realm, name)),
        (None, Some(dir)) => {
            let id = stored(dir)?;
            (format!("{host}-{}", &id.simple().to_string()[..8]), id)
        }
        (None, None) => {
            // A port that the system chooses says nothing about who we are.
            let suffix = if port == 0 { Uuid::new_v4().simple().to_string() } else { port.to_string() };
            let name = format!("{host}-{suffix}");
            let id = derived(&settings.realm, &name);
            (name, id)
        }
    };
    let advertise = if settings.advertise.is_empty() {
        vec![format!("{host}:{port}")]
    } else {
        settings.advertise.clone()
    };
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Identity { node: NodeId(node.into_bytes()), name, realm: settings.realm.clone(), epoch, advertise })
}

/// The same name in the same realm is the same gateway, on whatever machine it runs.
fn derived(realm: &str, name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("macula://{realm}/gateway/{name}").as_bytes())
}

/// The id in the state directory, made at the first start.
fn stored(dir: &Path) -> Result<Uuid, String> {
    let path = dir.join("node-id");
    let wrong = |error: &dyn std::fmt::Display| format!("MACULA_STATE_DIR: {}: {error}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|error: uuid::Error| wrong(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            std::fs::create_dir_all(dir).map_err(|error| wrong(&error))?;
            std::fs::write(&path, format!("{id}\n")).map_err(|error| wrong(&error))?;
            Ok(id)
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
