//! One subscription that is not read, and everything else of its client: over real connections, whose QUIC windows all
//! streams share.

use crate::support::gateway;
use crate::{client, soon};
use macula_sdk::{Class, Client, Notification, Overflow, Reply, Subscription};
use std::time::{Duration, Instant};

/// What waits for nobody comes long before this.
const PROMPT: Duration = Duration::from_secs(2);

/// Publishes until so many bytes have gone out, or for as long as it is let.
fn flood(publisher: &Client, topic: &str, class: Class, bytes: usize) -> tokio::task::JoinHandle<u64> {
    let flood = publisher.publisher(topic).class(class).build().expect("a topic");
    tokio::spawn(async move {
        let payload = [7; 1000];
        for number in 0..bytes / payload.len() {
            flood.send(&payload, "").await.expect("sent");
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        (bytes / payload.len()) as u64
    })
}

/// Publishes to another topic now and then; each message comes promptly. Gives the longest that one took.
async fn pings(publisher: &Client, subscription: &mut Subscription, topic: &str, class: Class) -> Duration {
    let mut longest = Duration::ZERO;
    for number in 0..50u32 {
        let began = Instant::now();
        publisher.publish(topic, number.to_string()).class(class).send().await.expect("sent");
        let message = soon(subscription.next_message()).await.expect("open");
        assert_eq!(message.payload(), number.to_string().as_bytes(), "none is lost");
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest
}

/// Reads to the last message of a flood: how many came, how many were told to be lost. Losses of the other class are
/// told to every subscription, and are not of this flood.
async fn drain(subscription: &mut Subscription, class: Class, sent: u64) -> (u64, u64) {
    let (mut came, mut lost) = (0, 0);
    while came + lost < sent {
        match soon(subscription.next()).await.expect("open") {
            Notification::Message(_) => came += 1,
            Notification::Dropped(count) if class == Class::Telemetry => lost += count,
            Notification::Gap(Some(count)) if class == Class::Event => lost += count,
            Notification::Dropped(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (came, lost)
}

#[tokio::test]
async fn a_subscription_that_is_not_read_delays_neither_others_nor_calls() {
    let gateway = gateway("one").await;
    let (reader, noisy, calm) = (client(&gateway).await, client(&gateway).await, client(&gateway).await);
    let block = Duration::from_secs(1);
    let mut telemetry = reader.subscribe("noise.telemetry").await.expect("subscribed");
    let mut events = reader.subscribe("noise.events").block_for(block).await.expect("subscribed");
    // Telemetry that the gateway drops from a full queue is another matter: none of this is.
    let other = reader.subscribe("calm.*").overflow_telemetry(Overflow::Block);
    let mut other = other.await.expect("subscribed");
    let _echo = calm.register("calm.echo", async |request: macula_sdk::Request| {
        Ok(Reply::new(request.payload().clone()))
    });
    let _echo = _echo.await.expect("registered");

    // More than the client lets wait for readers that do not come, of both classes.
    let floods = [
        flood(&noisy, "noise.telemetry", Class::Telemetry, 20_000_000),
        flood(&noisy, "noise.events", Class::Event, 20_000_000),
    ];
    let call = async {
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            let began = Instant::now();
            soon(async { reader.call("calm.echo", "x").await }).await.expect("answered");
            longest = longest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        longest
    };
    let others = async {
        let first = pings(&calm, &mut other, "calm.telemetry", Class::Telemetry).await;
        first.max(pings(&calm, &mut other, "calm.event", Class::Event).await)
    };
    let (calls, others) = tokio::join!(call, others);
    assert!(calls < PROMPT, "a call took {calls:?}");
    // Until the time of `block` is over, the events beside may have to wait.
    assert!(others < block + PROMPT, "a message took {others:?}");
    println!("calls {calls:?}, others {others:?}");

    // They end, though nobody has read a message of theirs: and each message is told.
    let readers = [(&mut telemetry, Class::Telemetry), (&mut events, Class::Event)];
    for (flood, (subscription, class)) in floods.into_iter().zip(readers) {
        let sent = soon(flood).await.expect("it ends");
        let (came, lost) = drain(subscription, class, sent).await;
        assert!(came > 0 && lost > 0 && came + lost == sent, "{came} came, {lost} lost, {sent} sent");
    }
    assert!(reader.statistics().unread > 0);
    // It goes on as if nothing had been.
    calm.publish("noise.events", "again").await.expect("accepted");
    assert_eq!(soon(events.next_message()).await.expect("open").payload(), b"again");
}

#[tokio::test]
async fn events_that_nobody_reads_hold_up_no_acknowledgement_of_others() {
    let gateway = gateway("one").await;
    let (reader, publisher) = (client(&gateway).await, client(&gateway).await);
    let unread = reader.subscribe("quiet.*").block_for(Duration::from_millis(500));
    let mut unread = unread.await.expect("subscribed");
    let mut read = reader.subscribe("busy.*").await.expect("subscribed");
    publisher.publish("quiet.a", "only one").await.expect("accepted");
    // More than a gateway sends without acknowledgement.
    let flood = flood(&publisher, "busy.a", Class::Event, 40_000_000);
    let sent = 40_000;
    for _ in 0..sent {
        soon(read.next_message()).await.expect("open");
    }
    assert_eq!(soon(flood).await.expect("it ends"), sent);
    // The last are acknowledged when the reader comes back for more.
    tokio::select! {
        settled = soon(publisher.settle()) => settled.expect("all is settled"),
        more = read.next_message() => panic!("nothing comes twice: {more:?}"),
    }
    let told = soon(unread.next()).await;
    assert!(matches!(told, Some(Notification::Gap(Some(1)))), "{told:?}");
}
