//! Calls whose result is a stream: credit from end to end, and every way in which one ends.

mod common;

use common::{Gateway, call, register};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Call, CallCancel, CallCredit, CallError, CallResult, Code};

fn part(call: u64, bytes: usize, more: bool) -> CallResult {
    CallResult { call, payload: vec![0; bytes].into(), more, ..CallResult::default() }
}

fn stream(number: u64, procedure: &str, credit: u64) -> Call {
    Call { credit, ..call(number, procedure, 60_000) }
}

struct Scene {
    gateway: Gateway,
    caller: ConnKey,
    callee: ConnKey,
}

impl Scene {
    /// A caller, and a provider of `p` at this gateway.
    fn local() -> Self {
        let mut gateway = Gateway::new();
        let [caller, callee] = [1, 2].map(|publisher| gateway.client(publisher, 1 << 30));
        gateway.send(callee, kind::REGISTER, &register(1, "p"));
        Self { gateway, caller, callee }
    }

    /// A caller here, and a peer that offers `p`.
    fn to_peer() -> Self {
        let mut gateway = Gateway::new();
        let caller = gateway.client(1, 1 << 30);
        let callee = gateway.peer(9, "there");
        let offer = v1::Offer { procedure: "p".to_owned(), ..v1::Offer::default() };
        let delta = v1::InterestDelta { version: 1, offered: vec![offer], ..v1::InterestDelta::default() };
        gateway.send(callee, kind::INTEREST_DELTA, &delta);
        Self { gateway, caller, callee }
    }

    /// A provider of `p` here, and a peer whose client calls.
    fn from_peer() -> Self {
        let mut gateway = Gateway::new();
        let callee = gateway.client(1, 1 << 30);
        gateway.send(callee, kind::REGISTER, &register(1, "p"));
        let caller = gateway.peer(9, "there");
        Self { gateway, caller, callee }
    }

    /// Every way that a call may go.
    fn all() -> [Self; 3] {
        [Self::local(), Self::to_peer(), Self::from_peer()]
    }

    /// Makes a call; as the callee sees it.
    fn call(&mut self, call: &Call) -> Call {
        self.gateway.send_on(self.caller, StreamKind::Rpc, kind::CALL, call);
        let mut calls: Vec<Call> = self.gateway.only(self.callee, StreamKind::Rpc, kind::CALL);
        calls.pop().expect("it arrives")
    }

    fn answer(&mut self, result: &CallResult) {
        self.gateway.send_on(self.callee, StreamKind::Rpc, kind::CALL_RESULT, result);
    }

    fn grant(&mut self, call: u64, total: u64) {
        let credit = CallCredit { call, total };
        self.gateway.send_on(self.caller, StreamKind::Rpc, kind::CALL_CREDIT, &credit);
    }

    /// Results as number, bytes and `more`, since the last look; errors fail the test.
    fn results(&mut self) -> Vec<(u64, usize, bool)> {
        let frames = self.gateway.frames(self.caller, StreamKind::Rpc);
        let result = |(kind, body): (u8, Vec<u8>)| {
            assert_eq!(kind, kind::CALL_RESULT);
            let result: CallResult = prost::Message::decode(&body[..]).unwrap();
            (result.call, result.payload.len(), result.more)
        };
        frames.into_iter().map(result).collect()
    }

    fn errors(&mut self) -> Vec<(u64, Code)> {
        let errors: Vec<CallError> = self.gateway.only(self.caller, StreamKind::Rpc, kind::CALL_ERROR);
        errors.iter().map(|error| (error.call, error.code())).collect()
    }

    fn cancels(&mut self) -> Vec<u64> {
        let cancels: Vec<CallCancel> = self.gateway.only(self.callee, StreamKind::Rpc, kind::CALL_CANCEL);
        cancels.iter().map(|cancel| cancel.call).collect()
    }
}

#[test]
fn credit_and_results_pass_the_gateway_whichever_way_the_call_goes() {
    for mut scene in Scene::all() {
        let seen = scene.call(&stream(5, "p", 100));
        assert_eq!((seen.credit, seen.timeout_ms), (100, 60_000));
        scene.answer(&part(seen.call, 60, true));
        scene.answer(&part(seen.call, 40, true));
        assert_eq!(scene.results(), [(5, 60, true), (5, 40, true)]);
        scene.grant(5, 180);
        let told: Vec<CallCredit> = scene.gateway.only(scene.callee, StreamKind::Rpc, kind::CALL_CREDIT);
        assert_eq!(told, [CallCredit { call: seen.call, total: 180 }]);
        scene.answer(&part(seen.call, 80, false));
        assert_eq!(scene.results(), [(5, 80, false)]);
        assert_eq!(scene.gateway.node.gauges().calls, 0);
        scene.answer(&part(seen.call, 1, false));
        assert_eq!(scene.results(), [], "it has ended");
    }
}

#[test]
fn who_sends_more_than_was_granted_ends_the_call() {
    for mut scene in Scene::all() {
        let seen = scene.call(&stream(5, "p", 100));
        scene.answer(&part(seen.call, 100, true));
        scene.results();
        scene.answer(&part(seen.call, 1, false));
        assert_eq!(scene.errors(), [(5, Code::Internal)]);
        assert_eq!(scene.cancels(), [seen.call]);
        assert_eq!(scene.gateway.node.gauges().calls, 0);
    }
}

#[test]
fn a_stream_in_answer_to_a_call_for_one_result_is_an_error() {
    for mut scene in Scene::all() {
        let seen = scene.call(&stream(5, "p", 0));
        scene.answer(&part(seen.call, 1, true));
        assert_eq!(scene.errors(), [(5, Code::Internal)]);
        assert_eq!(scene.cancels(), [seen.call]);
        scene.grant(5, 1_000);
        assert_eq!(scene.gateway.frames(scene.callee, StreamKind::Rpc), [], "there is no such call");
    }
}

#[test]
fn credit_that_is_no_news_is_not_passed_on() {
    let mut scene = Scene::local();
    scene.call(&stream(5, "p", 100));
    scene.call(&stream(6, "p", 0));
    for (call, total) in [(5, 100), (5, 7), (6, 100), (7, 100)] {
        scene.grant(call, total);
    }
    assert_eq!(scene.gateway.frames(scene.callee, StreamKind::Rpc), []);
}

#[test]
fn a_stream_ends_when_its_caller_its_callee_or_its_time_does() {
    for mut scene in Scene::all() {
        let seen = scene.call(&stream(1, "p", 100));
        scene.answer(&part(seen.call, 10, true));
        scene.results();
        scene.gateway.send_on(scene.caller, StreamKind::Rpc, kind::CALL_CANCEL, &CallCancel { call: 1 });
        assert_eq!(scene.cancels(), [seen.call]);

        let seen = scene.call(&Call { timeout_ms: 300, ..stream(2, "p", 100) });
        scene.gateway.pass(300);
        assert_eq!(scene.errors(), [(2, Code::DeadlineExceeded)]);
        assert_eq!(scene.cancels(), [seen.call]);

        let seen = scene.call(&stream(3, "p", 100));
        let failure = CallError { call: seen.call, code: Code::Aborted.into(), ..CallError::default() };
        scene.answer(&part(seen.call, 10, true));
        scene.gateway.send_on(scene.callee, StreamKind::Rpc, kind::CALL_ERROR, &failure);
        assert_eq!(scene.errors(), [(3, Code::Aborted)], "after its first part");

        let seen = scene.call(&stream(4, "p", 100));
        scene.answer(&part(seen.call, 10, true));
        scene.results();
        scene.gateway.remove(scene.callee);
        assert_eq!(scene.errors(), [(4, Code::Unavailable)]);
        assert_eq!(scene.gateway.node.gauges().calls, 0);
    }
}

#[test]
fn a_call_over_a_link_that_is_silent_for_four_seconds_is_unavailable() {
    let mut scene = Scene::to_peer();
    scene.call(&stream(1, "p", 100));
    scene.gateway.pass(3_900);
    assert_eq!(scene.gateway.closed(scene.callee), None);
    scene.gateway.pass(200);
    assert!(scene.gateway.closed(scene.callee).is_some());
    scene.gateway.remove(scene.callee);
    assert_eq!(scene.errors(), [(1, Code::Unavailable)]);
    scene.gateway.send_on(scene.caller, StreamKind::Rpc, kind::CALL, &call(2, "p", 60_000));
    assert_eq!(scene.errors(), [(2, Code::NotFound)]);
}

#[test]
fn the_callee_learns_that_its_caller_is_gone() {
    for mut scene in Scene::all() {
        let first = scene.call(&stream(1, "p", 100)).call;
        let second = scene.call(&stream(2, "p", 0)).call;
        scene.gateway.remove(scene.caller);
        assert_eq!(scene.cancels(), [first, second]);
        assert_eq!(scene.gateway.node.gauges().calls, 0);
        assert_eq!(scene.gateway.node.gauges().queued_bytes, 0);
    }
}

#[test]
fn grants_to_a_callee_that_does_not_read_are_bounded() {
    let mut gateway = Gateway::new();
    let [caller, callee] = [1, 2].map(|publisher| gateway.client(publisher, 100));
    gateway.credit(caller, v1::Class::Rpc, 1 << 30);
    gateway.send(callee, kind::REGISTER, &register(1, "p"));
    gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &stream(1, "p", 1));
    let large = Call { payload: vec![0; 1_000_000].into(), ..call(0, "p", 1_000) };
    for number in 2..=34 {
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &Call { call: number, ..large.clone() });
    }
    let mut total = 1;
    while gateway.only::<CallError>(caller, StreamKind::Rpc, kind::CALL_ERROR).is_empty() {
        total += 1;
        assert!(total < 1 << 20, "grants pile up without end");
        let credit = CallCredit { call: 1, total };
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL_CREDIT, &credit);
    }
    assert!(gateway.node.gauges().queued_bytes < 33 << 20);
}

#[test]
fn a_client_cannot_say_who_calls() {
    let mut scene = Scene::local();
    let forged = Call { subject: "root".to_owned(), caller: vec![9; 16].into(), ..call(1, "p", 0) };
    let seen = scene.call(&forged);
    assert_eq!((&seen.subject[..], &seen.caller[..]), ("", &[1; 16][..]));
    let mut scene = Scene::from_peer();
    let seen = scene.call(&forged);
    assert_eq!((&seen.subject[..], &seen.caller[..]), ("root", &[9; 16][..]), "the peer has looked at it");
}

#[test]
fn a_client_that_connects_anew_before_its_old_connection_is_missed_ends_its_calls() {
    let mut gateway = Gateway::new();
    let named = |publisher, epoch| v1::Hello {
        session_name: "ledger".to_owned(),
        acknowledges: true,
        resume_ms: 30_000,
        epoch,
        ..common::hello(publisher, 1 << 20)
    };
    let old = gateway.node.open_session();
    gateway.send(old, kind::HELLO, &named(1, 1));
    let other = gateway.client(2, 1 << 20);
    gateway.send(old, kind::REGISTER, &register(1, "old"));
    gateway.send(other, kind::REGISTER, &register(1, "other"));
    gateway.send_on(old, StreamKind::Rpc, kind::CALL, &stream(1, "other", 100));
    gateway.send_on(other, StreamKind::Rpc, kind::CALL, &call(2, "old", 60_000));
    let asked: Vec<Call> = gateway.only(other, StreamKind::Rpc, kind::CALL);

    let new = gateway.node.open_session();
    gateway.send(new, kind::HELLO, &named(1, 2));
    let frames = gateway.frames(other, StreamKind::Rpc);
    assert_eq!(
        frames.iter().map(|frame| frame.0).collect::<Vec<u8>>(),
        [kind::CALL_CANCEL, kind::CALL_ERROR]
    );
    let cancel: CallCancel = prost::Message::decode(&frames[0].1[..]).unwrap();
    let error: CallError = prost::Message::decode(&frames[1].1[..]).unwrap();
    assert_eq!((cancel.call, error.call, error.code()), (asked[0].call, 2, Code::Unavailable));
    assert_eq!(gateway.node.gauges().calls, 0);
    gateway.send(new, kind::REGISTER, &register(1, "old"));
    let answers: Vec<v1::Acknowledged> = gateway.only(new, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers[0].code(), Code::Ok, "its ghost does not stand in the way");
}
