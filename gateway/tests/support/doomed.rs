//! A gateway in a process of its own, which can be killed or asked to stop.

use macula_gateway::Gateway;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

pub(crate) struct Doomed {
    port: u16,
    realm: String,
    /// Address of a gateway that it joins.
    peer: Option<String>,
    child: Child,
}

impl Doomed {
    /// Starts it on a free port.
    pub(crate) fn start(realm: &str) -> Self {
        Self::run(realm, None)
    }

    /// Starts it as a peer of another.
    pub(crate) fn beside(gateway: &Gateway, realm: &str) -> Self {
        Self::run(realm, Some(super::url(gateway)))
    }

    fn run(realm: &str, peer: Option<String>) -> Self {
        let port = free_port();
        let child = spawn(port, realm, peer.as_deref());
        Self { port, realm: realm.to_owned(), peer, child }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Kills it without a word and starts another run of it.
    pub(crate) fn die_and_rise(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it is gone");
        self.rise();
    }

    /// Asks it to stop, as an operator does.
    pub(crate) fn ask_to_stop(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill is there").success());
    }

    /// True once it has stopped.
    pub(crate) fn has_stopped(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Starts another run of it.
    pub(crate) fn rise(&mut self) {
        self.child = spawn(self.port, &self.realm, self.peer.as_deref());
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, realm: &str, peer: Option<&str>) -> Child {
    Command::new(env!("CARGO_BIN_EXE_macula-gateway"))
        .env("MACULA_GATEWAY_HOST", "127.0.0.1")
        .env("MACULA_GATEWAY_PORT", port.to_string())
        .env("MACULA_ADMIN_HOST", "127.0.0.1")
        .env("MACULA_ADMIN_PORT", "0")
        .env("MACULA_REALM", realm)
        .env("MACULA_NODE_NAME", "doomed")
        .env("MACULA_ADVERTISE", "localhost:1")
        .envs(peer.map(|peer| ("MESH_PEERS", peer)))
        .stdin(Stdio::null())
        .spawn()
        .expect("the gateway starts")
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}
