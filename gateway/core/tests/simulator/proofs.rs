//! Checks that cannot fail prove nothing: a history that is true passes each of them, and one that somebody has tampered with
//! does not.

use crate::check;
use crate::client::{Keep, Op, Outcome, Publishing, Subscribing};
use crate::network::Network;
use crate::paths::Paths;
use crate::rng::Rng;
use crate::scenario::Kind;
use crate::watch::Watch;
use macula_proto::Topic;
use macula_proto::frame;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, CallPolicy, Class, Code, Overflow};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Clients: one that publishes and calls at gateway 0; one that wants all and one that offers at gateway 1; two of a group.
const PUBLISHER: usize = 0;
const READER: usize = 1;
const PROVIDER: usize = 2;
const MEMBER: usize = 3;

/// Two gateways and five clients that have done all that there is to do.
fn history() -> Network {
    let mut network = Network::new(Rng::new(7), 2, Paths::continental());
    network.rest();
    network.watch.ordered = true;
    for gateway in [0, 1, 1, 0, 1] {
        network.add_client(gateway, 50_000, false);
    }
    let subscribing = |group| {
        let policy = Overflow::Block;
        Op::Subscribe(Subscribing {
            pattern: "a.#".parse().expect("a pattern"),
            group,
            echo: false,
            retained: false,
            events: policy,
            telemetry: policy,
        })
    };
    let clients = &mut network.model.clients;
    clients[READER].plan.push_back(subscribing(""));
    for member in [MEMBER, MEMBER + 1] {
        clients[member].mute = true;
        clients[member].plan.push_back(subscribing("workers"));
    }
    let procedure = "p.ok.a".parse().expect("a pattern");
    clients[PROVIDER].plan.push_back(Op::Register { procedure, policy: CallPolicy::Single });
    network.rest();
    for (number, topic) in ["a", "a.b", "a.c", "a.b"].into_iter().enumerate() {
        for class in [Class::Event, Class::Telemetry] {
            let keep = if number == 0 { Keep::Retain } else { Keep::Nothing };
            let topic = Topic::from_static(topic);
            let publishing =
                Publishing { class, topic, key: "", size: 10, keep, content_type: "", time_to_live_ms: 0 };
            network.model.clients[PUBLISHER].plan.push_back(Op::Publish(publishing));
        }
    }
    let procedure = Topic::from_static("p.ok.a");
    let call = Op::Call { procedure, timeout_ms: 10_000, credit: 0, all: false };
    network.model.clients[PUBLISHER].plan.push_back(call);
    network.run();
    network.rest();
    network
}

/// Somebody tampers with the history, and the check has to refuse it in these words.
fn refuses(words: &str, tamper: impl FnOnce(&mut Network), check: impl Fn(&mut Network)) {
    check(&mut history());
    let mut network = history();
    tamper(&mut network);
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&mut network))) else {
        panic!("a history is taken for true in which {words}");
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(text.contains(words), "it was to be refused since {words}, and was since: {text}");
}

/// All that clients have received, looked at anew.
fn look_again(network: &mut Network) {
    let mut watch = Watch::default();
    watch.ordered = true;
    for client in 0..network.model.clients.len() {
        watch.client(&network.model, client, network.now_ms);
    }
}

/// The link from gateway 0 to gateway 1 carries the first event, as the wiretap hears it.
fn overhear(network: &mut Network) {
    let publisher = network.model.clients[PUBLISHER].publisher();
    let mut bytes = Vec::new();
    let told = v1::PublisherAlias { alias: 1, publisher: publisher.into(), epoch: 1 };
    frame::put_message(&mut bytes, kind::PUBLISHER_ALIAS, &told);
    let deliver = v1::Deliver { publisher: 1, sequence: 1, ..v1::Deliver::default() };
    frame::put_message(&mut bytes, kind::DELIVER, &deliver);
    let taps = network.taps.as_mut().expect("links are listened to");
    taps.listen((99, 0), (0, 1), StreamKind::Event, &bytes, &network.model);
}

#[test]
fn what_clients_receive_is_watched() {
    let received = |network: &mut Network| network.model.clients[READER].received.clone();
    refuses(
        "it comes twice",
        |network| {
            let again = received(network).pop().expect("it has received");
            network.model.clients[READER].received.push(again);
        },
        look_again,
    );
    refuses(
        "it comes after",
        |network| network.model.clients[READER].received.reverse(),
        |network| {
            // Values with a stamp have no order.
            network.model.clients[READER].received.retain(|received| received.stamp == 0);
            look_again(network);
        },
    );
    refuses(
        "nobody asked for it",
        |network| network.model.clients[READER].received[0].subscriptions = vec![77],
        look_again,
    );
    refuses(
        "ms old",
        |network| {
            network.now_ms += 60_000;
            network.model.published[3].time_to_live_ms = 10;
        },
        look_again,
    );
}

#[test]
fn what_links_carry_is_watched() {
    refuses("a message passes one link", |network| network.model.published[0].gateway = 1, overhear);
    refuses("passes a connection once", overhear, overhear);
}

#[test]
fn bounds_are_watched() {
    let mut gauges = history().gateways[0].node.gauges();
    Watch::check_bounds(&gauges, 3);
    gauges.queued_bytes = 1 << 30;
    let outcome = catch_unwind(|| Watch::check_bounds(&gauges, 3));
    assert!(outcome.is_err(), "a gigabyte in three queues is taken for bounded");
}

#[test]
fn what_is_missing_is_noticed() {
    let lose = |network: &mut Network| {
        network.model.clients[READER].received.retain(|received| received.sequence != 2);
    };
    refuses("misses", lose, |network| check::no_event_is_missing(network, Kind::Harsh));
    let lose_after_a_gap = |network: &mut Network| {
        network.model.clients[READER].gaps = 1;
        lose(network);
    };
    refuses("misses", lose_after_a_gap, |network| check::no_event_is_missing(network, Kind::Harsh));
    refuses("client 1 at gateway 1", lose, |network| check::deliveries(network, 0));
    refuses(
        "was told of a gap",
        |network| network.model.clients[READER].gaps = 1,
        |network| {
            check::no_event_is_missing(network, Kind::Gentle);
        },
    );
    // Groups have a check of their own.
    let losses = |network: &mut Network| {
        network.model.clients.truncate(MEMBER);
        check::losses(network);
    };
    refuses("told as lost", |network| network.model.clients[READER].losses[1] = 1, losses);
    let lose_on_link = |network: &mut Network| {
        let taps = network.taps.as_mut().expect("links are listened to");
        taps.losses.insert((1, 0, 0), 1);
    };
    refuses("link 1 to 0", lose_on_link, losses);
}

#[test]
fn what_does_not_settle_is_noticed() {
    let settle = |network: &mut Network| check::deliveries(network, 0);
    refuses("settle", |network| network.model.clients[PUBLISHER].settled -= 1, settle);
    refuses("Accepted", |network| network.model.clients[PUBLISHER].accepted -= 1, settle);
}

#[test]
fn what_groups_are_given_is_counted() {
    let groups = |network: &mut Network| check::groups(network, Kind::Gentle);
    refuses(
        "arrives 0 times",
        |network| {
            let members = &mut network.model.clients[MEMBER..];
            members.iter_mut().for_each(|member| member.received.retain(|received| received.sequence != 2));
        },
        groups,
    );
    refuses(
        "arrives 2 times",
        |network| {
            let received = network.model.clients[MEMBER..].iter().flat_map(|member| &member.received);
            let mut events = received.filter(|received| received.class == Class::Event);
            let again = events.next().expect("somebody has received").clone();
            network.model.clients[MEMBER].received.push(again);
        },
        groups,
    );
}

#[test]
fn tables_are_compared() {
    refuses(
        "is known where",
        |network| {
            // Nobody hears what this one wants.
            network.paths.cut(0, 1);
            network.add_client(0, 50_000, false);
            let subscribing = Subscribing {
                pattern: "b".parse().expect("a pattern"),
                group: "",
                echo: false,
                retained: false,
                events: Overflow::Default,
                telemetry: Overflow::Default,
            };
            network.model.clients[MEMBER + 2].plan.push_back(Op::Subscribe(subscribing));
            network.pass(500);
            // And has acknowledged all that it was sent.
            network.model.clients[MEMBER + 2].plan.clear();
        },
        |network| check::nothing_waits(network),
    );
}

#[test]
fn stores_are_compared() {
    refuses(
        "gateway 1 has the values of gateway 0",
        |network| {
            network.stormy = true;
            network.paths.cut(0, 1);
            let publishing = Publishing {
                class: Class::Telemetry,
                topic: Topic::from_static("a.new"),
                key: "",
                size: 10,
                keep: Keep::Retain,
                content_type: "",
                time_to_live_ms: 0,
            };
            network.model.clients[PUBLISHER].plan.push_back(Op::Publish(publishing));
            network.pass(20_000);
        },
        check::retained,
    );
    refuses(
        "is kept",
        |network| {
            let removed =
                network.model.published.iter_mut().find(|published| published.keep == Keep::Nothing);
            removed.expect("one that is not kept").keep = Keep::Retain;
        },
        check::retained,
    );
}

#[test]
fn calls_and_offers_are_looked_at() {
    let call = |network: &mut Network, outcome| {
        let calls = &mut network.model.clients[PUBLISHER].calls;
        calls.values_mut().next().expect("it has called").outcome = Some(outcome);
    };
    for outcome in [Outcome::Error(Code::Unavailable), Outcome::Result(READER), Outcome::Abandoned] {
        refuses("p.ok.a ended with", |network| call(network, outcome), |network| check::calls(network));
    }
    refuses(
        "offered 2 times",
        |network| {
            let known = network.model.clients[PROVIDER].registrations.clone();
            network.model.clients[READER].registrations = known;
        },
        |network| check::single_is_single(network),
    );
}

#[test]
fn a_mesh_that_does_not_come_to_rest_is_noticed() {
    let rest = |network: &mut Network| {
        network.rest();
    };
    refuses("closes a connection", |network| network.kill(1), rest);
    let kill = |network: &mut Network| {
        network.stormy = true;
        network.kill(1);
    };
    refuses("does not come to rest", kill, rest);
}
