//! Takes connections in: links by their ALPN, all others as HTTP/3.

use crate::http::Service;
use crate::links;
use crate::server::Readiness;
use crate::sessions::{self, Sessions};
use macula_transport::endpoint::{ServerEndpoint, alpn};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Handshakes under way from which on clients have to prove their address first.
const RETRY_FROM: usize = 256;

/// Accepts connections, for ever.
pub(crate) async fn accept(
    service: Rc<Service>,
    server: ServerEndpoint,
    sessions: Arc<Sessions>,
    readiness: watch::Receiver<Readiness>,
) {
    let mut connections: JoinSet<()> = JoinSet::new();
    let handshakes = Rc::new(std::cell::Cell::new(0usize));
    loop {
        tokio::select! {
            incoming = server.accept() => {
                let Some(incoming) = incoming else { return };
                if handshakes.get() >= RETRY_FROM && incoming.may_retry() {
                    let _ = incoming.retry();
                    continue;
                }
                let remote = incoming.remote_address().ip();
                let Ok(connecting) = server.admit(incoming) else { continue };
                handshakes.set(handshakes.get() + 1);
                let (service, sessions, readiness) = (service.clone(), sessions.clone(), readiness.clone());
                let handshakes = handshakes.clone();
                connections.spawn_local(async move {
                    let connection = connecting.await;
                    handshakes.set(handshakes.get() - 1);
                    match connection {
                        Ok(connection) => serve(service, connection, sessions, readiness).await,
                        Err(error) => service.hub.mesh().fail_handshake(remote, &crate::chain(&error)),
                    }
                });
            }
            Some(result) = connections.join_next() => {
                if let Err(error) = result && error.is_panic() {
                    tracing::error!(%error, "the task of a connection failed");
                }
            }
        }
    }
}

async fn serve(
    service: Rc<Service>,
    connection: quinn::Connection,
    sessions: Arc<Sessions>,
    mut readiness: watch::Receiver<Readiness>,
) {
    if alpn(&connection).as_deref() == Some(macula_transport::ALPN_MESH) {
        return links::accept(service.hub.clone(), connection).await;
    }
    let _ = readiness.wait_for(|readiness| *readiness != Readiness::Settling).await;
    sessions::serve(service, connection, &sessions, readiness).await;
}
