//! Who is chosen of several providers, and who stays of two that tolerate no other.

mod common;

use common::{Gateway, call, register};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Acknowledged, Call, CallPolicy, Code, Offer, Register, Scope};

fn policy(policy: CallPolicy) -> Register {
    Register { policy: policy.into(), ..register(1, "p") }
}

fn offers(gateway: &mut Gateway, peer: ConnKey, offered: Vec<Offer>) {
    let delta = v1::InterestDelta { version: 1, offered, ..v1::InterestDelta::default() };
    gateway.send(peer, kind::INTEREST_DELTA, &delta);
}

fn offer(since: u64, publisher: u8, policy: CallPolicy) -> Offer {
    let publisher = vec![publisher; 16].into();
    Offer { procedure: "p".to_owned(), policy: policy.into(), since, publisher }
}

/// What a client was answered since the last look: code and text of each.
fn answers(gateway: &mut Gateway, conn: ConnKey) -> Vec<(Code, String)> {
    let answers: Vec<Acknowledged> = gateway.only(conn, StreamKind::Control, kind::ACKNOWLEDGED);
    answers.into_iter().map(|answer| (answer.code(), answer.message)).collect()
}

fn codes(gateway: &mut Gateway, conn: ConnKey) -> Vec<Code> {
    answers(gateway, conn).into_iter().map(|(code, _)| code).collect()
}

/// What a peer was told since the last look: offers by time, and names of what was withdrawn.
fn told(gateway: &mut Gateway, peer: ConnKey) -> (Vec<u64>, Vec<String>) {
    let deltas: Vec<v1::InterestDelta> = gateway.only(peer, StreamKind::Control, kind::INTEREST_DELTA);
    let offered = deltas.iter().flat_map(|delta| &delta.offered).map(|offer| offer.since).collect();
    (offered, deltas.into_iter().flat_map(|delta| delta.withdrawn).collect())
}

/// Calls `procedure` so many times; the index of the connection that each call reached. The calls stay open.
fn reached(
    gateway: &mut Gateway,
    caller: ConnKey,
    conns: &[ConnKey],
    procedure: &str,
    times: u64,
) -> Vec<usize> {
    let first = gateway.node.counters().calls;
    let one = |number| {
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &call(first + number, procedure, 60_000));
        let got: Vec<usize> = (0..conns.len())
            .filter(|index| !gateway.only::<Call>(conns[*index], StreamKind::Rpc, kind::CALL).is_empty())
            .collect();
        assert_eq!(got.len(), 1, "a call reaches one provider");
        got[0]
    };
    (1..=times).map(one).collect()
}

/// A gateway, a caller, and three providers of `p`.
fn three(chosen: CallPolicy) -> (Gateway, ConnKey, [ConnKey; 3]) {
    let mut gateway = Gateway::new();
    let caller = gateway.client(1, 1 << 20);
    let providers = [2, 3, 4].map(|publisher| {
        let conn = gateway.client(publisher, 1 << 20);
        gateway.send(conn, kind::REGISTER, &policy(chosen));
        conn
    });
    (gateway, caller, providers)
}

#[test]
fn each_policy_chooses_as_it_says() {
    let (mut gateway, caller, providers) = three(CallPolicy::RoundRobin);
    let mut turns = reached(&mut gateway, caller, &providers, "p", 6);
    assert_eq!(turns[..3], turns[3..], "the same turn again");
    turns.sort_unstable();
    assert_eq!(turns, [0, 0, 1, 1, 2, 2]);

    let (mut gateway, caller, providers) = three(CallPolicy::First);
    assert_eq!(reached(&mut gateway, caller, &providers, "p", 3), [0, 0, 0]);
    gateway.remove(providers[0]);
    assert_eq!(reached(&mut gateway, caller, &providers, "p", 2), [1, 1]);

    let (mut gateway, caller, providers) = three(CallPolicy::Last);
    assert_eq!(reached(&mut gateway, caller, &providers, "p", 3), [2, 2, 2]);

    let (mut gateway, caller, providers) = three(CallPolicy::Random);
    let drawn = reached(&mut gateway, caller, &providers, "p", 300);
    for index in 0..3 {
        let count = drawn.iter().filter(|drawn| **drawn == index).count();
        assert!((60..140).contains(&count), "{count} of 300 for one of three");
    }

    let (mut gateway, caller, providers) = three(CallPolicy::LeastLoaded);
    let mut loaded = reached(&mut gateway, caller, &providers, "p", 3);
    loaded.sort_unstable();
    assert_eq!(loaded, [0, 1, 2], "each has one, none has two");
    // The provider in the middle answers; so it has the least to do.
    let answer = v1::CallResult { call: 2, ..v1::CallResult::default() };
    gateway.send_on(providers[1], StreamKind::Rpc, kind::CALL_RESULT, &answer);
    assert_eq!(reached(&mut gateway, caller, &providers, "p", 1), [1]);
}

#[test]
fn providers_here_come_before_those_of_peers() {
    let mut gateway = Gateway::new();
    let [caller, here] = [1, 2].map(|publisher| gateway.client(publisher, 1 << 20));
    let peers = [8, 9].map(|id| gateway.peer(id, "there"));
    for (peer, since) in peers.into_iter().zip([7, 5]) {
        offers(&mut gateway, peer, vec![offer(since, since as u8, CallPolicy::First)]);
    }
    let conns = [here, peers[0], peers[1]];
    assert_eq!(reached(&mut gateway, caller, &conns, "p", 2), [2, 2], "the earlier of the two");
    gateway.send(here, kind::REGISTER, &policy(CallPolicy::First));
    assert_eq!(reached(&mut gateway, caller, &conns, "p", 2), [0, 0]);
    gateway.remove(here);
    gateway.remove(peers[1]);
    assert_eq!(reached(&mut gateway, caller, &conns, "p", 1), [1]);
}

#[test]
fn the_most_specific_pattern_answers() {
    let mut gateway = Gateway::new();
    let caller = gateway.client(1, 1 << 20);
    let conns = [(2, "a.#"), (3, "a.+.c"), (4, "a.b.c"), (5, "+.b.c")].map(|(publisher, procedure)| {
        let conn = gateway.client(publisher, 1 << 20);
        gateway.send(conn, kind::REGISTER, &register(1, procedure));
        conn
    });
    for (procedure, expected) in [("a.b.c", 2), ("a.x.c", 1), ("a.x", 0), ("a", 0), ("x.b.c", 3)] {
        assert_eq!(reached(&mut gateway, caller, &conns, procedure, 1), [expected], "{procedure}");
    }
}

#[test]
fn what_a_peer_offers_as_the_only_one_cannot_be_registered_here() {
    let mut gateway = Gateway::new();
    let client = gateway.client(2, 1 << 20);
    let peer = gateway.peer(9, "there");
    for (theirs, ours) in [(CallPolicy::Single, CallPolicy::Random), (CallPolicy::Random, CallPolicy::Single)]
    {
        offers(&mut gateway, peer, vec![offer(5, 3, theirs)]);
        gateway.send(client, kind::REGISTER, &policy(ours));
        let [(code, text)] = &answers(&mut gateway, client)[..] else { panic!("one answer") };
        assert!(*code == Code::AlreadyExists && text.contains("`there`"), "{text}");
    }
    gateway.send(client, kind::REGISTER, &policy(CallPolicy::First));
    assert_eq!(codes(&mut gateway, client), [Code::Ok]);
    gateway.remove(peer);
    gateway.send(client, kind::REGISTER, &Register { registration: 2, ..policy(CallPolicy::Single) });
    assert_eq!(codes(&mut gateway, client), [Code::AlreadyExists], "beside its own first");
}

#[test]
fn names_of_the_system_are_the_gateways_own() {
    let mut gateway = Gateway::new();
    let client = gateway.client(2, 1 << 20);
    for procedure in ["$sys.echo", "$mine", "$sys.#"] {
        gateway.send(client, kind::REGISTER, &register(1, procedure));
        assert_eq!(codes(&mut gateway, client), [Code::PermissionDenied], "{procedure}");
    }
}

#[test]
fn after_a_partition_the_earlier_of_two_stays_and_the_other_is_told() {
    let mut gateway = Gateway::new();
    let client = gateway.client(2, 1 << 20);
    gateway.send(client, kind::REGISTER, &policy(CallPolicy::Single));
    let peer = gateway.linked(common::link_hello(9, "there"));
    let snapshots: Vec<v1::InterestSnapshot> =
        gateway.only(peer, StreamKind::Control, kind::INTEREST_SNAPSHOT);
    let ours = snapshots[0].offers[0].since;
    assert_eq!(snapshots[0].offers[0].publisher, vec![2; 16]);
    codes(&mut gateway, client);

    let later = offer(ours + 1, 3, CallPolicy::Single);
    gateway.send(
        peer,
        kind::INTEREST_SNAPSHOT,
        &v1::InterestSnapshot { offers: vec![later], ..Default::default() },
    );
    assert_eq!(codes(&mut gateway, client), [], "ours is the earlier");
    assert_eq!(gateway.node.gauges().registrations, 1);

    offers(&mut gateway, peer, vec![offer(ours - 1, 3, CallPolicy::Single)]);
    let [(code, text)] = &answers(&mut gateway, client)[..] else { panic!("one answer") };
    assert!(*code == Code::Aborted && text.contains("`there`"), "{text}");
    assert_eq!(told(&mut gateway, peer).1, ["p"]);
    assert_eq!(gateway.node.gauges().registrations, 0);
    gateway.send(client, kind::UNREGISTER, &v1::Unregister { registration: 1 });
    gateway.send(client, kind::REGISTER, &policy(CallPolicy::Single));
    assert_eq!(codes(&mut gateway, client), [Code::AlreadyExists], "its number is free again");
}

#[test]
fn of_two_at_the_same_time_the_smaller_node_id_stays() {
    // This gateway's id is 5.
    for (peer, stays) in [(4, false), (9, true)] {
        let mut gateway = Gateway::new();
        let client = gateway.client(2, 1 << 20);
        let link = gateway.peer(peer, "there");
        gateway.send(client, kind::REGISTER, &policy(CallPolicy::Single));
        let since = told(&mut gateway, link).0[0];
        codes(&mut gateway, client);
        offers(&mut gateway, link, vec![offer(since, 3, CallPolicy::Single)]);
        assert_eq!(codes(&mut gateway, client).is_empty(), stays);
    }
}

#[test]
fn several_of_one_gateway_stay_or_go_together() {
    for (shift, stay) in [(-1, false), (1, true)] {
        let (mut gateway, _, providers) = three(CallPolicy::Random);
        let peer = gateway.linked(common::link_hello(9, "there"));
        let snapshots: Vec<v1::InterestSnapshot> =
            gateway.only(peer, StreamKind::Control, kind::INTEREST_SNAPSHOT);
        let [ours] = &snapshots[0].offers[..] else { panic!("peers are told one of the three") };
        let since = ours.since.wrapping_add_signed(shift);
        providers.iter().for_each(|conn| drop(codes(&mut gateway, *conn)));
        offers(&mut gateway, peer, vec![offer(since, 9, CallPolicy::Single)]);
        assert_eq!(gateway.node.gauges().registrations, if stay { 3 } else { 0 });
        for conn in providers {
            assert_eq!(codes(&mut gateway, conn).is_empty(), stay);
        }
    }
}

#[test]
fn a_client_that_has_moved_is_not_refused_because_of_its_ghost() {
    let mut gateway = Gateway::new();
    let peer = gateway.peer(9, "there");
    // The peer's clock is half a minute ahead.
    let since = (gateway.now.unix_ms + 30_000) << 16;
    offers(&mut gateway, peer, vec![offer(since, 2, CallPolicy::Single)]);
    let client = gateway.client(2, 1 << 20);
    gateway.send(client, kind::REGISTER, &policy(CallPolicy::Single));
    assert_eq!(codes(&mut gateway, client), [Code::Ok]);
    let ours = told(&mut gateway, peer).0;
    assert!(ours[0] > since, "the peer sees that ours is the later");

    // And here it is the ghost.
    offers(&mut gateway, peer, vec![offer(ours[0] + 1, 2, CallPolicy::Single)]);
    assert_eq!(codes(&mut gateway, client), [Code::Aborted]);
    assert_eq!(told(&mut gateway, peer).1, ["p"]);
}

#[test]
fn who_loses_while_it_waits_for_the_mesh_hears_so_once() {
    let mut gateway = Gateway::new();
    let client = gateway.client(2, 1 << 20);
    let peer = gateway.peer(9, "there");
    gateway.send(
        client,
        kind::REGISTER,
        &Register { scope: Scope::Mesh.into(), ..policy(CallPolicy::Single) },
    );
    offers(&mut gateway, peer, vec![offer(1, 3, CallPolicy::Single)]);
    gateway.pass(3_000);
    assert_eq!(codes(&mut gateway, client), [Code::Aborted]);
}

#[test]
fn peers_are_told_the_earliest_of_several() {
    let mut gateway = Gateway::new();
    let peer = gateway.peer(9, "there");
    let clients = [2, 3].map(|publisher| gateway.client(publisher, 1 << 20));
    let mut since = Vec::new();
    for client in clients {
        gateway.send(client, kind::REGISTER, &policy(CallPolicy::First));
        since.push(told(&mut gateway, peer));
    }
    assert_eq!((since[0].0.len(), &since[1]), (1, &(vec![], vec![])), "the second is no news");
    gateway.remove(clients[0]);
    let (offered, withdrawn) = told(&mut gateway, peer);
    assert!(offered[0] > since[0].0[0] && withdrawn.is_empty(), "the second is the earliest now");
    gateway.remove(clients[1]);
    assert_eq!(told(&mut gateway, peer), (vec![], vec!["p".to_owned()]));
}
