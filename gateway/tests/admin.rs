//! The admin port over plain HTTP/1.1, and the gateway as a process: signals, wrong settings, a taken port.

mod support;

use macula_gateway::{Gateway, Settings};
use std::net::{SocketAddr, UdpSocket};
use support::get;
use support::process::Process;

#[tokio::test]
async fn the_admin_port_tells_health_readiness_and_metrics() {
    let admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let gateway = Gateway::start(Settings { admin, ..support::settings("admin") }).await.expect("it starts");
    gateway.ready().await;
    let address = gateway.admin_addr().expect("it has an admin port");
    let texts = tokio::task::spawn_blocking(move || {
        ["/healthz", "/readyz", "/metrics", "/v1/mesh", "/v1/sessions"].map(|path| get(address, path))
    });
    let [health, ready, metrics, mesh, sessions] = texts.await.expect("no panic");
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("ok\n"), "{health}");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(metrics.contains("macula_sessions 0"), "{metrics}");
    assert!(mesh.contains("\"realm\":\"test.realm\""), "{mesh}");
    assert!(sessions.ends_with("[]"), "{sessions}");
}

/// A port that is free now.
fn free_port() -> String {
    let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    socket.local_addr().expect("an address").port().to_string()
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    let (port, admin) = (free_port(), free_port());
    let mut process = Process::start(&[("MACULA_GATEWAY_PORT", &port), ("MACULA_ADMIN_PORT", &admin)]);
    process.log_until("ready");
    process.terminate();
    process.log_until("stopped");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let taken = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, log) = Process::start(&[("MACULA_GATEWAY_PORT", &port)]).end();
    assert_eq!(code, Some(1));
    assert!(log.contains(&port) && log.contains("MACULA_GATEWAY_PORT"), "{log}");
}

#[test]
fn wrong_settings_are_listed_all_at_once() {
    let (code, log) = Process::start(&[
        ("MACULA_GATEWAY_PORT", "much"),
        ("MACULA_TLS_KEY", "/key.pem"),
        ("MESH_PEERS", "https://gateway-antwerp"),
    ])
    .end();
    assert_eq!(code, Some(78));
    for part in ["MACULA_GATEWAY_PORT=much", "MACULA_TLS_CERT", "gateway-antwerp"] {
        assert!(log.contains(part), "{part} is missing in: {log}");
    }
}

#[test]
fn variables_of_kubernetes_services_disturb_nothing_and_a_lost_peer_is_only_a_warning() {
    let admin = free_port();
    let mut process = Process::start(&[
        // The default port, on an address that no other test uses.
        ("MACULA_GATEWAY_HOST", "127.0.0.77"),
        ("MACULA_GATEWAY_PORT", "udp://10.96.0.1:9443"),
        ("MACULA_GATEWAY_SERVICE_HOST", "10.96.0.1"),
        ("MACULA_GATEWAY_SERVICE_PORT_QUIC", "9443"),
        ("MACULA_GATEWAY_PORT_9443_UDP_ADDR", "10.96.0.1"),
        ("MACULA_ADMIN_PORT", &admin),
        ("MESH_PEERS", "https://nobody.invalid:9443"),
    ]);
    let log = process.log_until("trying again");
    assert!(log.contains("nobody.invalid:9443"), "{log}");
}
