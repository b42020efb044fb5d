//! Links to other gateways: dialling those that we are told of or have learnt, serving the ones that dial us.
//!
//! Two kinds of goals: an address to start from is dialled for ever, since it is all that a gateway knows that has
//! forgotten the rest; a member is dialled until it is forgotten or says goodbye. Whoever waits, waits while there is a
//! link, whichever side dialled it.

use crate::hub::Hub;
use crate::settings::PeerAddress;
use crate::streams::{End, Wire, serve};
use macula_core::NodeId;
use macula_core::membership::MemberState;
use macula_proto::kind::StreamKind;
use macula_proto::v1::Code;
use macula_transport::endpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{ClientTls, GatewayUri, PeerGatewayError, peer_gateway};
use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// First and longest pause between two attempts to reach a peer. With [`DIAL_TIMEOUT`], a path that heals carries a link
/// again within six seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A peer that does not answer within this time is tried again later.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A link that was up for so long was a good one: the next dial begins with the shortest pause.
const GOOD: Duration = Duration::from_secs(5);
/// How often a dialler whose peer is linked already looks whether it still is.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Dials under way at a time: a mesh that comes up at once is no storm of handshakes. A guess, not measured.
const AT_A_TIME: usize = 32;

/// What it takes to dial a gateway.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) tls: ClientTls,
    turns: Rc<Semaphore>,
}

/// Whether the gateway at an address has told its interest, or cannot be waited for.
#[derive(Default)]
pub(crate) struct Settled {
    given_up: Cell<bool>,
    node: Cell<Option<NodeId>>,
}

/// Whom to reach.
#[derive(Clone)]
enum Goal {
    Start(PeerAddress, Rc<Settled>),
    Member(NodeId),
}

impl Dialler {
    pub(crate) fn new(endpoint: quinn::Endpoint, tls: ClientTls) -> Self {
        Self { endpoint, tls, turns: Rc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Settled {
    /// True when clients need not wait for this peer.
    pub(crate) fn is_settled(&self, hub: &Hub) -> bool {
        let synced = |node| hub.peers().iter().any(|peer| peer.node == node && peer.synced);
        self.given_up.get() || self.node.get().is_some_and(synced)
    }
}

/// Keeps a link to every gateway that there should be one to, for ever.
pub(crate) async fn keep_all(hub: Hub, dialler: Dialler, starts: Vec<(PeerAddress, Rc<Settled>)>) {
    let mut keepers: JoinSet<Option<NodeId>> = JoinSet::new();
    for (address, settled) in starts {
        hub.mesh().note_start(&address.to_string(), None, None);
        keepers.spawn_local(keep(hub.clone(), dialler.clone(), Goal::Start(address, settled)));
    }
    let mut kept = HashSet::new();
    loop {
        for node in hub.look(|node| node.to_dial()).into_iter().map(|run| run.node) {
            if kept.insert(node) {
                keepers.spawn_local(keep(hub.clone(), dialler.clone(), Goal::Member(node)));
            }
        }
        tokio::select! {
            () = hub.links_changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            Some(ended) = keepers.join_next() => match ended {
                Ok(Some(node)) => {
                    kept.remove(&node);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the dialler of a peer failed"),
            },
        }
    }
}

/// Keeps a link to one peer up, until there is no reason to any more. Gives the member back that it was about.
async fn keep(hub: Hub, dialler: Dialler, goal: Goal) -> Option<NodeId> {
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    // A name may lead to several gateways, as that of a headless Service does: each dial begins with another of them.
    let mut turn = 0;
    loop {
        // A link that the peer dialled does as well as ours.
        if goal.is_linked(&hub) || hub.look(|node| node.is_replaced()) {
            goal.note(&hub, None);
            let _ = tokio::time::timeout(LOOK_AGAIN, hub.links_changed()).await;
            continue;
        }
        let Some((addresses, patience)) = goal.addresses(&hub) else {
            goal.note(&hub, None);
            return goal.member();
        };
        tokio::time::sleep(patience).await;
        if goal.is_linked(&hub) {
            continue;
        }
        let mut failure = None;
        for address in &addresses {
            turn += 1;
            match dial(&hub, &dialler, address, &goal, turn).await {
                Ok(linked) => {
                    if linked.own_address {
                        goal.give_up();
                        if linked.is_one_of_several {
                            failure = None;
                            continue;
                        }
                        let Goal::Member(_) = goal else {
                            tracing::debug!(%address, "the address leads to this gateway itself; not dialled again");
                            return None;
                        };
                        failure = Some((address, "the address leads to this gateway itself".to_owned()));
                        continue;
                    }
                    if linked.up_for >= GOOD {
                        pause = FIRST_PAUSE;
                    }
                    failure = linked.refused.map(|reason| (address, reason));
                    if failure.is_none() {
                        break;
                    }
                }
                Err(reason) => failure = Some((address, reason)),
            }
        }
        if let Some((address, reason)) = failure {
            goal.give_up();
            // Once for each new reason: a peer that is down for an hour is one line, not a thousand.
            if told != reason {
                let name = goal.name(&hub);
                tracing::warn!(%address, name, reason, "the peer cannot be reached; trying again");
            }
            goal.note(&hub, Some(format!("{address}: {reason}")));
            told = reason;
        } else {
            told.clear();
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Goal {
    fn is_linked(&self, hub: &Hub) -> bool {
        let node = match self {
            Goal::Start(_, settled) => settled.node.get(),
            Goal::Member(node) => Some(*node),
        };
        node.is_some_and(|node| hub.peers().iter().any(|linked| linked.node == node))
    }

    /// What to dial, and how long to leave that to the other side; nothing when there is no reason to dial any more.
    fn addresses(&self, hub: &Hub) -> Option<(Vec<PeerAddress>, Duration)> {
        match self {
            Goal::Start(address, _) => Some((vec![address.clone()], Duration::ZERO)),
            Goal::Member(node) => {
                let member = hub.look(|core| core.member(*node))?;
                if member.state == MemberState::Left {
                    return None;
                }
                let own = hub.identity().node;
                let addresses = member.run.addresses().iter().filter_map(|address| address.parse().ok());
                Some((addresses.collect(), Duration::from_millis(macula_core::patience_ms(own, *node))))
            }
        }
    }

    fn member(&self) -> Option<NodeId> {
        match self {
            Goal::Start(..) => None,
            Goal::Member(node) => Some(*node),
        }
    }

    fn name(&self, hub: &Hub) -> String {
        let member = self.member().and_then(|node| hub.look(|core| core.member(node)));
        member.map_or_else(String::new, |member| member.run.name().to_owned())
    }

    /// What the last dial came to, for those who ask.
    fn note(&self, hub: &Hub, error: Option<String>) {
        match self {
            Goal::Start(address, settled) => {
                hub.mesh().note_start(&address.to_string(), settled.node.get(), error);
            }
            Goal::Member(node) => hub.mesh().note_member(*node, error),
        }
    }

    /// Clients do not wait for it any longer.
    fn give_up(&self) {
        if let Goal::Start(_, settled) = self {
            settled.given_up.set(true);
        }
    }

    fn lead_to(&self, node: NodeId) {
        if let Goal::Start(_, settled) = self {
            settled.node.set(Some(node));
        }
    }
}

/// What became of a link that was dialled.
struct Linked {
    up_for: Duration,
    own_address: bool,
    /// The name has other addresses, too.
    is_one_of_several: bool,
    refused: Option<String>,
}

async fn dial(
    hub: &Hub,
    dialler: &Dialler,
    address: &PeerAddress,
    goal: &Goal,
    first: usize,
) -> Result<Linked, String> {
    let turn = dialler.turns.acquire().await.map_err(|error| error.to_string())?;
    let (connection, is_one_of_several) =
        tokio::time::timeout(DIAL_TIMEOUT, connect(dialler, address, first))
            .await
            .map_err(|_| format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))??;
    drop(turn);
    let remote = connection.remote_address().ip();
    let gateway = match check_identity(hub, &connection) {
        Ok(gateway) => gateway,
        Err((code, reason)) => {
            connection.close((code as u32).into(), reason.as_bytes());
            hub.mesh().refuse(remote, code, &reason);
            return Err(reason);
        }
    };
    let mut control = connection.open_bi().await.map_err(|error| error.to_string())?;
    control.0.write_all(&[StreamKind::Control as u8]).await.map_err(|error| error.to_string())?;
    let (key, outlet) = hub.open_link(true, &connection, &gateway, goal.member());
    let serving = serve(hub.clone(), key, outlet, Wire::Link(connection), control);
    tokio::pin!(serving);
    let mut up = None;
    let end = loop {
        tokio::select! {
            end = &mut serving => break end,
            () = hub.links_changed() => {
                if up.is_none() && let Some(node) = hub.linked_node(key) {
                    up = Some(Instant::now());
                    goal.lead_to(node);
                    goal.note(hub, None);
                }
            }
        }
    };
    let up_for = up.map_or(Duration::ZERO, |up| up.elapsed());
    let End::Core(closing) = end else {
        return Ok(Linked { up_for, own_address: false, is_one_of_several, refused: None });
    };
    if let Some(node) = closing.node.filter(|_| closing.code == Code::AlreadyExists) {
        // The link that is there already stays; this address need not be dialled while it is up.
        goal.lead_to(node);
    }
    let is_refusal = up.is_none() && !closing.own_address && closing.code != Code::AlreadyExists;
    if is_refusal {
        hub.mesh().refuse(remote, closing.code, &closing.message);
    }
    let refused = is_refusal.then_some(closing.message);
    Ok(Linked { up_for, own_address: closing.own_address, is_one_of_several, refused })
}

/// Connects to the first of a name's addresses that answers, beginning with another one for each `first`; tells whether there are
/// several.
async fn connect(
    dialler: &Dialler,
    address: &PeerAddress,
    first: usize,
) -> Result<(quinn::Connection, bool), String> {
    let mut resolved: Vec<SocketAddr> = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("the name cannot be resolved: {error}"))?
        .collect();
    // One address of each family is the same gateway.
    let four = resolved.iter().filter(|address| address.is_ipv4()).count();
    let several = four.max(resolved.len() - four) > 1;
    if several {
        // Whatever order the resolver gives.
        resolved.sort_unstable();
        let by = first % resolved.len();
        resolved.rotate_left(by);
    }
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
            Ok(connection) => return Ok((connection, several)),
            Err(error) => last = crate::chain(&error),
        }
    }
    Err(last)
}

/// Serves a link that a peer dialled.
pub(crate) async fn accept(hub: Hub, connection: quinn::Connection) {
    let remote = connection.remote_address();
    let refuse = |code: Code, reason: &str| {
        hub.mesh().refuse(remote.ip(), code, reason);
        connection.close((code as u32).into(), reason.as_bytes());
    };
    let gateway = match check_identity(&hub, &connection) {
        Ok(gateway) => gateway,
        Err((code, reason)) => return refuse(code, &reason),
    };
    let Ok(Ok((send, mut recv))) = tokio::time::timeout(DIAL_TIMEOUT, connection.accept_bi()).await else {
        return refuse(Code::DeadlineExceeded, "no control stream was opened");
    };
    let mut first = [0];
    if recv.read_exact(&mut first).await.is_err() || first[0] != StreamKind::Control as u8 {
        return refuse(Code::InvalidArgument, "the first stream of a link is the control stream");
    }
    TransportProfile::LINK.apply(&connection);
    let (key, outlet) = hub.open_link(false, &connection, &gateway, None);
    let end = serve(hub.clone(), key, outlet, Wire::Link(connection.clone()), (send, recv)).await;
    if let End::Core(closing) = &end
        && !matches!(closing.code, Code::Ok | Code::AlreadyExists | Code::Unavailable)
    {
        let name = gateway.name();
        hub.mesh().refuse(remote.ip(), closing.code, &format!("`{name}`: {}", closing.message));
    }
    tracing::debug!(%remote, ?end, "a link ended");
}

/// The certificate of a peer names a gateway of this realm.
fn check_identity(hub: &Hub, connection: &quinn::Connection) -> Result<GatewayUri, (Code, String)> {
    let gateway: GatewayUri = peer_gateway(connection).map_err(|error| {
        let code = match error {
            PeerGatewayError::NoCertificate => Code::Unauthenticated,
            PeerGatewayError::BadCertificate | PeerGatewayError::NoGateway => Code::PermissionDenied,
        };
        (code, crate::chain(&error))
    })?;
    let realm = hub.identity().realm;
    if gateway.realm() != realm {
        let text = format!(
            "realm mismatch: this gateway serves realm `{realm}`, the peer's certificate names `{}`",
            gateway.realm()
        );
        return Err((Code::PermissionDenied, text));
    }
    Ok(gateway)
}

/// Between half and all of `pause`, so that peers that lost each other do not return in step.
fn jittered(pause: Duration) -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
    pause.mul_f64(0.5 + (random % 1000) as f64 / 2000.0)
}
