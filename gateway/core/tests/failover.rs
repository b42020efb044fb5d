//! A publisher comes from a gateway that died: what it sends again, who gets it, and when it is settled.

mod common;

use common::{Gateway, hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Hello};

const PUBLISHER: u8 = 7;

/// A session that acknowledges, and its Welcome.
fn greet(gateway: &mut Gateway, id: u8, resume: Option<v1::Resumption>) -> (ConnKey, v1::Welcome) {
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &Hello { acknowledges: true, resume, ..hello(id, 1 << 20) });
    let welcome = gateway.only(conn, StreamKind::Control, kind::WELCOME).remove(0);
    (conn, welcome)
}

/// The other gateway forwards an event of the publisher.
fn forward(gateway: &mut Gateway, link: ConnKey, topic: u32, sequence: u64, resent: bool) {
    let message = Some(v1::Message::default());
    let deliver = v1::Deliver { topic, publisher: 1, sequence, message, resent, ..Default::default() };
    gateway.send_on(link, StreamKind::Event, kind::DELIVER, &deliver);
}

/// A link over which events of the publisher come: on `x` under alias 1, on `y` under 2.
fn link(gateway: &mut Gateway, id: u8) -> ConnKey {
    let link = gateway.peer(id, "there");
    let told = v1::PublisherAlias { alias: 1, publisher: vec![PUBLISHER; 16].into(), epoch: 1 };
    gateway.send_on(link, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
    gateway.alias(link, StreamKind::Event, 1, "x");
    gateway.alias(link, StreamKind::Event, 2, "y");
    link
}

fn settled(gateway: &mut Gateway, conn: ConnKey) -> Option<u64> {
    gateway.only::<v1::Settled>(conn, StreamKind::Control, kind::SETTLED).last().map(|told| told.sequence)
}

#[test]
fn what_came_over_a_link_is_not_taken_for_accepted_from_the_publisher() {
    let mut gateway = Gateway::new();
    let (reader, _) = greet(&mut gateway, 2, None);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "y"));
    let dies = link(&mut gateway, 9);
    forward(&mut gateway, dies, 2, 2, false);
    assert_eq!(gateway.sequences(reader, StreamKind::Event), [2]);
    gateway.remove(dies);
    // Somebody else wants `x` only now, and says that it was there before.
    let elsewhere = Some(v1::Resumption { session: 1, gateway_epoch: 77, position: 5 });
    let (publisher, welcome) = greet(&mut gateway, PUBLISHER, elsewhere);
    assert_eq!((welcome.accepted, welcome.settled), (0, 0));
    let (moved, _) = greet(&mut gateway, 3, elsewhere);
    gateway.send(moved, kind::SUBSCRIBE, &v1::Subscribe { recover: true, ..subscribe(1, "x") });
    gateway.send_on(publisher, StreamKind::Event, kind::RESENT, &v1::Resent { sequence: 2 });
    gateway.alias(publisher, StreamKind::Event, 1, "x");
    gateway.alias(publisher, StreamKind::Event, 2, "y");
    gateway.publish(publisher, StreamKind::Event, 1, 1, b"one");
    gateway.publish(publisher, StreamKind::Event, 2, 2, b"two");
    gateway.pass(100);
    assert_eq!(gateway.sequences(moved, StreamKind::Event), [1]);
    let again: Vec<v1::Deliver> = gateway.only(reader, StreamKind::Event, kind::DELIVER);
    let again: Vec<(u64, bool)> = again.iter().map(|deliver| (deliver.sequence, deliver.resent)).collect();
    assert_eq!(again, [(2, true)], "who has had it is told that it may have");
}

#[test]
fn an_event_sent_again_settles_behind_the_one_that_came_first() {
    let mut gateway = Gateway::new();
    let (reader, _) = greet(&mut gateway, 2, None);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "y"));
    let dies = link(&mut gateway, 9);
    forward(&mut gateway, dies, 2, 1, false);
    gateway.remove(dies);
    let (publisher, _) = greet(&mut gateway, PUBLISHER, None);
    gateway.alias(publisher, StreamKind::Event, 1, "y");
    gateway.publish(publisher, StreamKind::Event, 1, 1, b"again");
    assert_eq!(settled(&mut gateway, publisher), None, "nobody has acknowledged it");
    let came = gateway.frames(reader, StreamKind::Event);
    assert!(came.iter().all(|(kind, _)| *kind != kind::GAP), "the link that died may come back");
    gateway.send(reader, kind::ACK, &v1::Ack { position: came.len() as u64 });
    assert_eq!(settled(&mut gateway, publisher), Some(1));
}

#[test]
fn an_event_that_a_link_brings_again_settles_behind_the_one_that_came_first() {
    let mut gateway = Gateway::new();
    let (reader, _) = greet(&mut gateway, 2, None);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "y"));
    let (publisher, _) = greet(&mut gateway, PUBLISHER, None);
    gateway.alias(publisher, StreamKind::Event, 1, "y");
    gateway.publish(publisher, StreamKind::Event, 1, 1, b"one");
    gateway.remove(publisher);
    let other = link(&mut gateway, 9);
    let acked = |gateway: &mut Gateway| -> Vec<u64> {
        let acks: Vec<v1::Ack> = gateway.only(other, StreamKind::Control, kind::ACK);
        acks.iter().map(|ack| ack.position).collect()
    };
    acked(&mut gateway);
    forward(&mut gateway, other, 2, 1, true);
    assert_eq!(acked(&mut gateway), [0u64; 0], "nobody has acknowledged it");
    // One that is not said to be sent again is a mere duplicate.
    let came = gateway.frames(reader, StreamKind::Event).len() as u64;
    forward(&mut gateway, other, 2, 1, false);
    assert!(gateway.frames(reader, StreamKind::Event).is_empty());
    gateway.send(reader, kind::ACK, &v1::Ack { position: came });
    assert_eq!(acked(&mut gateway), [5]);
}
