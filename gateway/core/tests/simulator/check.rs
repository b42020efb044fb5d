//! What has to hold, against a model that knows every message and every subscription.

use crate::client::{CallRecord, Client, Keep, Outcome, Received, slot};
use crate::network::{Network, Published};
use macula_proto::v1::{CallPolicy, Class, Code, Overflow};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The subscriptions of a client that a message is for.
fn wanted(client: &Client, message: &Published) -> Vec<u32> {
    let own = client.index == message.client;
    let matching = client.subscriptions.iter().filter(|(_, subscription)| {
        !subscription.gone && subscription.pattern.matches(&message.topic) && (!own || subscription.echo)
    });
    matching.map(|(number, _)| *number).collect()
}

fn message<'a>(network: &'a Network, received: &Received) -> (usize, &'a Published) {
    let id = (usize::from(received.publisher[15]), slot(received.class), received.sequence);
    let index = network.index[&id];
    let published = &network.published[index];
    assert_eq!(
        (&published.topic.to_string(), &published.key),
        (&received.topic, &received.key),
        "the right content"
    );
    (index, published)
}

/// From the message `mark` on everything arrived where it was wanted, once, and in order.
pub(crate) fn deliveries(network: &Network, mark: usize) {
    for client in &network.clients {
        assert_eq!(client.losses, [0; 2], "nothing was lost on the way to client {}", client.index);
        assert!(client.gaps == 0 || network.stormy, "no link broke");
        let mut arrived: HashMap<usize, &Received> = HashMap::new();
        for received in &client.received {
            let (index, published) = message(network, received);
            if index < mark {
                continue;
            }
            let twice = arrived.insert(index, received).is_some();
            assert!(!twice, "client {} got {} {} twice", client.index, published.topic, published.sequence);
        }
        for (index, published) in network.published.iter().enumerate().skip(mark) {
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
        in_order(client, network.stormy);
    }
    if !network.stormy {
        accepted(network);
    }
}

/// Messages of one publisher, session and class come in order, but for what a store gave, and but for telemetry of a
/// publisher that moved while some was under way.
fn in_order(client: &Client, moving: bool) {
    let mut last = HashMap::new();
    let ordered =
        |received: &&Received| received.stamp == 0 && !(moving && received.class == Class::Telemetry);
    for received in client.received.iter().filter(ordered) {
        let stream = (received.session, slot(received.class), &received.publisher);
        let before = last.insert(stream, received.sequence).unwrap_or(0);
        assert!(before < received.sequence, "client {}: {} after {before}", client.index, received.sequence);
    }
}

/// Every event was accepted.
fn accepted(network: &Network) {
    for client in &network.clients {
        assert_eq!(
            client.accepted, client.sequences[0],
            "Accepted tells the last event of client {}",
            client.index
        );
        assert_eq!(client.settled, client.sequences[0], "the events of client {} settle", client.index);
    }
}

/// In the middle of a storm: nothing comes twice in a session, out of order, or to those who did not ask.
pub(crate) fn nothing_strange(network: &Network) {
    for client in &network.clients {
        let mut seen = HashMap::new();
        for received in &client.received {
            let (index, published) = message(network, received);
            let wanted = wanted(client, published);
            // A client that comes back subscribes again one by one.
            let asked = received.subscriptions.iter().all(|number| wanted.contains(number));
            assert!(
                asked && !received.subscriptions.is_empty(),
                "client {}: {}",
                client.index,
                published.topic
            );
            // A value that a third gateway's store brought first, and that a newer one has replaced since, is not
            // known any more when it comes over its own slow link.
            let forgotten = received.stamp != 0;
            let twice = seen.insert((received.session, index), ()).is_some() && !forgotten;
            assert!(!twice, "client {} got {} {} twice", client.index, published.topic, published.sequence);
        }
        in_order(client, true);
    }
}

/// What arrived and what was told as lost add up, at every hop.
pub(crate) fn losses(network: &Network) {
    let at = |published: &Published, gateway: usize| {
        let id = (published.client, slot(published.class), published.sequence);
        published.gateway == gateway || network.crossed.contains_key(&(id, gateway))
    };
    for client in &network.clients {
        for class in [Class::Event, Class::Telemetry] {
            let came = network.published.iter().filter(|published| {
                published.class == class
                    && at(published, client.gateway)
                    && !wanted(client, published).is_empty()
            });
            let got = client.received.iter().filter(|received| received.class == class).count() as u64;
            // What links lost on the way to this gateway is told to everyone who subscribes there.
            let on_links = network.link_losses.iter().filter(|((_, to, lost), _)| {
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
            let (_, published) = message(network, received);
            assert_eq!(wanted(client, published), received.subscriptions);
        }
    }
    for from in 0..network.gateways.len() {
        for to in (0..network.gateways.len()).filter(|to| *to != from) {
            for class in [Class::Event, Class::Telemetry] {
                let interested = network.published.iter().filter(|published| {
                    let here = published.gateway == from && published.class == class;
                    here && (published.keep != Keep::Nothing
                        || network.clients.iter().any(|c| interested(c, to, published)))
                });
                let told = network.link_losses.get(&(from, to, slot(class))).copied().unwrap_or(0);
                let passed = network.published.iter().filter(|published| {
                    let id = (published.client, slot(published.class), published.sequence);
                    published.gateway == from
                        && published.class == class
                        && network.crossed.contains_key(&(id, to))
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
            assert!(known.is_none_or(|known| known == own), "{known:?} is known where {own:?} is wanted");
        }
    }
}

/// Every call ended as its providers let expect.
pub(crate) fn calls(network: &Network) {
    for caller in &network.clients {
        for call in caller.calls.values() {
            let providers: Vec<&Client> =
                network.clients.iter().filter(|client| offers(client, &call.procedure)).collect();
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
    for registration in network.clients.iter().flat_map(|client| client.registrations.values()) {
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
    (0..10).for_each(|_| network.rest());
    let first = network.clients.len();
    for gateway in 0..network.gateways.len() {
        let client = network.add_client(gateway, 50_000, false);
        network.connect(client, gateway);
        let pattern = "#".parse().expect("a pattern");
        let (events, telemetry) = (Overflow::Default, Overflow::Default);
        let op = crate::client::Op::Subscribe { pattern, echo: false, retained: true, events, telemetry };
        network.clients[client].plan.push_back(op);
    }
    network.run();
    network.rest();
    let mut newest: BTreeMap<(String, String), (Rank, Keep)> = BTreeMap::new();
    let all = network.clients.iter().flat_map(|client| &client.received);
    for received in all.filter(|received| received.keep != Keep::Nothing) {
        assert!(received.stamp > 0, "a value to keep has a stamp");
        let name = (received.topic.clone(), received.key.clone());
        let rank = rank(received);
        let known = newest.entry(name).or_insert((rank.clone(), received.keep));
        if rank > known.0 {
            *known = (rank, received.keep);
        }
    }
    let stores: Vec<Store> = network.clients[first..].iter().map(store).collect();
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
    for published in network.published.iter().filter(|published| published.keep == Keep::Remove) {
        removed.insert((published.topic.to_string(), published.key.clone()));
    }
    for published in network.published.iter().filter(|published| published.keep == Keep::Retain) {
        let name = (published.topic.to_string(), published.key.clone());
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
