//! Calls from end to end: the SDK on both sides, real gateways and links between them.

mod support;

use macula_gateway::{Gateway, PeerAddress, Settings};
use macula_sdk::{
    CallError, CallFailure, CallPolicy, Client, Code, Pattern, Registration, RegistrationState, Reply,
    Status, Topic,
};
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{gateway, gateway_with_peers, settings, url};

/// What is told at once comes long before any of the deadlines here.
const PROMPT: Duration = Duration::from_secs(2);
/// What takes its time happens within this.
const PATIENCE: Duration = Duration::from_secs(15);

async fn client(gateway: &Gateway) -> Client {
    let connecting = Client::builder().url(url(gateway)).realm("test.realm").connect();
    connecting.await.expect("the gateway accepts clients")
}

fn topic(text: &str) -> Topic {
    text.parse().expect("a legal topic")
}

fn pattern(text: &str) -> Pattern {
    text.parse().expect("a legal pattern")
}

/// Two gateways with a link, and whether both ends of it are up.
async fn pair() -> (Gateway, Gateway) {
    let a = gateway("a").await;
    let b = gateway_with_peers("b", &[&a]).await;
    for gateway in [&a, &b] {
        until(async || {
            gateway.status().await.is_some_and(|status| status.peers.iter().any(|peer| peer.synced))
        })
        .await;
    }
    (a, b)
}

/// Answers with as many kilobytes as the payload says, a part each; counts them as they are sent.
async fn kilobytes(client: &Client, sent: &Arc<AtomicUsize>) -> Registration {
    let sent = Arc::clone(sent);
    let handler = move |request: macula_sdk::Request, mut replies: macula_sdk::ReplySender| {
        let sent = Arc::clone(&sent);
        async move {
            let text = std::str::from_utf8(request.payload()).expect("digits");
            for number in 0..text.parse::<usize>().expect("a number") {
                replies.send(Reply::new(vec![number as u8; 1_000])).await?;
                sent.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    };
    client.register_stream(pattern("test.kilobytes"), handler).scope_mesh().await.expect("registered")
}

#[tokio::test]
async fn a_slow_reader_of_a_stream_holds_its_provider_back_and_misses_nothing() {
    let (a, b) = pair().await;
    let (provider, caller) = (client(&a).await, client(&b).await);
    let sent = Arc::new(AtomicUsize::new(0));
    let _registration = kilobytes(&provider, &sent).await;
    let call = caller.call(topic("test.kilobytes"), "5000").window(100_000);
    let mut replies = call.stream().await.expect("sent");
    for number in 0..5_000usize {
        let reply = replies.next().await.expect("there is more").expect("a part");
        assert_eq!((reply.payload().len(), reply.payload()[0]), (1_000, number as u8));
        // What is on its way never exceeds the window, wherever it lies.
        let ahead = sent.load(Ordering::SeqCst).saturating_sub(number + 1);
        assert!(ahead <= 100, "{ahead} parts ahead");
        if number % 1_000 == 0 {
            // The provider gets as far as it may, and stops there: it is given the time to go further.
            until(async || sent.load(Ordering::SeqCst) >= number + 75).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(sent.load(Ordering::SeqCst) <= number + 101, "it was held back");
        }
    }
    assert!(replies.next().await.is_none(), "the end is no part");
    until(async || a.status().await.expect("alive").gauges.calls == 0).await;
}

#[tokio::test]
async fn a_part_of_any_size_is_a_stream_or_one_result_as_the_caller_wants() {
    let gateway = gateway("one").await;
    let client = client(&gateway).await;
    let _streams = kilobytes(&client, &Arc::default()).await;
    let large = client.register(pattern("test.large"), async |_| Ok(Reply::new(vec![1; 900_000])));
    let _large = large.await.expect("registered");
    let code = |error: CallError| (error.code, error.message);

    let one = client.call(topic("test.kilobytes"), "1").await.expect("there is one");
    assert_eq!(one.payload().len(), 1_000);
    let (failure, text) = code(client.call(topic("test.kilobytes"), "2").await.expect_err("two"));
    assert!(failure == Code::InvalidArgument && text.contains("stream"), "{text}");
    let none = client.call(topic("test.kilobytes"), "0").await.expect("an empty reply");
    assert!(none.payload().is_empty());

    let mut replies = client.call(topic("test.large"), "").stream().await.expect("sent");
    let (failure, text) = code(replies.next().await.expect("an item").expect_err("too large"));
    assert!(failure == Code::ResourceExhausted && text.contains("window"), "{text}");
    let call = client.call(topic("test.large"), "").window(1 << 20);
    let mut replies = call.stream().await.expect("sent");
    let reply = replies.next().await.expect("an item").expect("it fits");
    assert_eq!(reply.payload().len(), 900_000);
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn calls_that_a_slow_provider_cannot_hold_are_refused_at_once_and_it_goes_on() {
    const BYTES: usize = 200_000;
    let gateway = gateway("one").await;
    let builder = Client::builder().url(url(&gateway)).realm("test.realm").call_bytes(1 << 20);
    let provider = builder.connect().await.expect("the gateway accepts clients");
    let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (counter, gate) = (Arc::clone(&begun), Arc::clone(&go_on));
    let slow = provider.register("test.slow", move |request: macula_sdk::Request| {
        let (counter, gate) = (Arc::clone(&counter), Arc::clone(&gate));
        async move {
            counter.fetch_add(request.payload().len(), Ordering::SeqCst);
            gate.acquire().await.expect("open").forget();
            Ok(Reply::default())
        }
    });
    let _slow = slow.await.expect("registered");
    let caller = client(&gateway).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        calls.spawn(caller.call("test.slow", vec![1; BYTES]).into_future());
    }
    // Fifty times 200 kB of calls are made, one megabyte is held, and the others know at once.
    let began = Instant::now();
    for _ in 0..45 {
        let refused = calls.join_next().await.expect("a call").expect("it ends").expect_err("no room");
        assert_eq!(refused.code, Code::ResourceExhausted, "{refused}");
        assert!(refused.message.contains("1048576"), "{refused}");
    }
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    assert_eq!(begun.load(Ordering::SeqCst), 5 * BYTES);
    let huge = caller.call("test.slow", vec![1; 2 << 20]).await.expect_err("never any room");
    assert_eq!(huge.code, Code::ResourceExhausted);
    // What has been answered makes room.
    go_on.add_permits(5);
    while let Some(answered) = calls.join_next().await {
        answered.expect("it ends").expect("answered");
    }
    go_on.add_permits(1);
    caller.call("test.slow", vec![1; BYTES]).await.expect("there is room again");
}

#[tokio::test]
async fn every_provider_of_the_mesh_answers_with_its_name() {
    let (a, b) = pair().await;
    let providers = [client(&a).await, client(&a).await, client(&b).await];
    let mut registrations = Vec::new();
    for (number, provider) in providers.iter().enumerate() {
        let handler = move |_| async move {
            match number {
                1 => Err(CallFailure::new(Code::Aborted, "not today").with_details("why")),
                _ => Ok(Reply::new(vec![number as u8])),
            }
        };
        let register =
            provider.register(pattern("test.who"), handler).policy(CallPolicy::Random).scope_mesh();
        registrations.push(register.await.expect("registered"));
    }
    let caller = client(&b).await;
    let answers = caller.call_all(topic("test.who"), "").await.expect("all answer");
    assert_eq!(answers.len(), 3);
    for (number, provider) in providers.iter().enumerate() {
        let answer = answers.iter().find(|answer| answer.provider == provider.publisher_id());
        match &answer.expect("it has answered").result {
            Ok(reply) => assert_eq!(reply.payload()[..], [number as u8]),
            Err(error) => {
                assert_eq!((number, error.code, &error.details[..]), (1, Code::Aborted, &b"why"[..]));
            }
        }
    }
    let nobody = caller.call_all(topic("test.nobody"), "").await.expect_err("nobody is there");
    assert_eq!(nobody.code, Code::NotFound);
}

#[tokio::test]
async fn silent_providers_of_a_gathered_call_are_named_at_the_deadline() {
    let (a, b) = pair().await;
    let providers = [client(&a).await, client(&b).await];
    let mut registrations = Vec::new();
    for provider in &providers {
        let hang = |_| std::future::pending::<Result<Reply, CallFailure>>();
        let register = provider.register(pattern("test.hang"), hang).policy(CallPolicy::Random).scope_mesh();
        registrations.push(register.await.expect("registered"));
    }
    let call = providers[0].call_all(topic("test.hang"), "").timeout(Duration::from_millis(300));
    let answers = call.await.expect("the end is told");
    let codes: Vec<Code> =
        answers.iter().map(|answer| answer.result.as_ref().expect_err("silent").code).collect();
    assert_eq!(codes, [Code::DeadlineExceeded; 2]);
    for provider in &providers {
        assert!(answers.iter().any(|answer| answer.provider == provider.publisher_id()));
    }
}

/// Set when it is dropped.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn who_gives_up_ends_the_handler_wherever_it_is() {
    let (a, b) = pair().await;
    let (provider, caller) = (client(&a).await, client(&b).await);
    let (started, gone, noticed) = (Arc::default(), Arc::default(), Arc::default());
    let counters: (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
        (Arc::clone(&started), Arc::clone(&gone), Arc::clone(&noticed));
    let handler = move |request: macula_sdk::Request| {
        let (started, gone, noticed) = counters.clone();
        async move {
            let _gone = Gone(gone);
            let cancellation = request.cancellation();
            tokio::spawn(async move {
                cancellation.cancelled().await;
                noticed.fetch_add(1, Ordering::SeqCst);
            });
            started.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<Reply, CallFailure>>().await
        }
    };
    let _registration =
        provider.register(pattern("test.hang"), handler).scope_mesh().await.expect("registered");
    let procedure = topic("test.hang");
    let call = || caller.call(&procedure, "").timeout(Duration::from_secs(60));
    let all = |counter: &AtomicUsize, count| counter.load(Ordering::SeqCst) == count;

    let hanging = tokio::spawn(call().into_future());
    until(async || all(&started, 1)).await;
    hanging.abort();
    until(async || all(&gone, 1) && all(&noticed, 1)).await;

    let stream = call().stream().await.expect("sent");
    until(async || all(&started, 2)).await;
    drop(stream);
    until(async || all(&gone, 2) && all(&noticed, 2)).await;

    let late = call().timeout(Duration::from_millis(200)).await.expect_err("it hangs");
    assert_eq!(late.code, Code::DeadlineExceeded);
    until(async || all(&gone, 3) && all(&noticed, 3)).await;

    let hanging = tokio::spawn(call().into_future());
    until(async || all(&started, 4)).await;
    caller.close().await.expect("closed");
    let error = hanging.await.expect("it ends").expect_err("the client is closed");
    assert!(matches!(error.code, Code::Unavailable | Code::Cancelled), "{error}");
    until(async || all(&gone, 4) && all(&noticed, 4)).await;
    until(async || a.status().await.expect("alive").gauges.calls == 0).await;
}

#[tokio::test]
async fn a_callee_whose_gateway_leaves_is_told_when_it_has_left() {
    let (a, b) = pair().await;
    let caller = client(&b).await;
    let hang = |_| std::future::pending::<Result<Reply, CallFailure>>();
    let provider = client(&a).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let _hangs = provider.register(pattern("test.hang"), hang).scope_mesh().await.expect("registered");
    let _streams = kilobytes(&provider, &sent).await;
    let hanging = tokio::spawn(caller.call(topic("test.hang"), "").into_future());
    let mut replies = caller.call(topic("test.kilobytes"), "1000").stream().await.expect("sent");
    assert!(replies.next().await.expect("a part").is_ok());
    until(async || a.status().await.expect("alive").gauges.calls == 2).await;

    // It gives its clients two seconds to end their calls, which hang here.
    a.shutdown().await;
    let before = Instant::now();
    let error = hanging.await.expect("it ends").expect_err("its gateway is gone");
    assert_eq!(error.code, Code::Unavailable);
    let last = loop {
        match replies.next().await.expect("an error is the last") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(last.code, Code::Unavailable);
    assert!(replies.next().await.is_none());
    let error = caller.call(topic("test.hang"), "").await.expect_err("nobody offers it any more");
    assert_eq!(error.code, Code::NotFound);
    assert!(before.elapsed() < PROMPT, "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_callee_that_is_gone_is_told_at_once() {
    let gateway = gateway("one").await;
    let (provider, caller) = (client(&gateway).await, client(&gateway).await);
    let hang = |_| std::future::pending::<Result<Reply, CallFailure>>();
    let registration = provider.register(pattern("test.hang"), hang).await.expect("registered");
    let hanging = tokio::spawn(caller.call(topic("test.hang"), "").into_future());
    until(async || gateway.status().await.expect("alive").gauges.calls == 1).await;
    let before = Instant::now();
    drop(registration);
    let _ = provider.close().await;
    assert_eq!(hanging.await.expect("it ends").expect_err("lost").code, Code::Unavailable);
    assert!(before.elapsed() < PROMPT, "{:?}", before.elapsed());
}

/// A way to a gateway that can be cut and mended: everything sent meanwhile is lost.
struct Way {
    port: u16,
    open: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Way {
    async fn to(gateway: &Gateway, open: bool) -> Self {
        let bind = || tokio::net::UdpSocket::bind(("127.0.0.1", 0));
        let (near, far) = (bind().await.expect("a socket"), bind().await.expect("a socket"));
        far.connect(gateway.local_addr()).await.expect("an address");
        let port = near.local_addr().expect("bound").port();
        let open = Arc::new(AtomicBool::new(open));
        let passes = Arc::clone(&open);
        let task = tokio::spawn(async move {
            let (mut out, mut back) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            let mut dialler = None;
            loop {
                let sent = tokio::select! {
                    Ok((length, from)) = near.recv_from(&mut out) => {
                        dialler = Some(from);
                        if !passes.load(Ordering::SeqCst) { continue }
                        far.send(&out[..length]).await
                    }
                    Ok(length) = far.recv(&mut back) => match dialler {
                        Some(dialler) if passes.load(Ordering::SeqCst) => near.send_to(&back[..length], dialler).await,
                        _ => continue,
                    },
                    else => return,
                };
                // A lost packet is QUIC's business.
                drop(sent);
            }
        });
        Self { port, open, task }
    }

    fn set(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    fn peer(&self) -> PeerAddress {
        PeerAddress { host: "localhost".to_owned(), port: self.port }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn the_later_of_two_that_did_not_know_of_each_other_is_told_and_gets_it_back() {
    let a = gateway("a").await;
    let way = Way::to(&a, false).await;
    let b = Gateway::start(Settings { peers: vec![way.peer()], ..settings("b") }).await.expect("it starts");
    let (client_a, client_b) = (client(&a).await, client(&b).await);
    let answer = |name: &'static str| move |_| async move { Ok(Reply::new(name)) };
    let first = client_a.register(pattern("test.only"), answer("a")).await.expect("registered");
    // The gateways' clocks count milliseconds; within one, their ids decide.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = client_b.register(pattern("test.only"), answer("b")).await.expect("registered too");
    let mut state = second.state();
    let call = async || client_b.call(topic("test.only"), "").await.map(|reply| reply.payload().to_vec());
    assert_eq!(call().await, Ok(b"b".to_vec()));

    way.set(true);
    let lost = |state: &RegistrationState| matches!(state, RegistrationState::Lost { .. });
    let told =
        tokio::time::timeout(PATIENCE, state.wait_for(lost)).await.expect("in time").expect("open").clone();
    let RegistrationState::Lost { code, message } = told else { panic!("{told:?}") };
    assert!(code == Code::Aborted && message.contains("`a`"), "{message}");
    assert_eq!(call().await, Ok(b"a".to_vec()), "the earlier answers for both");

    drop(first);
    let back = state.wait_for(|state| *state == RegistrationState::Registered);
    drop(tokio::time::timeout(PATIENCE, back).await.expect("it is asked for again").expect("open"));
    assert_eq!(call().await, Ok(b"b".to_vec()));
}

#[tokio::test]
async fn calls_over_a_link_that_falls_silent_end_as_soon_as_it_is_given_up() {
    let a = gateway("a").await;
    let way = Way::to(&a, true).await;
    let b = Gateway::start(Settings { peers: vec![way.peer()], ..settings("b") }).await.expect("it starts");
    until(async || b.status().await.expect("alive").peers.iter().any(|peer| peer.synced)).await;
    let (provider, caller) = (client(&a).await, client(&b).await);
    let hang = |_| std::future::pending::<Result<Reply, CallFailure>>();
    let _hangs = provider.register(pattern("test.hang"), hang).scope_mesh().await.expect("registered");
    let hanging = tokio::spawn(caller.call(topic("test.hang"), "").into_future());
    until(async || a.status().await.expect("alive").gauges.calls == 1).await;
    let before = Instant::now();
    way.set(false);
    let error = hanging.await.expect("it ends").expect_err("nobody can answer");
    assert_eq!(error.code, Code::Unavailable);
    // Four silent seconds are a dead link; then half a second for its farewell.
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    until(async || a.status().await.expect("alive").gauges.calls == 0).await;
}

/// Waits until this is so; fails after ten seconds.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it happens within ten seconds");
}

#[tokio::test]
async fn io_is_done_on_the_runtime_that_the_application_names_and_ends_with_it() {
    let gateway = gateway("a").await;
    let builder = Client::builder().url(url(&gateway)).realm("test.realm");
    let here = builder.clone().runtime(tokio::runtime::Handle::current()).connect().await.expect("connected");
    let register = here.register("test.noon", async |_| Ok(Reply::new("noon")));
    let _noon = register.await.expect("registered");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || runtime.block_on(stopped));
    let there = builder.clone().runtime(handle.clone()).connect().await.expect("connected");
    let answer = there.call("test.noon", "").await.expect("answered");
    assert_eq!(&answer.payload()[..], b"noon");

    drop(stop);
    let _ = thread.join().expect("the runtime ends");
    let mut status = there.status();
    let ended = status.wait_for(|status| *status == Status::Closed);
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends with its runtime").expect("the client lives");
    there.call("test.noon", "").await.expect_err("it has ended");
    builder.runtime(handle).connect().await.expect_err("that runtime has ended");
    here.call("test.noon", "").await.expect("the other goes on");
}
