//! zenohd, by zenoh.

use anyhow::anyhow;
use macula_load::{Client, Publisher, Role, Sink, Subscription, System, Threads};
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use tokio::sync::oneshot;
use zenoh::Session;
use zenoh::qos::CongestionControl;

/// A zenohd.
#[derive(Clone, Debug)]
pub struct Zenoh {
    /// Its port on loopback.
    pub port: u16,
    /// The authority of its certificate.
    pub ca: PathBuf,
}

/// Settings of server and clients alike: nothing is dropped or closed because a queue is full, and queues are as long as they
/// may be.
pub fn transmission() -> serde_json::Value {
    json!({
        "tx": {
            "queue": {
                "size": {
                    "control": 2, "real_time": 2, "interactive_high": 2, "interactive_low": 2,
                    "data_high": 2, "data": 16, "data_low": 2, "background": 2
                },
                "congestion_control": { "block": { "wait_before_close": 60_000_000 } }
            }
        },
        "rx": { "buffer_size": 262_144 }
    })
}

/// The largest packet that zenoh 1.10 reaches, since its endpoints announce no larger one.
pub const MTU: &str = "initial_mtu=1472";

fn wrong(error: zenoh::Error) -> anyhow::Error {
    anyhow!("zenoh: {error}")
}

impl System for Zenoh {
    type Client = ZenohClient;

    async fn connect(&self, _role: Role) -> anyhow::Result<ZenohClient> {
        let config = json!({
            "mode": "client",
            "connect": { "endpoints": [format!("quic/localhost:{}#{MTU}", self.port)] },
            "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
            "transport": {
                "unicast": { "qos": { "enabled": true } },
                "link": {
                    "tx": transmission()["tx"],
                    "rx": transmission()["rx"],
                    "tls": { "root_ca_certificate": self.ca }
                }
            }
        });
        let config = zenoh::Config::from_json5(&config.to_string()).map_err(wrong)?;
        Ok(ZenohClient(zenoh::open(config).await.map_err(wrong)?))
    }

    fn threads(&self) -> Threads {
        // It runs on no runtime of one thread.
        Threads::Shared
    }
}

/// A session.
pub struct ZenohClient(Session);

fn key(topic: usize) -> String {
    format!("load/topic/{topic}")
}

/// Declarations are not confirmed: they are given time to reach the router.
const DECLARED: std::time::Duration = std::time::Duration::from_millis(500);

impl Client for ZenohClient {
    type Publisher = ZenohPublisher;
    type Subscription = ZenohSubscription;
    type Service = zenoh::query::Queryable<()>;
    type Procedure = zenoh::key_expr::KeyExpr<'static>;

    async fn publisher(&self, topic: usize) -> anyhow::Result<ZenohPublisher> {
        let publisher = self.0.declare_publisher(key(topic)).congestion_control(CongestionControl::Block);
        let publisher = publisher.await.map_err(wrong)?;
        tokio::time::sleep(DECLARED).await;
        Ok(ZenohPublisher(publisher))
    }

    async fn subscribe(&self, topic: usize) -> anyhow::Result<ZenohSubscription> {
        let place = Arc::new(Place::default());
        let filled = place.clone();
        let subscriber = self
            .0
            .declare_subscriber(key(topic))
            .callback(move |sample| filled.take(&sample.payload().to_bytes()))
            .await
            .map_err(wrong)?;
        tokio::time::sleep(DECLARED).await;
        Ok(ZenohSubscription { place, _subscriber: subscriber })
    }

    async fn serve(&self, procedure: usize) -> anyhow::Result<Self::Service> {
        let queryable = self.0.declare_queryable(key(procedure)).callback(|query| {
            let payload = query.payload().cloned().unwrap_or_default();
            let _ = zenoh::Wait::wait(query.reply(query.key_expr().clone(), payload));
        });
        let queryable = queryable.await.map_err(wrong)?;
        tokio::time::sleep(DECLARED).await;
        Ok(queryable)
    }

    fn procedure(&self, number: usize) -> anyhow::Result<Self::Procedure> {
        key(number).try_into().map_err(wrong)
    }

    async fn call(
        &self,
        procedure: &Self::Procedure,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> anyhow::Result<bool> {
        let (send, receive) = oneshot::channel();
        let send = Mutex::new(Some(send));
        let answered = move |reply: zenoh::query::Reply| {
            if let Some(send) = send.lock().expect("no holder panics").take() {
                let _ = send.send(reply);
            }
        };
        self.0.get(procedure).payload(payload).callback(answered).await.map_err(wrong)?;
        let reply = receive.await?;
        let sample = reply.result().map_err(|error| anyhow!("zenoh: {error}"))?;
        Ok(check(&sample.payload().to_bytes()))
    }
}

/// Publishes to one key.
pub struct ZenohPublisher(zenoh::pubsub::Publisher<'static>);

impl Publisher for ZenohPublisher {
    #[inline]
    async fn send(&self, payload: &[u8]) -> anyhow::Result<()> {
        self.0.put(payload).await.map_err(wrong)
    }

    async fn flush(&self) -> anyhow::Result<()> {
        // There is no such thing; the publisher stays until its messages have come.
        Ok(())
    }
}

/// The messages of one key, checked where zenoh calls back.
pub struct ZenohSubscription {
    place: Arc<Place>,
    _subscriber: zenoh::pubsub::Subscriber<()>,
}

/// Where the sink is while messages come.
#[derive(Default)]
struct Place {
    sink: Mutex<(Option<Sink>, Option<oneshot::Sender<Sink>>)>,
    filled: Condvar,
}

impl Place {
    fn take(&self, payload: &[u8]) {
        let mut place = self.sink.lock().expect("no holder panics");
        while place.0.is_none() {
            if self.is_over(&place) {
                return;
            }
            place = self.filled.wait(place).expect("no holder panics");
        }
        let Some(sink) = &mut place.0 else { return };
        sink.take(payload);
        if sink.is_done()
            && let (Some(sink), Some(done)) = (place.0.take(), place.1.take())
        {
            let _ = done.send(sink);
            // What comes now is one too many, and there is nobody to tell.
            place.1 = Some(oneshot::channel().0);
        }
    }

    /// Whether the sink was here and has gone.
    fn is_over(&self, place: &(Option<Sink>, Option<oneshot::Sender<Sink>>)) -> bool {
        place.0.is_none() && place.1.is_some()
    }
}

impl Subscription for ZenohSubscription {
    async fn run(self, sink: Sink) -> Sink {
        let (done, over) = oneshot::channel();
        *self.place.sink.lock().expect("no holder panics") = (Some(sink), Some(done));
        self.place.filled.notify_all();
        over.await.expect("the place keeps the sender until it is used")
    }
}
