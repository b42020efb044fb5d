//! A network path that can be cut: a UDP relay between clients and a gateway.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// A relay on a port of its own; ends when dropped.
pub(crate) struct Path {
    port: u16,
    cut: Arc<AtomicBool>,
    _relay: JoinSet<()>,
}

impl Path {
    pub(crate) async fn to(gateway: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        let cut = Arc::new(AtomicBool::new(false));
        let mut relay = JoinSet::new();
        relay.spawn(run(Arc::new(socket), gateway, Arc::clone(&cut)));
        Self { port, cut, _relay: relay }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// From now on every packet is lost, in both directions.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }
}

async fn run(socket: Arc<UdpSocket>, gateway: SocketAddr, cut: Arc<AtomicBool>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut back = JoinSet::new();
    let mut packet = vec![0; 65_536];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet).await else { continue };
        let upstream = match clients.get(&client) {
            Some(upstream) => upstream,
            None => {
                let upstream = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
                upstream.connect(gateway).await.expect("UDP connects to anybody");
                back.spawn(answers(Arc::clone(&upstream), Arc::clone(&socket), client, Arc::clone(&cut)));
                clients.entry(client).or_insert(upstream)
            }
        };
        if !cut.load(Ordering::Relaxed) {
            let _ = upstream.send(&packet[..length]).await;
        }
    }
}

async fn answers(from: Arc<UdpSocket>, to: Arc<UdpSocket>, client: SocketAddr, cut: Arc<AtomicBool>) {
    let mut packet = vec![0; 65_536];
    loop {
        let Ok(length) = from.recv(&mut packet).await else { continue };
        if !cut.load(Ordering::Relaxed) {
            let _ = to.send_to(&packet[..length], client).await;
        }
    }
}
