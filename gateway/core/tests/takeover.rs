//! What became of sessions that were taken over by name, once.

mod common;

use common::{Gateway, call, hello, register, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Code};

const WINDOW: u64 = 1 << 20;

fn named(gateway: &mut Gateway, hello: v1::Hello) -> ConnKey {
    let conn = gateway.node.open_session();
    let hello = v1::Hello { session_name: "n".to_owned(), acknowledges: true, resume_ms: 30_000, ..hello };
    gateway.send(conn, kind::HELLO, &hello);
    conn
}

#[test]
fn a_refused_takeover_leaves_the_session_to_its_client() {
    let mut gateway = Gateway::new();
    let owner = named(&mut gateway, hello(1, WINDOW));
    gateway.send(owner, kind::SUBSCRIBE, &subscribe(1, "a"));
    let newer = gateway.node.open_session();
    gateway.send(newer, kind::HELLO, &v1::Hello { epoch: 5, ..hello(2, WINDOW) });

    let refused = named(&mut gateway, v1::Hello { epoch: 4, ..hello(2, WINDOW) });
    assert_eq!(gateway.closed(refused).unwrap().0, Code::Aborted, "a newer run is connected");
    gateway.remove(refused);

    assert_eq!(gateway.closed(owner), None);
    gateway.alias(newer, StreamKind::Event, 1, "a");
    gateway.publish(newer, StreamKind::Event, 1, 1, b"x");
    assert_eq!(gateway.sequences(owner, StreamKind::Event), [1]);
    gateway.send(owner, kind::CLOSE, &v1::Close::default());
    gateway.remove(owner);
    assert_eq!(gateway.node.gauges().subscriptions, 0);
}

#[test]
fn a_session_that_is_taken_over_ends_its_calls() {
    let mut gateway = Gateway::new();
    let [owner, callee] = [1, 2].map(|publisher| match publisher {
        1 => named(&mut gateway, hello(1, WINDOW)),
        other => gateway.client(other, WINDOW),
    });
    gateway.send(callee, kind::REGISTER, &register(1, "p"));
    gateway.send_on(owner, StreamKind::Rpc, kind::CALL, &call(1, "p", 60_000));
    let heir = named(&mut gateway, hello(3, WINDOW));
    assert_eq!(gateway.closed(owner).unwrap().0, Code::Aborted);
    assert_eq!(gateway.closed(heir), None);
    let cancelled: Vec<v1::CallCancel> = gateway.only(callee, StreamKind::Rpc, kind::CALL_CANCEL);
    assert_eq!(cancelled.len(), 1);
    assert_eq!(gateway.node.gauges().calls, 0);
}
