//! Links to other gateways: dialling the ones we are told of, serving the ones that dial us.

use crate::hub::Hub;
use crate::settings::PeerAddress;
use crate::streams::{End, Wire, serve};
use macula_core::NodeId;
use macula_proto::kind::StreamKind;
use macula_proto::v1::Code;
use macula_transport::endpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{ClientTls, GatewayUri, peer_gateway};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// First and longest pause between two attempts to reach a peer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A peer that does not answer within this time is tried again later.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);
/// How often a dialler whose peer is linked already looks whether it still is.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What it takes to dial a gateway.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) tls: ClientTls,
}

/// Whether the gateway at an address has told its interest, or cannot be waited for.
#[derive(Default)]
pub(crate) struct Settled {
    given_up: Cell<bool>,
    node: Cell<Option<NodeId>>,
}

impl Settled {
    /// True when clients need not wait for this peer.
    pub(crate) fn is_settled(&self, hub: &Hub) -> bool {
        let synced = |node| hub.peers().iter().any(|peer| peer.node == node && peer.synced);
        self.given_up.get() || self.node.get().is_some_and(synced)
    }
}

/// Keeps a link to one address up, for ever.
pub(crate) async fn keep(hub: Hub, dialler: Dialler, address: PeerAddress, settled: Rc<Settled>) {
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    loop {
        // A link that the peer dialled does as well as ours.
        while settled.node.get().is_some_and(|node| hub.peers().iter().any(|linked| linked.node == node)) {
            let _ = tokio::time::timeout(LOOK_AGAIN, hub.links_changed()).await;
        }
        match dial(&hub, &dialler, &address, &settled).await {
            Ok(linked) => {
                if linked.own_address {
                    settled.given_up.set(true);
                    tracing::debug!(%address, "the address leads to this gateway itself; not dialled again");
                    return;
                }
                if linked.up {
                    pause = FIRST_PAUSE;
                    told.clear();
                }
                if let Some(reason) = linked.refused
                    && told != reason
                {
                    tracing::warn!(%address, reason, "the link was refused; trying again");
                    told = reason;
                }
            }
            Err(reason) => {
                settled.given_up.set(true);
                // Once for each new reason: a peer that is down for an hour is one line, not a thousand.
                if told != reason {
                    tracing::warn!(%address, reason, "the peer cannot be reached; trying again");
                    told = reason;
                }
            }
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What became of a link that was dialled.
struct Linked {
    up: bool,
    own_address: bool,
    refused: Option<String>,
}

async fn dial(
    hub: &Hub,
    dialler: &Dialler,
    address: &PeerAddress,
    settled: &Settled,
) -> Result<Linked, String> {
    let connection = tokio::time::timeout(DIAL_TIMEOUT, connect(dialler, address))
        .await
        .map_err(|_| format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))??;
    let gateway = check_identity(hub, &connection)?;
    let mut control = connection.open_bi().await.map_err(|error| error.to_string())?;
    control.0.write_all(&[StreamKind::Control as u8]).await.map_err(|error| error.to_string())?;
    let (key, outlet) = hub.open_link(true);
    let serving = serve(hub.clone(), key, outlet, Wire::Link(connection), control);
    tokio::pin!(serving);
    let mut up = false;
    let end = loop {
        tokio::select! {
            end = &mut serving => break end,
            () = hub.links_changed() => {
                if let Some(node) = hub.linked_node(key) {
                    up = true;
                    settled.node.set(Some(node));
                }
            }
        }
    };
    if let End::Core(closing) = &end
        && closing.code == Code::AlreadyExists
        && let Some(peer) = hub.peers().iter().find(|peer| is_named(&peer.name, gateway.name()))
    {
        // The link that the peer dialled stays; this address need not be dialled while it is up.
        settled.node.set(Some(peer.node));
    }
    Ok(match end {
        End::Core(closing) => Linked {
            up,
            own_address: closing.own_address,
            refused: (!up && !closing.own_address && closing.code != Code::AlreadyExists)
                .then_some(closing.message),
        },
        End::Peer(_) => Linked { up, own_address: false, refused: None },
    })
}

async fn connect(dialler: &Dialler, address: &PeerAddress) -> Result<quinn::Connection, String> {
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("the name cannot be resolved: {error}"))?
        .collect();
    let mut last = "the name has no address".to_owned();
    for socket in resolved {
        match endpoint::connect(
            &dialler.endpoint,
            socket,
            &address.host,
            &dialler.tls,
            &TransportProfile::LINK,
        )
        .await
        {
            Ok(connection) => return Ok(connection),
            Err(error) => last = crate::chain(&error),
        }
    }
    Err(last)
}

/// Serves a link that a peer dialled.
pub(crate) async fn accept(hub: Hub, connection: quinn::Connection) {
    if let Err(reason) = check_identity(&hub, &connection) {
        tracing::warn!(remote = %connection.remote_address(), reason, "a link was refused");
        return connection.close(16u32.into(), reason.as_bytes());
    }
    let Ok(Ok((send, mut recv))) = tokio::time::timeout(DIAL_TIMEOUT, connection.accept_bi()).await else {
        return;
    };
    let mut first = [0];
    if recv.read_exact(&mut first).await.is_err() || first[0] != StreamKind::Control as u8 {
        return connection.close(3u32.into(), b"the first stream of a link is the control stream");
    }
    TransportProfile::LINK.apply(&connection);
    let remote = connection.remote_address();
    let (key, outlet) = hub.open_link(false);
    let end = serve(hub, key, outlet, Wire::Link(connection), (send, recv)).await;
    tracing::debug!(%remote, ?end, "a link ended");
}

/// Whether a node goes by the name in a certificate: the pods of a cluster share one, and their names begin with it.
fn is_named(node: &str, certificate: &str) -> bool {
    node.strip_prefix(certificate).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The certificate of a peer names a gateway of this realm.
fn check_identity(hub: &Hub, connection: &quinn::Connection) -> Result<GatewayUri, String> {
    let gateway: GatewayUri = peer_gateway(connection).map_err(|error| crate::chain(&error))?;
    let realm = hub.identity().realm;
    if gateway.realm() != realm {
        return Err(format!(
            "realm mismatch: this gateway serves realm `{realm}`, the peer's certificate names `{}`",
            gateway.realm()
        ));
    }
    Ok(gateway)
}

/// Between half and all of `pause`, so that peers that lost each other do not return in step.
fn jittered(pause: Duration) -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
    pause.mul_f64(0.5 + (random % 1000) as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_by_the_name_of_their_cluster() {
        assert!(is_named("be-antwerp", "be-antwerp"));
        assert!(is_named("be-antwerp-macula-gateway-service-7d4b9", "be-antwerp"));
        assert!(!is_named("be-antwerpen", "be-antwerp"));
        assert!(!is_named("be-antwerp", "be-antwerp-2"));
    }
}
