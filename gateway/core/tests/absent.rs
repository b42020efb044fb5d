//! Groups whose members are behind a gateway that is killed and runs anew: nobody else gets what they had, while they may
//! come back.

mod common;

use common::{Gateway, hello, link_hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Continue, Hello, Received, Resumption, Share, Subscribe};
use macula_proto::{slot, wire};
use prost::Message as _;

const PEER: u8 = 9;
const WINDOW: u64 = 1 << 20;
/// The client whose subscription 1 is the member that loses its gateway, and one that stays.
const AWAY: u8 = 2;
const STAYS: u8 = 3;

/// As PROTOCOL.md says for subscription 1 of a client.
fn member_number(client: u8) -> u64 {
    let bytes = [client; 16].into_iter().chain(1u32.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn join(gateway: &mut Gateway, client: u8, hello: Hello) -> ConnKey {
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &Hello { acknowledges: true, ..hello });
    let share = Share::Hash.into();
    let subscribe = Subscribe { group: "g".to_owned(), share, recover: client == AWAY, ..subscribe(1, "a") };
    gateway.send(conn, kind::SUBSCRIBE, &subscribe);
    conn
}

/// The peer's run of this epoch, with this link's first frames said.
fn peer(gateway: &mut Gateway, epoch: u64) -> ConnKey {
    let conn = gateway.node.open_link(false);
    gateway.send(conn, kind::LINK_HELLO, &v1::LinkHello { epoch, ..link_hello(PEER, "there") });
    gateway.send(conn, kind::RECEIVED, &Received::default());
    conn
}

/// The peer calls the topic 5, and a publisher 3.
fn tell_aliases(gateway: &mut Gateway, there: ConnKey) {
    gateway.alias(there, StreamKind::Event, 5, "a");
    let told = v1::PublisherAlias { alias: 3, publisher: vec![7; 16].into(), epoch: 1 };
    gateway.send_on(there, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
}

/// The peer says which members of the group it has.
fn names(gateway: &mut Gateway, there: ConnKey, members: Vec<u64>) {
    let (pattern, group, share) = ("a".to_owned(), "g".to_owned(), Share::Hash.into());
    let interests = vec![v1::Interest { pattern, group, share, members, ..v1::Interest::default() }];
    let snapshot = v1::InterestSnapshot { version: 1, interests, offers: Vec::new() };
    gateway.send(there, kind::INTEREST_SNAPSHOT, &snapshot);
}

/// Publishes an event for each of these numbers, which is its key as well.
fn publish(gateway: &mut Gateway, from: ConnKey, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        let mut bytes = Vec::new();
        let key = sequence.to_string();
        wire::encode_publish(&mut bytes, 1, sequence, &wire::Message::new(b"x", &key), false);
        gateway.bytes(from, StreamKind::Event, &bytes);
    }
}

/// True of an event whose slot is that of the member which loses its gateway.
fn is_aways(sequence: u64) -> bool {
    let members = [AWAY, STAYS].map(member_number);
    slot::owner(slot::of(&sequence.to_string(), "a"), members) == Some(members[0])
}

/// Sequences that came over a link for the member behind it.
fn given(gateway: &mut Gateway, there: ConnKey) -> Vec<u64> {
    let frames = gateway.frames(there, StreamKind::Event).into_iter();
    let deliveries = frames.filter(|(kind, _)| *kind == kind::DELIVER);
    deliveries
        .map(|(_, body)| v1::Deliver::decode(&body[..]).unwrap())
        .inspect(|deliver| assert_eq!(deliver.members, [member_number(AWAY)]))
        .map(|deliver| deliver.sequence)
        .collect()
}

/// A gateway with a member of the group, a publisher, and a peer that was killed with another member, which had events.
fn killed() -> (Gateway, ConnKey, ConnKey) {
    let mut gateway = Gateway::new();
    let stays = join(&mut gateway, STAYS, hello(STAYS, WINDOW));
    let from = gateway.node.open_session();
    gateway.send(from, kind::HELLO, &Hello { acknowledges: true, ..hello(1, WINDOW) });
    gateway.alias(from, StreamKind::Event, 1, "a");
    let there = peer(&mut gateway, 1);
    names(&mut gateway, there, vec![member_number(AWAY)]);
    publish(&mut gateway, from, 1..=50);
    assert_eq!(given(&mut gateway, there), (1..=50).filter(|n| is_aways(*n)).collect::<Vec<_>>());
    gateway.remove(there);
    publish(&mut gateway, from, 51..=100);
    gateway.sequences(stays, StreamKind::Event);
    (gateway, from, stays)
}

#[test]
fn what_a_member_had_and_gets_goes_to_the_new_run_of_its_gateway() {
    let (mut gateway, from, stays) = killed();
    let there = peer(&mut gateway, 2);
    publish(&mut gateway, from, 101..=150);
    names(&mut gateway, there, Vec::new());
    publish(&mut gateway, from, 151..=200);
    names(&mut gateway, there, vec![member_number(AWAY)]);
    gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    publish(&mut gateway, from, 201..=250);
    assert_eq!(given(&mut gateway, there), (1..=250).filter(|n| is_aways(*n)).collect::<Vec<_>>());
    let others: Vec<u64> = (101..=250).filter(|n| !is_aways(*n)).collect();
    assert_eq!(gateway.sequences(stays, StreamKind::Event), others);
    // It is a member as any, and may leave.
    names(&mut gateway, there, Vec::new());
    publish(&mut gateway, from, 251..=260);
    assert_eq!(given(&mut gateway, there), [0u64; 0]);
}

#[test]
fn a_member_that_is_not_back_in_time_is_gone() {
    let (mut gateway, from, stays) = killed();
    let there = peer(&mut gateway, 2);
    for _ in 0..4 {
        gateway.pass(3_000);
        gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    }
    gateway.pass(100);
    given(&mut gateway, there);
    publish(&mut gateway, from, 101..=150);
    assert_eq!(given(&mut gateway, there), [0u64; 0]);
    assert_eq!(gateway.sequences(stays, StreamKind::Event), (101..=150).collect::<Vec<_>>());
}

#[test]
fn what_the_new_run_gives_back_goes_to_another() {
    let (mut gateway, from, stays) = killed();
    let there = peer(&mut gateway, 2);
    let lost = given(&mut gateway, there);
    gateway.send_on(there, StreamKind::Event, kind::CONTINUE, &Continue::default());
    tell_aliases(&mut gateway, there);
    for &sequence in &lost {
        let message = Some(v1::Message { key: sequence.to_string(), ..v1::Message::default() });
        let members = vec![member_number(AWAY)];
        let deliver =
            v1::Deliver { topic: 5, publisher: 3, sequence, message, members, ..v1::Deliver::default() };
        let back = v1::NotHere { deliver: Some(deliver), ..v1::NotHere::default() };
        gateway.send_on(there, StreamKind::Event, kind::NOT_HERE, &back);
    }
    publish(&mut gateway, from, 101..=110);
    let got = gateway.sequences(stays, StreamKind::Event);
    assert_eq!(got, lost.into_iter().chain(101..=110).collect::<Vec<_>>());
}

/// A new run of a gateway, to whose earlier run a peer had sent four events for a member.
fn risen() -> (Gateway, ConnKey) {
    let mut gateway = Gateway::new();
    let there = peer(&mut gateway, 1);
    let begin = Continue { position: None, held: 6, whole: true };
    gateway.send_on(there, StreamKind::Event, kind::CONTINUE, &begin);
    tell_aliases(&mut gateway, there);
    for sequence in 1..=6 {
        let message = Some(v1::Message::default());
        let members = vec![member_number(AWAY)];
        let deliver =
            v1::Deliver { topic: 5, publisher: 3, sequence, message, members, ..v1::Deliver::default() };
        gateway.send_on(there, StreamKind::Event, kind::DELIVER, &deliver);
    }
    (gateway, there)
}

#[test]
fn a_member_that_comes_back_gets_what_was_held_for_it_and_what_came_since() {
    let (mut gateway, there) = risen();
    let resume = Some(Resumption { session: 7, gateway_epoch: 0, position: 0 });
    let other = join(&mut gateway, STAYS, Hello { resume, ..hello(STAYS, WINDOW) });
    let back = join(&mut gateway, AWAY, Hello { resume, ..hello(AWAY, WINDOW) });
    assert_eq!(gateway.sequences(back, StreamKind::Event), [1, 2, 3, 4, 5, 6]);
    for _ in 0..4 {
        gateway.pass(3_000);
        gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    }
    assert_eq!(
        gateway.sequences(other, StreamKind::Event),
        [0u64; 0],
        "what another gateway has chosen stays so"
    );
    assert_eq!(gateway.only::<v1::NotHere>(there, StreamKind::Event, kind::NOT_HERE), []);
    assert_eq!(gateway.node.counters().lost, [0, 0]);
}

#[test]
fn what_was_held_for_a_member_that_is_not_back_in_time_is_given_back() {
    let (mut gateway, there) = risen();
    for _ in 0..4 {
        gateway.pass(3_000);
        gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    }
    let back = gateway.only::<v1::NotHere>(there, StreamKind::Event, kind::NOT_HERE);
    let back: Vec<v1::Deliver> = back.into_iter().filter_map(|back| back.deliver).collect();
    let sequences: Vec<u64> = back.iter().map(|deliver| deliver.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
    assert!(back.iter().all(|deliver| deliver.members == [member_number(AWAY)]));
    assert_eq!(gateway.node.counters().lost, [0, 0]);
}
