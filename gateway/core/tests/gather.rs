//! Calls that ask every provider, here and behind the peers.

mod common;

use common::{Gateway, call, register};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Call, CallEnd, CallError, CallPolicy, CallResult, Code};

/// What a caller hears, in order.
#[derive(Debug, PartialEq)]
enum Heard {
    Result { provider: u8, payload: Vec<u8>, more: bool },
    Error { provider: Option<u8>, code: Code },
    End { answers: u32 },
}

fn heard(gateway: &mut Gateway, caller: ConnKey) -> Vec<Heard> {
    let frames = gateway.frames(caller, StreamKind::Rpc).into_iter();
    let read = |(kind, body): (u8, Vec<u8>)| match kind {
        kind::CALL_RESULT => {
            let result: CallResult = prost::Message::decode(&body[..]).unwrap();
            assert_eq!((result.call, result.provider.len()), (7, 16));
            Heard::Result {
                provider: result.provider[0],
                payload: result.payload.to_vec(),
                more: result.more,
            }
        }
        kind::CALL_ERROR => {
            let error: CallError = prost::Message::decode(&body[..]).unwrap();
            Heard::Error { provider: error.provider.first().copied(), code: error.code() }
        }
        kind::CALL_END => {
            Heard::End { answers: <CallEnd as prost::Message>::decode(&body[..]).unwrap().answers }
        }
        other => panic!("a frame of kind {other:#04x}"),
    };
    frames.map(read).collect()
}

fn all(timeout_ms: u32) -> Call {
    Call { all: true, ..call(7, "p", timeout_ms) }
}

fn provider(gateway: &mut Gateway, publisher: u8) -> ConnKey {
    let conn = gateway.client(publisher, 1 << 20);
    let request = v1::Register { policy: CallPolicy::Random.into(), ..register(1, "p") };
    gateway.send(conn, kind::REGISTER, &request);
    conn
}

fn peer(gateway: &mut Gateway, id: u8) -> ConnKey {
    let conn = gateway.peer(id, &format!("peer-{id}"));
    let policy = CallPolicy::Random.into();
    let offer = v1::Offer { procedure: "p".to_owned(), policy, ..v1::Offer::default() };
    let delta = v1::InterestDelta { version: 1, offered: vec![offer], ..v1::InterestDelta::default() };
    gateway.send(conn, kind::INTEREST_DELTA, &delta);
    conn
}

/// The one call that has come in on this connection.
fn asked(gateway: &mut Gateway, conn: ConnKey) -> Call {
    let calls: Vec<Call> = gateway.only(conn, StreamKind::Rpc, kind::CALL);
    let [call] = &calls[..] else { panic!("{calls:?}") };
    call.clone()
}

fn answer(gateway: &mut Gateway, conn: ConnKey, call: u64, provider: &[u8], payload: &[u8], more: bool) {
    let (provider, payload) = (provider.to_vec().into(), payload.to_vec().into());
    let result = CallResult { call, payload, provider, more, ..CallResult::default() };
    gateway.send_on(conn, StreamKind::Rpc, kind::CALL_RESULT, &result);
}

#[test]
fn every_provider_here_and_elsewhere_answers_once_and_the_end_is_told() {
    let mut gateway = Gateway::new();
    let caller = gateway.client(1, 1 << 20);
    let providers = [2, 3].map(|publisher| provider(&mut gateway, publisher));
    let peers = [8, 9].map(|id| peer(&mut gateway, id));
    gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &Call { credit: 9, ..all(1_000) });

    let local = providers.map(|conn| asked(&mut gateway, conn));
    for call in &local {
        assert_eq!((call.all, call.credit, call.registration), (false, 0, 1), "as any other call");
    }
    let links = peers.map(|conn| asked(&mut gateway, conn));
    assert!(links.iter().all(|call| call.all && call.credit == 0));

    answer(&mut gateway, providers[1], local[1].call, b"a liar", b"three", false);
    answer(&mut gateway, peers[0], links[0].call, &[20; 16], b"twenty", true);
    answer(&mut gateway, peers[0], links[0].call, &[21; 16], b"twenty-one", true);
    let refused = CallError {
        call: links[0].call,
        code: Code::Aborted.into(),
        provider: vec![22; 16].into(),
        ..CallError::default()
    };
    gateway.send_on(peers[0], StreamKind::Rpc, kind::CALL_ERROR, &refused);
    let result = |provider, payload: &str| Heard::Result { provider, payload: payload.into(), more: true };
    let error = |provider, code| Heard::Error { provider: Some(provider), code };
    let expected =
        [result(3, "three"), result(20, "twenty"), result(21, "twenty-one"), error(22, Code::Aborted)];
    assert_eq!(heard(&mut gateway, caller), expected);
    gateway.send_on(peers[0], StreamKind::Rpc, kind::CALL_END, &CallEnd { call: links[0].call, answers: 3 });
    gateway.send_on(peers[1], StreamKind::Rpc, kind::CALL_END, &CallEnd { call: links[1].call, answers: 0 });
    assert_eq!(heard(&mut gateway, caller), [], "one of this gateway's own is missing");
    answer(&mut gateway, providers[0], local[0].call, b"", b"two", false);
    assert_eq!(heard(&mut gateway, caller), [result(2, "two"), Heard::End { answers: 5 }]);
    assert_eq!(gateway.node.gauges().calls, 0);
}

#[test]
fn a_peers_call_for_all_is_asked_of_local_providers_only() {
    let mut gateway = Gateway::new();
    let [caller, other] = [8, 9].map(|id| peer(&mut gateway, id));
    gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &all(1_000));
    let told = [Heard::Error { provider: None, code: Code::NotFound }];
    assert_eq!(heard(&mut gateway, caller), told, "its providers have left meanwhile");
    let conn = provider(&mut gateway, 2);
    gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &all(1_000));
    assert_eq!(gateway.frames(other, StreamKind::Rpc), [], "one hop");
    let call = asked(&mut gateway, conn).call;
    answer(&mut gateway, conn, call, b"", b"two", false);
    let result = Heard::Result { provider: 2, payload: b"two".to_vec(), more: true };
    assert_eq!(heard(&mut gateway, caller), [result, Heard::End { answers: 1 }]);
}

#[test]
fn who_dies_hangs_or_misbehaves_is_told_and_the_others_are_heard() {
    let mut gateway = Gateway::new();
    let caller = gateway.client(1, 1 << 20);
    let [dies, hangs, streams] = [2, 3, 4].map(|publisher| provider(&mut gateway, publisher));
    let [cut, slow, left] = [7, 8, 9].map(|id| peer(&mut gateway, id));
    gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &all(1_000));
    let error = |provider, code| Heard::Error { provider: Some(provider), code };
    gateway.remove(dies);
    assert_eq!(heard(&mut gateway, caller), [error(2, Code::Unavailable)]);
    let call = asked(&mut gateway, streams).call;
    answer(&mut gateway, streams, call, b"", b"part", true);
    assert_eq!(heard(&mut gateway, caller), [error(4, Code::Internal)]);
    gateway.remove(cut);
    assert_eq!(heard(&mut gateway, caller), [error(7, Code::Unavailable)]);
    let gone = CallError {
        call: asked(&mut gateway, left).call,
        code: Code::NotFound.into(),
        ..CallError::default()
    };
    gateway.send_on(left, StreamKind::Rpc, kind::CALL_ERROR, &gone);
    assert_eq!(heard(&mut gateway, caller), [], "no provider is left there, so nobody fails");
    asked(&mut gateway, hangs);
    gateway.pass(1_000);
    assert_eq!(heard(&mut gateway, caller), [error(3, Code::DeadlineExceeded)]);
    assert_eq!(gateway.frames(hangs, StreamKind::Rpc)[0].0, kind::CALL_CANCEL);
    asked(&mut gateway, slow);
    gateway.pass(300);
    let told = heard(&mut gateway, caller);
    assert_eq!(told, [error(8, Code::DeadlineExceeded), Heard::End { answers: 5 }]);
    assert_eq!(gateway.node.gauges().calls, 0);
}

#[test]
fn a_call_for_all_is_cancelled_at_all() {
    let mut gateway = Gateway::new();
    let caller = gateway.client(1, 1 << 20);
    let conns = [provider(&mut gateway, 2), provider(&mut gateway, 3), peer(&mut gateway, 9)];
    for end in 0..2 {
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &all(60_000));
        let calls = conns.map(|conn| asked(&mut gateway, conn).call);
        match end {
            0 => gateway.send_on(caller, StreamKind::Rpc, kind::CALL_CANCEL, &v1::CallCancel { call: 7 }),
            _ => gateway.remove(caller),
        }
        for (conn, call) in conns.into_iter().zip(calls) {
            let cancels: Vec<v1::CallCancel> = gateway.only(conn, StreamKind::Rpc, kind::CALL_CANCEL);
            assert_eq!(cancels, [v1::CallCancel { call }]);
        }
        assert_eq!(gateway.node.gauges().calls, 0);
    }
}

#[test]
fn nobody_at_all_is_not_found() {
    let mut gateway = Gateway::new();
    let caller = gateway.client(1, 1 << 20);
    gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &all(1_000));
    assert_eq!(heard(&mut gateway, caller), [Heard::Error { provider: None, code: Code::NotFound }]);
}
