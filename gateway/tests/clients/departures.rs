//! Gateways that leave, die, or do not want a client.

use crate::support::doomed::Doomed;
use crate::support::{gateway, gateway_with_peers, settings, url};
use crate::{builder, client, soon};
use macula_gateway::{Gateway, Settings};
use macula_sdk::{Client, Code, ConnectionEvent, Notification, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_publisher_whose_gateway_leaves_goes_on_at_the_next_in_order_and_without_loss() {
    let stays = gateway("stays").await;
    let leaves = gateway_with_peers("leaves", &[&stays]).await;
    let moving = builder(url(&leaves)).url(url(&stays));
    let publisher = moving.connect().await.expect("the gateway accepts clients");
    let subscriber = client(&stays).await;
    let mut events = subscriber.subscribe("load.*").scope_mesh().await.expect("subscribed");
    assert!(events.missing().is_empty());

    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let load = publisher.publisher("load.a").build().expect("a topic");
    let publishing = tokio::spawn(async move {
        let mut sent = 0u64;
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..20 {
                sent += 1;
                load.send(&sent.to_be_bytes(), "").await.expect("sent");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sent
    });
    let reading = tokio::spawn(async move {
        let mut next = 1u64;
        loop {
            match tokio::time::timeout(Duration::from_secs(15), events.next()).await {
                Ok(Some(Notification::Message(message))) if message.payload() == b"end" => return next - 1,
                Ok(Some(Notification::Message(message))) => {
                    assert_eq!(message.payload(), next.to_be_bytes(), "in order, none lost, none twice");
                    next += 1;
                }
                // Of the link to the one that left nobody knows what was under way. Nothing was, as the numbers show.
                Ok(Some(Notification::Gap(None))) => {}
                other => panic!("after {}: {other:?}", next - 1),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut connection = publisher.events();
    let began = Instant::now();
    let left = tokio::spawn(leaves.shutdown());
    loop {
        match soon(connection.next()).await.expect("open") {
            ConnectionEvent::Connected { gateway, .. } if gateway == "stays" => break,
            _ => {}
        }
    }
    println!("moved in {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
    done.store(true, Ordering::Relaxed);
    let sent = soon(publishing).await.expect("it ends");
    publisher.publish("load.a", "end").await.expect("accepted");
    assert_eq!(soon(reading).await.expect("it ends"), sent);
    soon(left).await.expect("it stops");
}

#[tokio::test]
async fn who_waits_for_an_answer_of_a_gateway_that_is_killed_is_told_within_seconds() {
    let mut doomed = Doomed::start("test.realm");
    let client = builder(doomed.url()).wait_for_gateway().connect().await.expect("it starts");
    let provider = builder(doomed.url()).wait_for_gateway().connect().await.expect("it starts");
    let begun = Arc::new(tokio::sync::Notify::new());
    let heard = Arc::clone(&begun);
    let never = provider.register("test.never", move |_| {
        heard.notify_one();
        std::future::pending::<Result<Reply, _>>()
    });
    let _never = never.await.expect("registered");
    let caller = client.clone();
    let call =
        tokio::spawn(async move { caller.call("test.never", "").timeout(Duration::from_secs(60)).await });
    let streams = client.call("test.never", "").timeout(Duration::from_secs(60)).stream().await;
    let mut stream = streams.expect("sent");
    soon(begun.notified()).await;
    let killed = Instant::now();
    doomed.die_and_rise();
    let error = soon(call).await.expect("it ends").expect_err("nobody answers");
    assert_eq!(error.code, Code::Unavailable, "{error}");
    let error = soon(stream.next()).await.expect("an item").expect_err("nobody answers");
    assert_eq!(error.code, Code::Unavailable, "{error}");
    println!("told after {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    // The registration is made again with the next run.
    let found = async {
        loop {
            let call = client.call("test.never", "").timeout(Duration::from_millis(300)).await;
            if call.expect_err("nobody answers").code == Code::DeadlineExceeded {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(found).await;
}

#[tokio::test]
async fn who_is_refused_for_good_does_not_wait_for_ever() {
    let mine = gateway("mine").await;
    let waiting = Client::builder().url(url(&mine)).realm("another.realm").wait_for_gateway().connect();
    let error = soon(waiting).await.expect_err("refused");
    assert_eq!(error.refusal().map(|(code, _)| code), Some(Code::InvalidArgument), "{error}");

    // One that was let in comes back to a gateway of another realm.
    let client = client(&mine).await;
    let mut events = client.events();
    let listen = mine.local_addr();
    mine.shutdown().await;
    let others = Settings { listen, realm: "another.realm".to_owned(), ..settings("others") };
    let _others = Gateway::start(others).await.expect("the port is free again");
    let reason = loop {
        if let ConnectionEvent::Closed { reason } = soon(events.next()).await.expect("an event") {
            break reason.expect("it says why");
        }
    };
    assert!(reason.contains("another.realm") && reason.contains("test.realm"), "{reason}");
}
