//! What the tests of the gateway share: gateways on free ports, and a Python with aioquic.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod process;

use macula_gateway::{Gateway, PeerAddress, Settings};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Settings of a gateway on free ports of the loopback interface.
pub(crate) fn settings(name: &str) -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        realm: "test.realm".to_owned(),
        advertise: vec!["localhost:1".to_owned()],
        name: Some(name.to_owned()),
        ..Settings::default()
    }
}

/// A running gateway.
pub(crate) async fn gateway(name: &str) -> Gateway {
    Gateway::start(settings(name)).await.expect("a gateway starts on a free port")
}

/// A running gateway that dials these.
pub(crate) async fn gateway_with_peers(name: &str, peers: &[&Gateway]) -> Gateway {
    let peers = peers
        .iter()
        .map(|peer| PeerAddress { host: "localhost".to_owned(), port: peer.local_addr().port() })
        .collect();
    let gateway = Gateway::start(Settings { peers, ..settings(name) }).await.expect("a gateway starts");
    gateway.ready().await;
    gateway
}

/// URL of a gateway for clients.
pub(crate) fn url(gateway: &Gateway) -> String {
    format!("https://localhost:{}", gateway.local_addr().port())
}

/// A Python that has these packages, installed once for all tests under a lock.
pub(crate) fn python(packages: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(target).expect("the target directory is writable");
    let lock = File::create(target.join("python.lock")).expect("the target directory is writable");
    lock.lock().expect("a file can be locked");
    let venv = target.join("python");
    let python = venv.join("bin/python");
    let done = venv.join(packages.join("+"));
    if !done.exists() {
        let make =
            || Command::new("python3").args(["-m", "venv"]).arg(&venv).status().is_ok_and(|s| s.success());
        if !make() {
            // Debian keeps venv in a package of its own; root may install it.
            let remedy = "apt-get install -y --no-install-recommends python3-venv";
            run(Command::new("apt-get").args(remedy.split(' ').skip(1)), remedy);
            assert!(make(), "python3 -m venv failed even with python3-venv");
        }
        let pip = format!("{} -m pip install {}", python.display(), packages.join(" "));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages), &pip);
        File::create(&done).expect("the environment is writable");
    }
    python
}

fn run(command: &mut Command, remedy: &str) {
    let done = command.status().is_ok_and(|status| status.success());
    assert!(done, "{command:?} failed; run: {remedy}");
}
