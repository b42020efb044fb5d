//! A gateway as a process in a namespace, and what it says of the mesh.

use crate::network::{Network, address};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Gateway {
    index: usize,
    child: Child,
}

impl Gateway {
    /// The first is told of nobody, the others of the first.
    pub(crate) fn start(network: &Network, index: usize) -> Self {
        let mut command = network.program(index, env!("CARGO_BIN_EXE_macula-gateway"));
        command
            .env("MACULA_GATEWAY_PORT", "9443")
            .env("MACULA_ADMIN_PORT", "9444")
            .env("MACULA_REALM", crate::REALM)
            .env("MACULA_NODE_NAME", name(index))
            .env("MACULA_ADVERTISE", format!("{}:9443", address(index)))
            .env("MACULA_LOG", std::env::var("MACULA_LOG").unwrap_or_else(|_| "error".to_owned()))
            .stdin(Stdio::null());
        if index > 0 {
            command.env("MESH_PEERS", format!("https://{}:9443", address(0)));
        }
        Self { index, child: command.spawn().expect("the gateway starts") }
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it is gone");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// What `/v1/mesh` says, if it answers.
    pub(crate) fn mesh(&self, network: &Network) -> Option<Value> {
        network.within(self.index, || get("/v1/mesh")).join().expect("no panic")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("gateway-{index}")
}

fn get(path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect("127.0.0.1:9444").ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}
