//! What has to hold once everything has come to rest, against a model that knows every message and every subscription.

use crate::client::{CallRecord, Client, Keep, Op, Outcome, Received, Subscribing, slot};
use crate::model::{MessageId, Published, wanted};
use crate::network::Network;
use crate::scenario::Kind;
use macula_proto::v1::{CallPolicy, Class, Code, Overflow};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Longest time in which a mesh whose faults are over comes to rest, simulated.
const REST_MS: u64 = 120_000;
/// It is at rest when nothing has moved for so long: pings, too, have come and gone.
const QUIET_MS: u64 = 1_500;

impl Network {
    /// Lets time pass until all plans are done.
    pub(crate) fn run(&mut self) {
        let done = |network: &Self| {
            network.model.clients.iter().all(|client| client.plan.is_empty() || client.asleep)
        };
        assert!(self.until(3_600_000, done).is_some(), "the plans do not end");
    }

    /// Lets time pass until nothing moves any more and everybody has got an answer; how long that took.
    pub(crate) fn rest(&mut self) -> u64 {
        let begun = self.now_ms;
        let mut since = begun;
        while self.now_ms - since < QUIET_MS {
            self.pass(100);
            if let Some(why) = self.unrest() {
                assert!(self.now_ms - begun < REST_MS, "the mesh does not come to rest: {why}");
                since = self.now_ms;
            }
        }
        since - begun
    }

    /// Why this is not a mesh at rest.
    pub(crate) fn unrest(&self) -> Option<String> {
        let clients = &self.model.clients;
        if let Some(client) =
            clients.iter().find(|client| !client.is_idle() || (client.owes() && !client.asleep))
        {
            return Some(format!("client {} waits", client.index));
        }
        let ghost = self
            .pipes
            .iter()
            .position(|pipe| pipe.attached != [false; 2] && (!pipe.alive || pipe.attached != [true; 2]));
        if let Some(pipe) = ghost {
            return Some(format!(
                "an end of {:?} believes in a connection that is gone",
                self.pipes[pipe].ends
            ));
        }
        let up: Vec<usize> = (0..self.gateways.len()).filter(|index| self.gateways[*index].up).collect();
        for &at in &up {
            let gateway = &self.gateways[at];
            let gauges = gateway.node.gauges();
            let waits = gauges.kept + gauges.recoverable + gauges.calls + gauges.queued_bytes;
            if waits > 0 {
                return Some(format!("gateway {at} waits: {gauges:?}"));
            }
            let peers = gateway.node.peers();
            for &other in up.iter().filter(|other| **other != at && !self.paths.are_cut(at, **other)) {
                let ours = gateway.links.contains_key(&other);
                let synced = peers.iter().any(|peer| peer.node == crate::network::id(other) && peer.synced);
                if !ours || !synced {
                    return Some(format!("gateway {at} has no link to {other}"));
                }
            }
        }
        None
    }
}

/// From the message `mark` on everything arrived where it was wanted, once, and in order.
pub(crate) fn deliveries(network: &Network, mark: usize) {
    for client in network.model.clients.iter().filter(|client| !client.mute) {
        assert_eq!(client.losses, [0; 2], "nothing was lost on the way to client {}", client.index);
        assert!(client.gaps == 0 || network.stormy, "no link broke");
        let mut arrived: HashMap<usize, &Received> = HashMap::new();
        for received in &client.received {
            let (index, published) = network.model.message(received);
            if index < mark {
                continue;
            }
            let twice = arrived.insert(index, received).is_some();
            assert!(!twice, "client {} got {} {} twice", client.index, published.topic, published.sequence);
        }
        for (index, published) in network.model.published.iter().enumerate().skip(mark) {
            let wanted = wanted(client, published);
            let got = arrived.get(&index).map(|received| received.subscriptions.clone()).unwrap_or_default();
            assert_eq!(
                wanted,
                got,
                "client {} at gateway {}: {:?} {} of client {} at gateway {} on {}",
                client.index,
                client.gateway,
                published.class,
                published.sequence,
                published.client,
                published.gateway,
                published.topic
            );
        }
    }
    if !network.stormy {
        accepted(network);
    }
}

/// Every event reached everyone who wanted it; what did not was told, and a gentle story leaves nothing to tell.
pub(crate) fn no_event_is_missing(network: &Network, kind: Kind) {
    for client in &network.model.clients {
        let arrived: HashSet<usize> =
            client.received.iter().map(|received| network.model.message(received).0).collect();
        let events =
            network.model.published.iter().enumerate().filter(|(_, message)| message.class == Class::Event);
        // What a gap of unknown extent stands for was published before it. Who goes elsewhere is told when it comes there, and
        // may not be known yet to those who publish behind a link that is lost.
        let covered = |message: &Published| {
            client.gaps > 0 && (message.at_ms <= client.told_ms || kind == Kind::Stormy)
        };
        let missing: Vec<String> = events
            // One that may have lived too long by itself.
            .filter(|(_, message)| message.time_to_live_ms == 0 && !wanted(client, message).is_empty())
            .filter(|(index, message)| !arrived.contains(index) && !covered(message))
            .map(|(_, lost)| {
                let Published { sequence, client, gateway, at_ms, .. } = lost;
                format!("{sequence} of client {client} at {gateway}, published after {at_ms} ms")
            })
            .collect();
        let (told, gaps) = (client.losses[0], client.gaps);
        let (at, who) = (client.gateway, client.index);
        if kind == Kind::Gentle {
            assert_eq!(
                (told, gaps),
                (0, 0),
                "client {who} at {at} was told of a gap, and misses {missing:?}"
            );
        }
        assert!(
            missing.len() as u64 <= told,
            "client {who} at {at} was told that {told} are missing, and after {} ms of {gaps} gaps, and misses {missing:?}",
            client.told_ms
        );
    }
    accepted(network);
}

/// Every event for a group reached one of its members, and a second one only if somebody died.
pub(crate) fn groups(network: &Network, kind: Kind) {
    let members: Vec<&Client> = network.model.clients.iter().filter(|client| client.mute).collect();
    let Some(subscription) = members.first().and_then(|client| client.subscriptions.values().next()) else {
        return;
    };
    let mut arrived: HashMap<usize, usize> = HashMap::new();
    for received in members.iter().flat_map(|client| &client.received) {
        *arrived.entry(network.model.message(received).0).or_default() += 1;
    }
    let told = members.iter().any(|client| client.losses[0] > 0 || client.gaps > 0);
    for (index, published) in network.model.published.iter().enumerate() {
        let for_it = published.class == Class::Event && subscription.pattern.matches(&published.topic);
        if !for_it || published.time_to_live_ms > 0 {
            continue;
        }
        let times = arrived.get(&index).copied().unwrap_or(0);
        let what = format!(
            "event {} of client {} at gateway {}, published after {} ms, for the group with members at {:?}, arrives \
             {times} times",
            published.sequence,
            published.client,
            published.gateway,
            published.at_ms,
            members.iter().map(|client| client.gateway).collect::<Vec<_>>()
        );
        assert!(times > 0 || (kind != Kind::Gentle && told), "{what}");
        assert!(times < 2 || kind != Kind::Gentle, "{what}");
    }
}

/// Every event was accepted.
fn accepted(network: &Network) {
    for client in &network.model.clients {
        // What has settled is not sent to the next run of a gateway.
        let accepted = if client.keeps { client.accepted.max(client.settled) } else { client.accepted };
        assert_eq!(accepted, client.sequences[0], "Accepted tells the last event of client {}", client.index);
        assert_eq!(client.settled, client.sequences[0], "the events of client {} settle", client.index);
    }
}

/// What arrived and what was told as lost add up, at every hop.
pub(crate) fn losses(network: &Network) {
    let at = |published: &Published, gateway: usize| {
        let id = (published.client, slot(published.class), published.sequence);
        published.gateway == gateway || crossed(network).contains(&(id, gateway))
    };
    for client in &network.model.clients {
        for class in [Class::Event, Class::Telemetry] {
            let came = network.model.published.iter().filter(|published| {
                published.class == class
                    && at(published, client.gateway)
                    && !wanted(client, published).is_empty()
            });
            let got = client.received.iter().filter(|received| received.class == class).count() as u64;
            // What links lost on the way to this gateway is told to everyone who subscribes there.
            let on_links = link_losses(network).iter().filter(|((_, to, lost), _)| {
                (*to, *lost) == (client.gateway, slot(class)) && !client.subscriptions.is_empty()
            });
            let on_links: u64 = on_links.map(|(_, count)| count).sum();
            let told = client.losses[slot(class)] - on_links;
            assert_eq!(
                came.count() as u64,
                got + told,
                "client {}, {class:?}: {told} told as lost",
                client.index
            );
        }
        for received in &client.received {
            let (_, published) = network.model.message(received);
            assert_eq!(wanted(client, published), received.subscriptions);
        }
    }
    for from in 0..network.gateways.len() {
        for to in (0..network.gateways.len()).filter(|to| *to != from) {
            for class in [Class::Event, Class::Telemetry] {
                let interested = network.model.published.iter().filter(|published| {
                    let here = published.gateway == from && published.class == class;
                    here && (published.keep != Keep::Nothing
                        || network.model.clients.iter().any(|c| interested(c, to, published)))
                });
                let told = link_losses(network).get(&(from, to, slot(class))).copied().unwrap_or(0);
                let passed = network.model.published.iter().filter(|published| {
                    let id = (published.client, slot(published.class), published.sequence);
                    published.gateway == from
                        && published.class == class
                        && crossed(network).contains(&(id, to))
                });
                assert_eq!(
                    interested.count() as u64,
                    passed.count() as u64 + told,
                    "link {from} to {to}, {class:?}"
                );
            }
        }
    }
}

fn crossed(network: &Network) -> &HashSet<(MessageId, usize)> {
    &network.taps.as_ref().expect("links are listened to").crossed
}

fn link_losses(network: &Network) -> &HashMap<(usize, usize, usize), u64> {
    &network.taps.as_ref().expect("links are listened to").losses
}

fn interested(client: &Client, gateway: usize, published: &Published) -> bool {
    client.gateway == gateway && client.subscriptions.values().any(|s| s.pattern.matches(&published.topic))
}

/// After quiet time no queue holds anything and no call is open.
pub(crate) fn nothing_waits(network: &Network) {
    for gateway in &network.gateways {
        let gauges = gateway.node.gauges();
        assert_eq!(gauges.queued_bytes, 0, "nothing is queued");
        assert_eq!(gauges.calls, 0, "no call is open");
        assert_eq!(gauges.links, network.gateways.len() - 1, "one link to each peer");
        assert_eq!(gauges.parked, 0, "nobody is away");
        let own = gateway.node.interest();
        for other in &network.gateways {
            let known = other.node.interest_of(gateway.node.identity().node);
            let itself = std::ptr::eq(gateway, other);
            assert!(itself || known == Some(own), "{known:?} is known where {own:?} is wanted");
        }
    }
}

/// Every call ended as its providers let expect.
pub(crate) fn calls(network: &Network) {
    for caller in &network.model.clients {
        for call in caller.calls.values() {
            let providers: Vec<&Client> =
                network.model.clients.iter().filter(|client| offers(client, &call.procedure)).collect();
            if call.all {
                gathered(caller, call, &providers);
                continue;
            }
            let local: Vec<&Client> =
                providers.iter().copied().filter(|p| p.gateway == caller.gateway).collect();
            let candidates = if local.is_empty() { providers } else { local };
            let outcome = call.outcome.clone().expect("every call ended");
            let expected = match kind_of(call) {
                _ if candidates.is_empty() => outcome == Outcome::Error(Code::NotFound),
                "ok" | "late" | "stream" => {
                    matches!(outcome, Outcome::Result(by) if candidates.iter().any(|client| client.index == by))
                }
                "fail" => outcome == Outcome::Error(Code::Aborted),
                _ => outcome == Outcome::Error(Code::DeadlineExceeded),
            };
            let by: Vec<usize> = candidates.iter().map(|client| client.index).collect();
            assert!(
                expected,
                "client {}: {} ended with {outcome:?}, providers {by:?}",
                caller.index, call.procedure
            );
        }
    }
}

/// Each provider, wherever it is, answered a call of all once.
fn gathered(caller: &Client, call: &CallRecord, providers: &[&Client]) {
    let outcome = call.outcome.clone().expect("every call ended");
    if providers.is_empty() {
        return assert_eq!(outcome, Outcome::Error(Code::NotFound));
    }
    assert_eq!(outcome, Outcome::All);
    let mut silent_gateways = 0;
    for (provider, answer) in &call.answers {
        let Some(by) = providers.iter().find(|client| client.publisher() == *provider) else {
            // A gateway whose own report came too late.
            assert_eq!(answer, &Outcome::Error(Code::DeadlineExceeded), "only providers answer");
            silent_gateways += 1;
            continue;
        };
        let expected = match kind_of(call) {
            "fail" => Outcome::Error(Code::Aborted),
            "silent" => Outcome::Error(Code::DeadlineExceeded),
            _ => Outcome::Result(by.index),
        };
        assert_eq!(*answer, expected, "client {} answers {}", by.index, call.procedure);
    }
    for client in providers {
        let times = call.answers.iter().filter(|(provider, _)| client.publisher() == *provider).count();
        let excused = silent_gateways > 0 && client.gateway != caller.gateway;
        assert!(times == 1 || excused, "client {} answered {} {times} times", client.index, call.procedure);
    }
}

fn kind_of(call: &CallRecord) -> &str {
    call.procedure.as_str().split('.').nth(1).expect("p.kind.name")
}

fn offers(client: &Client, procedure: &macula_proto::Topic) -> bool {
    let registered = client.registrations.values().filter(|registration| registration.code == Some(Code::Ok));
    registered.into_iter().any(|registration| registration.procedure.matches(procedure))
}

/// Of the registrations of one procedure in the mesh none is SINGLE beside another gateway's, and one stands if any
/// was asked for.
pub(crate) fn single_is_single(network: &Network) {
    let mut seen: HashMap<String, (u32, bool)> = HashMap::new();
    for registration in network.model.clients.iter().flat_map(|client| client.registrations.values()) {
        let entry = seen.entry(registration.procedure.to_string()).or_default();
        if registration.code == Some(Code::Ok) {
            entry.0 += 1;
            entry.1 |= registration.request.policy() == CallPolicy::Single;
        }
    }
    for (procedure, (count, single)) in seen {
        assert!(count == 1 || !single, "{procedure} is SINGLE and offered {count} times");
        assert!(count > 0 || network.stormy, "of those who offer {procedure} one stays");
    }
}

/// A late subscriber gets the same values everywhere, each the newest of its topic and key.
pub(crate) fn retained(network: &mut Network) {
    // Time for gateways to find out that their stores differ, and to repair them.
    network.pass(12_000);
    network.rest();
    let first = network.model.clients.len();
    for gateway in 0..network.gateways.len() {
        let client = network.add_client(gateway, 50_000, false);
        let subscribing = Subscribing {
            pattern: "#".parse().expect("a pattern"),
            group: "",
            echo: false,
            retained: true,
            events: Overflow::Default,
            telemetry: Overflow::Default,
        };
        network.model.clients[client].plan.push_back(Op::Subscribe(subscribing));
    }
    network.run();
    network.rest();
    let mut newest: BTreeMap<(String, String), (Rank, Keep)> = BTreeMap::new();
    let all = network.model.clients.iter().flat_map(|client| &client.received);
    for received in all.filter(|received| received.keep != Keep::Nothing) {
        assert!(received.stamp > 0, "a value to keep has a stamp");
        let name = (received.topic.clone(), received.key.clone());
        let rank = rank(received);
        let known = newest.entry(name).or_insert((rank.clone(), received.keep));
        if rank > known.0 {
            *known = (rank, received.keep);
        }
    }
    let stores: Vec<Store> = network.model.clients[first..].iter().map(store).collect();
    for (gateway, store) in stores.iter().enumerate() {
        assert_eq!(store, &stores[0], "gateway {gateway} has the values of gateway 0");
        // A gateway may have died with a value that it had shown to its own clients only.
        for (name, rank) in store.iter().filter(|_| !network.stormy) {
            assert_eq!(
                newest.get(name),
                Some(&(rank.clone(), Keep::Retain)),
                "{name:?} at {gateway} is the newest"
            );
        }
    }
    let mut removed = BTreeSet::new();
    for published in network.model.published.iter().filter(|published| published.keep == Keep::Remove) {
        removed.insert((published.topic.to_string(), published.key.to_owned()));
    }
    for published in network.model.published.iter().filter(|published| published.keep == Keep::Retain) {
        let name = (published.topic.to_string(), published.key.to_owned());
        let kept = network.stormy || removed.contains(&name) || stores[0].contains_key(&name);
        assert!(kept, "{name:?} is kept");
    }
}

/// Values by topic and key.
type Store = BTreeMap<(String, String), Rank>;

/// Stamp, publisher, sequence: which of two values wins.
type Rank = (u64, Vec<u8>, u64);

fn rank(received: &Received) -> Rank {
    (received.stamp, received.publisher.clone(), received.sequence)
}

fn store(client: &Client) -> Store {
    let mut ends: Vec<usize> = client.ends.iter().map(|(class, _)| slot(*class)).collect();
    ends.sort_unstable();
    assert_eq!(ends, [0, 1], "RetainedEnd on both streams");
    let mut store = BTreeMap::new();
    for received in &client.received {
        assert!(received.retained, "nothing live was published");
        let name = (received.topic.clone(), received.key.clone());
        assert!(store.insert(name, rank(received)).is_none(), "one value per topic and key");
    }
    store
}
