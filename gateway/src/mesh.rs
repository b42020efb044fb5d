//! What a gateway says of the mesh: `/v1/mesh`, `$sys.mesh.state`, and what is counted beside the core.

use crate::hub::Hub;
use macula_core::membership::{Member, MemberState};
use macula_core::{NodeId, Now, Peer, Traffic};
use macula_proto::v1::Code;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

/// Refusals that are remembered, so that each is logged once; then it begins anew. A guess, not measured.
const REMEMBERED: usize = 1_000;

/// What happens to links, beside the core.
#[derive(Default)]
pub(crate) struct Mesh {
    refused: RefCell<BTreeMap<&'static str, u64>>,
    failed_handshakes: Cell<u64>,
    told: RefCell<HashSet<(IpAddr, String)>>,
    /// Start addresses, and what the last dial of each came to.
    starts: RefCell<BTreeMap<String, Start>>,
    /// Why members cannot be reached.
    errors: RefCell<HashMap<NodeId, String>>,
    due_ms: Cell<u64>,
    rates: RefCell<Rates>,
    draining: Cell<bool>,
}

/// What is known of an address to start from.
#[derive(Clone, Debug, Default)]
struct Start {
    node: Option<NodeId>,
    error: Option<String>,
}

/// Counters a second ago, and how fast they grew until then.
#[derive(Default)]
struct Rates {
    at_ms: u64,
    /// Published, delivered, forwarded, received.
    totals: [u64; 4],
    per_s: [u64; 4],
    links: HashMap<NodeId, (Traffic, LinkRates)>,
}

#[derive(Clone, Copy, Default)]
struct LinkRates {
    sent: u64,
    received: u64,
    bytes_out: u64,
    bytes_in: u64,
}

impl Mesh {
    /// Longest and shortest time between two states.
    const EVERY_MS: u64 = 1_000;

    /// Whether a state is to be told: once a second, and less often in a mesh of more than ten, since everybody hears
    /// everybody's.
    pub(crate) fn is_due(&self, now: Now, peers: usize) -> bool {
        let due = now.elapsed_ms >= self.due_ms.get();
        if due {
            self.due_ms.set(now.elapsed_ms + Self::EVERY_MS.max(peers as u64 * Self::EVERY_MS / 10));
        }
        due
    }

    /// Nothing more is told: what was has been taken back.
    pub(crate) fn fall_silent(&self) {
        self.due_ms.set(u64::MAX);
    }

    /// Notes that a link was refused here: counted, and logged once for each address and reason.
    pub(crate) fn refuse(&self, remote: IpAddr, code: Code, reason: &str) {
        *self.refused.borrow_mut().entry(code.as_str_name()).or_default() += 1;
        if self.is_news(remote, reason) {
            tracing::warn!(%remote, code = code.as_str_name(), reason, "a link was refused");
        }
    }

    /// Notes a handshake that failed.
    pub(crate) fn fail_handshake(&self, remote: IpAddr, reason: &str) {
        self.failed_handshakes.set(self.failed_handshakes.get() + 1);
        if self.is_news(remote, reason) {
            tracing::warn!(%remote, reason, "a handshake failed");
        }
    }

    fn is_news(&self, remote: IpAddr, reason: &str) -> bool {
        let mut told = self.told.borrow_mut();
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert((remote, reason.to_owned()))
    }

    pub(crate) fn refused(&self) -> Vec<(&'static str, u64)> {
        let counted = self.refused.borrow();
        let usual =
            [Code::InvalidArgument, Code::PermissionDenied, Code::ResourceExhausted, Code::Unauthenticated];
        let mut refused: BTreeMap<&str, u64> = usual.map(|code| (code.as_str_name(), 0)).into();
        refused.extend(counted.iter());
        refused.into_iter().collect()
    }

    pub(crate) fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.get()
    }

    /// What the last dial of a start address came to.
    pub(crate) fn note_start(&self, address: &str, node: Option<NodeId>, error: Option<String>) {
        let mut starts = self.starts.borrow_mut();
        let start = starts.entry(address.to_owned()).or_default();
        start.node = node.or(start.node);
        start.error = error;
    }

    /// Why this member cannot be reached, once that is so.
    pub(crate) fn note_member(&self, node: NodeId, error: Option<String>) {
        match error {
            Some(error) => self.errors.borrow_mut().insert(node, error),
            None => self.errors.borrow_mut().remove(&node),
        };
    }

    /// Whether the last dial of this member failed.
    pub(crate) fn has_failed(&self, node: NodeId) -> bool {
        self.errors.borrow().contains_key(&node)
    }

    /// The gateway is about to stop.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
    }
}

/// How many members there are of each state.
pub(crate) fn count(members: &[Member]) -> Vec<(&'static str, u64)> {
    [MemberState::Alive, MemberState::Suspect, MemberState::Down, MemberState::Left]
        .map(|state| {
            let of_state = members.iter().filter(|member| member.state == state);
            (state.name(), of_state.count() as u64)
        })
        .to_vec()
}

/// What this gateway knows of the mesh. A `brief` one leaves out members that are alive and linked: the links say it all.
pub(crate) fn document(hub: &Hub, brief: bool) -> Value {
    let now = hub.now();
    let mesh = hub.mesh();
    let (identity, gauges, counters, peers, members, replaced) = hub.look(|node| {
        let identity = node.identity().clone();
        (identity, node.gauges(), node.counters(), node.peers(), node.members(), node.is_replaced())
    });
    let sum = |by_class: [u64; 2]| by_class[0] + by_class[1];
    let totals = [counters.published, counters.delivered, counters.forwarded, counters.received].map(sum);
    let mut rates = mesh.rates.borrow_mut();
    rates.measure(now, totals, &peers);
    let links: Vec<Value> = peers.iter().map(|peer| link(hub, now, peer, &rates)).collect();
    let errors = mesh.errors.borrow();
    let linked = |node: NodeId| peers.iter().any(|peer| peer.node == node);
    let shown = |member: &&Member| !brief || member.state != MemberState::Alive || !linked(member.run.node);
    let attentive_ms = hub.look(|node| node.attentive_ms());
    let members: Vec<Value> = members
        .iter()
        .filter(shown)
        .map(|member| {
            let node = member.run.node;
            json!({
                "name": member.run.name(),
                "node": node.to_string(),
                "epoch": member.run.epoch,
                "state": member.state.name(),
                "for_ms": attentive_ms.saturating_sub(member.since_ms),
                "addresses": member.run.addresses(),
                "linked": linked(node),
                "error": errors.get(&node).filter(|_| !linked(node)),
            })
        })
        .collect();
    let starts: Vec<Value> = mesh
        .starts
        .borrow()
        .iter()
        .map(|(address, start)| {
            json!({
                "address": address,
                "node": start.node.map(|node| node.to_string()),
                "error": start.error,
            })
        })
        .collect();
    let state = match () {
        () if mesh.draining.get() => "draining",
        () if replaced => "replaced",
        () => "up",
    };
    let by_class = |values: [u64; 2]| json!({ "event": values[0], "telemetry": values[1] });
    json!({
        "gateway": identity.name,
        "node": identity.node.to_string(),
        "realm": identity.realm,
        "epoch": identity.epoch,
        "version": env!("CARGO_PKG_VERSION"),
        "state": state,
        "unix_ms": now.unix_ms,
        "uptime_ms": now.elapsed_ms,
        "sessions": gauges.sessions,
        "subscriptions": gauges.subscriptions,
        "registrations": gauges.registrations,
        "retained": gauges.retained,
        "queued_bytes": gauges.queued_bytes,
        "published": by_class(counters.published),
        "delivered": by_class(counters.delivered),
        "forwarded": by_class(counters.forwarded),
        "received": by_class(counters.received),
        "lost": by_class(counters.lost),
        "published_per_s": rates.per_s[0],
        "delivered_per_s": rates.per_s[1],
        "forwarded_per_s": rates.per_s[2],
        "received_per_s": rates.per_s[3],
        "links": links,
        "members": members,
        "starts": starts,
    })
}

fn link(hub: &Hub, now: Now, peer: &Peer, rates: &Rates) -> Value {
    let path = hub.path(peer.conn);
    let round_trip_ms = path.map_or(peer.round_trip_ms as f64, |path| path.rtt.as_micros() as f64 / 1_000.0);
    let grows = rates.links.get(&peer.node).map(|(_, grows)| *grows).unwrap_or_default();
    let by_class = |values: [u64; 2]| json!({ "event": values[0], "telemetry": values[1] });
    json!({
        "peer": peer.name,
        "node": peer.node.to_string(),
        "epoch": peer.epoch,
        "dialled": peer.dialled,
        "synced": peer.synced,
        "up_ms": now.elapsed_ms.saturating_sub(peer.up_ms),
        "round_trip_ms": round_trip_ms,
        "ping_ms": peer.round_trip_ms,
        "lost_packets": path.map_or(0, |path| path.lost_packets),
        "sent": by_class(peer.traffic.sent),
        "received": by_class(peer.traffic.received),
        "lost": by_class(peer.traffic.lost),
        "sent_per_s": grows.sent,
        "received_per_s": grows.received,
        "sent_bytes_per_s": grows.bytes_out,
        "received_bytes_per_s": grows.bytes_in,
        "queued_bytes": { "rpc": peer.queued[0], "event": peer.queued[1], "telemetry": peer.queued[2] },
    })
}

impl Rates {
    /// Shorter times say little.
    const LEAST_MS: u64 = 900;

    fn measure(&mut self, now: Now, totals: [u64; 4], peers: &[Peer]) {
        let passed_ms = now.elapsed_ms.saturating_sub(self.at_ms);
        if passed_ms < Self::LEAST_MS {
            return;
        }
        let per_s = |now: u64, before: u64| now.saturating_sub(before) * 1_000 / passed_ms;
        for (rate, (now, before)) in self.per_s.iter_mut().zip(totals.iter().zip(self.totals)) {
            *rate = per_s(*now, before);
        }
        let links = peers.iter().map(|peer| {
            let before = self.links.get(&peer.node).map(|(before, _)| *before).unwrap_or_default();
            let traffic = peer.traffic;
            let sum = |values: [u64; 2]| values[0] + values[1];
            let grows = LinkRates {
                sent: per_s(sum(traffic.sent) + traffic.values, sum(before.sent) + before.values),
                received: per_s(sum(traffic.received), sum(before.received)),
                bytes_out: per_s(traffic.bytes_out, before.bytes_out),
                bytes_in: per_s(traffic.bytes_in, before.bytes_in),
            };
            (peer.node, (traffic, grows))
        });
        self.links = links.collect();
        (self.at_ms, self.totals) = (now.elapsed_ms, totals);
    }
}
