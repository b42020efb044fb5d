//! What the SDK makes easy, from end to end: names as text, typed messages, traces that go on by themselves.

use crate::support::gateway;
use crate::{client, soon};
use macula_sdk::{
    CallFailure, Code, Notification, PublishError, RegisterError, Reply, SubscribeError, TraceParent,
};
use std::time::Duration;

#[derive(Clone, PartialEq, prost::Message)]
struct Reading {
    #[prost(uint32, tag = "1")]
    watts: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    home: String,
}

impl prost::Name for Reading {
    const NAME: &'static str = "Reading";
    const PACKAGE: &'static str = "test.v1";
}

impl prost::Name for Question {
    const NAME: &'static str = "Question";
    const PACKAGE: &'static str = "test.v1";
}

#[tokio::test]
async fn a_text_that_is_no_name_is_the_operations_own_error() {
    let gateway = gateway("one").await;
    let client = client(&gateway).await;
    let error = client.publish("home.*", "").await.expect_err("a wildcard");
    assert!(matches!(&error, PublishError::Topic { topic, .. } if topic == "home.*"), "{error}");
    assert!(error.to_string().contains("byte 5"), "{error}");
    assert!(matches!(client.publish("", "").send().await, Err(PublishError::Topic { .. })));
    assert!(matches!(client.publisher("a b").build(), Err(PublishError::Topic { .. })));
    let subscribed = client.subscribe("home.x*").await;
    assert!(matches!(subscribed, Err(SubscribeError::Pattern { pattern, .. }) if pattern == "home.x*"));
    assert!(matches!(client.subscribe("#.a").manual_ack().await, Err(SubscribeError::Pattern { .. })));
    let registered = client.register("a..b", async |_| Ok(Reply::default())).await;
    assert!(matches!(registered, Err(RegisterError::Procedure { procedure, .. }) if procedure == "a..b"));
    let called = client.call("a.*", "").await.expect_err("a wildcard");
    assert_eq!((called.code, called.procedure.as_str()), (Code::InvalidArgument, "a.*"));
    assert_eq!(client.call("a.*", "").stream().await.expect_err("a wildcard").code, Code::InvalidArgument);
    assert_eq!(client.call_all("a.*", "").await.expect_err("a wildcard").code, Code::InvalidArgument);
    assert_eq!(client.last("a.x*").await.expect_err("a wildcard").code, Code::InvalidArgument);
    client.publish(String::from("home.measured"), "").await.expect("nothing else suffers");
}

#[tokio::test]
async fn typed_messages_say_what_they_are_and_a_wrong_one_is_an_error_in_its_place() {
    let gateway = gateway("one").await;
    let client = client(&gateway).await;
    let mut readings = client.subscribe("home.*").echo().typed::<Reading>().await.expect("subscribed");
    client.publish_typed("home.a", &Reading { watts: 1 }).key("k").await.expect("accepted");
    client.publish_typed("home.a", &Question { home: "h".into() }).await.expect("accepted");
    client.publish("home.a", vec![0xff]).await.expect("accepted");
    client.publish("home.a", vec![8, 4]).await.expect("accepted");

    let first = soon(readings.next_message()).await.expect("open").expect("a reading");
    assert_eq!((first.value.watts, first.key(), first.topic().as_str()), (1, "k", "home.a"));
    assert_eq!(first.content_type(), "application/x-protobuf; type=test.v1.Reading");
    let other = soon(readings.next()).await.expect("open");
    let Notification::Message(Err(error)) = other else { panic!("{other:?}") };
    assert!(error.content_type.ends_with("test.v1.Question") && error.topic == "home.a", "{error}");
    assert!(soon(readings.next_message()).await.expect("open").is_err(), "no protobuf at all");
    let last = soon(readings.next_message()).await.expect("open").expect("it does not say its type");
    assert_eq!(last.value.watts, 4);
}

#[tokio::test]
async fn typed_procedures_are_not_asked_what_they_cannot_read() {
    let gateway = gateway("one").await;
    let client = client(&gateway).await;
    let answer = |question: Question, request: macula_sdk::Request| async move {
        assert!(request.content_type().ends_with("Question"));
        match question.home.parse() {
            Ok(watts) => Ok(Reading { watts }),
            Err(_) => Err(CallFailure::new(Code::NotFound, "no such home")),
        }
    };
    let _registration = client.register_typed("home.reading", answer).await.expect("registered");
    let ask = |home: &str| client.call_typed::<_, Reading>("home.reading", &Question { home: home.into() });
    assert_eq!(ask("7").await.expect("answered").watts, 7);
    assert_eq!(ask("x").await.expect_err("unknown").code, Code::NotFound);
    let wrong = client.call_typed::<_, Reading>("home.reading", &Reading { watts: 1 }).await;
    assert_eq!(wrong.expect_err("another type").code, Code::InvalidArgument);
    let wrong = client.call_typed::<_, Question>("home.reading", &Question { home: "7".into() }).await;
    assert_eq!(wrong.expect_err("another type").code, Code::Internal);
}

#[tokio::test]
async fn a_publishers_settings_are_those_of_all_its_messages() {
    let gateway = gateway("one").await;
    let client = client(&gateway).await;
    let builder = client.publisher("home.a").content_type("text/plain").header("unit", "W").retain();
    let publisher = builder.time_to_live(Duration::from_secs(60)).build().expect("a topic");
    let mut readings = client.subscribe("home.a").echo().await.expect("subscribed");
    publisher.send(b"1", "k").await.expect("sent");
    publisher.publish("2").key("l").header("by", "hand").await.expect("accepted");
    for (payload, key, by) in [("1", "k", None), ("2", "l", Some("hand"))] {
        let message = soon(readings.next_message()).await.expect("open");
        assert_eq!((message.payload(), message.key()), (payload.as_bytes(), key));
        assert_eq!((message.header("unit"), message.header("by")), (Some("W"), by));
        assert_eq!((message.content_type(), message.time_to_live().is_some()), ("text/plain", true));
    }
    let mut values = client.last("home.*").await.expect("asked");
    for _ in 0..2 {
        values.next().await.expect("both were retained").expect("a value");
    }
}

#[tokio::test]
async fn a_trace_goes_on_through_handlers_by_itself() {
    let gateway = gateway("one").await;
    let client = client(&gateway).await;
    let mut log = client.subscribe("log.*").echo().await.expect("subscribed");
    let inner = client.clone();
    let relay = client.register("trace.outer", move |_| {
        let client = inner.clone();
        async move {
            client.publish("log.outer", "").await.map_err(|_| CallFailure::new(Code::Internal, "publish"))?;
            let reply = client.call("trace.inner", "").await;
            reply.map_err(|error| CallFailure::new(error.code, error.message))
        }
    });
    let _relay = relay.await.expect("registered");
    let _end = client
        .register("trace.inner", async |request: macula_sdk::Request| {
            let trace = request.traceparent().map(|trace| trace.to_string());
            Ok(Reply::new(trace.unwrap_or_default()))
        })
        .await
        .expect("registered");

    let root = TraceParent::root(true);
    let reply = client.call("trace.outer", "").traceparent(root).await.expect("answered");
    let inner: TraceParent = std::str::from_utf8(reply.payload()).expect("text").parse().expect("a trace");
    let logged = soon(log.next_message()).await.expect("open").traceparent().expect("a trace");
    assert_eq!((inner.trace_id, logged.trace_id), (root.trace_id, root.trace_id));
    assert_eq!(inner.parent_id, logged.parent_id, "both are by one handler");
    assert_ne!(inner.parent_id, root.parent_id, "which is a step of its own");

    let reply = client.call("trace.outer", "").await.expect("answered");
    assert!(reply.payload().is_empty(), "without a trace there is none");
    assert!(soon(log.next_message()).await.expect("open").headers().is_empty());
    root.scope(async { client.publish("log.scope", "").await }).await.expect("accepted");
    assert_eq!(soon(log.next_message()).await.expect("open").traceparent(), Some(root));
}
