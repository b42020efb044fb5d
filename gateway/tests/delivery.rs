//! Events through real gateways and real clients, whatever breaks on the way: each arrives, and arrives once.

mod support;

use macula_gateway::Gateway;
use macula_sdk::{
    Client, ConnectionEvent, ConnectionEvents, Message, Notification, Pattern, Subscription, Topic,
};
use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::time::Duration;
use support::doomed::Doomed;
use support::path::Path;
use support::{gateway, url};

const REALM: &str = "test.realm";
/// Nothing here takes longer on any machine; then something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn pattern(text: &str) -> Pattern {
    text.parse().expect("a pattern")
}

fn topic(text: &str) -> Topic {
    text.parse().expect("a topic")
}

async fn connect(url: String) -> Client {
    Client::builder().url(url).realm(REALM).wait_for_gateway().connect().await.expect("the gateway answers")
}

async fn named(gateway: &Gateway, name: &str) -> Client {
    Client::builder()
        .url(url(gateway))
        .realm(REALM)
        .session_name(name)
        .connect()
        .await
        .expect("the gateway answers")
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens within a minute")
}

async fn event(events: &mut ConnectionEvents, wanted: impl Fn(&ConnectionEvent) -> bool) -> ConnectionEvent {
    soon(async {
        loop {
            let event = events.next().await.expect("the client is not closed");
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

fn number(message: &Message) -> u32 {
    std::str::from_utf8(message.payload()).expect("text").parse().expect("a number")
}

/// Reads up to this number and asserts that all came, once, in order and without a loss.
async fn expect(subscription: &mut Subscription, numbers: std::ops::RangeInclusive<u32>) {
    for expected in numbers {
        match soon(subscription.next()).await {
            Some(Notification::Message(message)) => assert_eq!(number(&message), expected),
            other => panic!("{other:?} instead of {expected}"),
        }
    }
}

async fn publish(publisher: &Client, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        publisher.publish(topic("test.events"), number.to_string()).send().await.expect("it is taken");
    }
}

#[tokio::test]
async fn a_session_goes_on_after_its_path_was_cut() {
    let gateway = gateway("a").await;
    let path = Path::to(gateway.local_addr()).await;
    let client = connect(path.url()).await;
    let other = connect(url(&gateway)).await;
    let mut events = client.events();
    let mut subscription = client.subscribe(pattern("test.*")).await.expect("subscribed");
    let mut published = other.subscribe(pattern("test.*")).await.expect("subscribed");
    publish(&other, 1..=10).await;
    expect(&mut subscription, 1..=5).await;
    path.cut();
    publish(&other, 11..=20).await;
    publish(&client, 101..=110).await;
    expect(&mut subscription, 6..=10).await;
    event(&mut events, |event| matches!(event, ConnectionEvent::Reconnecting { .. })).await;
    publish(&client, 111..=120).await;
    path.mend();
    let connected = event(&mut events, |event| matches!(event, ConnectionEvent::Connected { .. })).await;
    assert_eq!(connected, ConnectionEvent::Connected { gateway: "a".to_owned(), resumed: true });
    expect(&mut subscription, 11..=20).await;
    expect(&mut published, 101..=120).await;
    publish(&other, 21..=30).await;
    expect(&mut subscription, 21..=30).await;
    assert_eq!(client.statistics().resumed, 1);
}

#[tokio::test]
async fn settled_means_that_the_readers_have_come_back_for_more() {
    let gateway = gateway("a").await;
    let (reader, publisher) = (connect(url(&gateway)).await, connect(url(&gateway)).await);
    let mut first = reader.subscribe(pattern("test.*")).manual_ack().await.expect("subscribed");
    let receipt = soon(publisher.publish(topic("test.events"), "1").into_future()).await.expect("accepted");
    assert_eq!(receipt.matches(), Some(1));
    assert_eq!(
        soon(publisher.publish(topic("elsewhere"), "1").into_future()).await.expect("accepted").matches(),
        Some(0)
    );
    let delivery = soon(first.next_delivery()).await.expect("it came");
    let mut settled = std::pin::pin!(publisher.settle());
    let early = tokio::time::timeout(Duration::from_millis(100), &mut settled).await;
    assert!(early.is_err(), "it is not acknowledged yet");
    delivery.ack();
    soon(settled).await.expect("settled");
}

#[tokio::test]
async fn a_gateway_that_is_killed_loses_nothing_and_doubles_nothing() {
    let mut gateway = Doomed::start(REALM);
    let (reader, publisher) = (connect(gateway.url()).await, connect(gateway.url()).await);
    let mut subscription = reader.subscribe(pattern("test.*")).await.expect("subscribed");
    // Some are settled, some are accepted and still on their way, some are not even sent when it dies.
    publish(&publisher, 1..=500).await;
    expect(&mut subscription, 1..=500).await;
    publish(&publisher, 501..=3_000).await;
    soon(publisher.flush()).await.expect("accepted");
    expect(&mut subscription, 501..=700).await;
    gateway.die_and_rise();
    publish(&publisher, 3_001..=4_000).await;
    expect(&mut subscription, 701..=4_000).await;
    publish(&publisher, 4_001..=4_010).await;
    expect(&mut subscription, 4_001..=4_010).await;
    let again = tokio::time::timeout(Duration::from_millis(200), subscription.next()).await;
    assert!(again.is_err(), "nothing comes twice: {again:?}");
    soon(publisher.settle()).await.expect("settled");
    assert!(publisher.statistics().resent > 0, "it had to send some again");
    assert_eq!(publisher.statistics().unsettled, 0);
}

#[tokio::test]
async fn the_next_process_of_a_name_gets_what_was_not_acknowledged() {
    let gateway = gateway("a").await;
    let publisher = connect(url(&gateway)).await;
    let ledger = named(&gateway, "ledger").await;
    let mut entries = ledger.subscribe(pattern("test.*")).manual_ack().await.expect("subscribed");
    publish(&publisher, 1..=6).await;
    for expected in 1..=4 {
        let entry = soon(entries.next_delivery()).await.expect("it came");
        assert_eq!(number(&entry), expected);
        // Number 3 is taken and never acknowledged.
        if expected != 3 {
            entry.ack();
        }
    }
    // As a process that fails: the subscription goes first, then the client.
    drop(entries);
    ledger.close().await.expect("closed");
    publish(&publisher, 7..=8).await;

    let ledger = named(&gateway, "ledger").await;
    let mut entries = ledger.subscribe(pattern("test.*")).manual_ack().await.expect("subscribed");
    let mut seen = Vec::new();
    while seen.last() != Some(&8) {
        let mut batch = soon(entries.next_batch()).await.expect("it goes on");
        seen.extend((&mut batch).filter_map(Notification::message).map(|message| number(&message)));
        batch.ack();
    }
    assert_eq!(seen, [3, 4, 5, 6, 7, 8], "4 was acknowledged, but not all before it");
    soon(publisher.settle()).await.expect("settled");
}

#[tokio::test]
async fn a_second_process_of_a_name_throws_the_first_out() {
    let gateway = gateway("a").await;
    let first = named(&gateway, "ledger").await;
    let mut events = first.events();
    let mut subscription = first.subscribe(pattern("test.*")).await.expect("subscribed");
    let second = named(&gateway, "ledger").await;
    let closed = event(&mut events, |event| matches!(event, ConnectionEvent::Closed { .. })).await;
    let ConnectionEvent::Closed { reason: Some(reason) } = closed else { panic!("{closed:?}") };
    assert!(reason.contains("another process"), "{reason}");
    assert!(soon(subscription.next()).await.is_none());
    let mut subscription = second.subscribe(pattern("test.*")).await.expect("subscribed");
    publish(&connect(url(&gateway)).await, 1..=3).await;
    expect(&mut subscription, 1..=3).await;
}

#[tokio::test]
async fn a_group_shares_messages_by_key_and_a_member_that_leaves_hands_its_keys_on() {
    let gateway = gateway("a").await;
    let publisher = connect(url(&gateway)).await;
    let members = [connect(url(&gateway)).await, connect(url(&gateway)).await];
    let mut queues = Vec::new();
    for member in &members {
        queues.push(member.subscribe(pattern("test.*")).group("workers").await.expect("subscribed"));
    }
    const MESSAGES: u32 = 64;
    let send = async |from: u32| {
        for number in from..from + MESSAGES {
            let publish = publisher.publish(topic("test.events"), number.to_string());
            publish.key(format!("key {}", number % 16)).send().await.expect("it is taken");
        }
        soon(publisher.flush()).await.expect("accepted");
    };
    send(0).await;
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = Vec::new();
    while seen.len() < MESSAGES as usize {
        let [first, second] = &mut queues[..] else { unreachable!("there are two") };
        let (owner, message) = soon(async {
            tokio::select! {
                message = first.next_message() => (0, message),
                message = second.next_message() => (1, message),
            }
        })
        .await;
        let message = message.expect("it goes on");
        assert_eq!(*owners.entry(message.key().to_owned()).or_insert(owner), owner, "a key has one owner");
        assert_eq!(message.slot(), macula_proto::slot::of(message.key(), "test.events"));
        seen.push(number(&message));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>(), "each once");
    let both = owners.values().collect::<std::collections::BTreeSet<_>>().len() == 2;
    assert!(both, "sixteen keys meet both members: {owners:?}");

    drop(queues.pop());
    members[1].close().await.expect("closed");
    send(MESSAGES).await;
    let mut rest = Vec::new();
    while rest.len() < MESSAGES as usize {
        rest.push(number(&soon(queues[0].next_message()).await.expect("it goes on")));
    }
    rest.sort_unstable();
    assert_eq!(rest, (MESSAGES..2 * MESSAGES).collect::<Vec<_>>());
}
