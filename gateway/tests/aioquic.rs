//! The smallest proof that the HTTP/3 side is right: a client that we did not write gets its message.

mod support;

use macula_transport::tls::DevAuthority;
use std::process::Command;

#[tokio::test]
async fn aioquic_opens_a_session_and_receives_a_message() {
    let python =
        tokio::task::spawn_blocking(|| support::python(&["aioquic==1.7.2"])).await.expect("no panic");
    let gateway = support::gateway("aioquic").await;
    gateway.ready().await;
    let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
    let authority = DevAuthority::open_or_create(&dir).expect("the gateway has made it");
    let port = gateway.local_addr().port().to_string();
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aioquic/session.py"));
    command.args(["127.0.0.1", &port]).arg(authority.certificate_path()).arg("test.realm");
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(seen["payload"], "hello from aioquic");
    assert_eq!(seen["topic"], "test.from.aioquic");
    assert_eq!(seen["gateway"], "aioquic");
    assert_eq!(seen["realm"]["realm"], "test.realm");
    gateway.shutdown().await;
}
