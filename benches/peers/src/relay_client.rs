//! Clients of the bare relay.

use crate::relay::{BATCH, OVERHEAD, PUBLISH, SUBSCRIBE, frame, seal};
use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use macula_load::{Client, Publisher, Role, Sink, Subscription, System, Threads};
use macula_transport::endpoint::{client_endpoint, connect};
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{ClientTls, roots_from_pem};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, oneshot};

/// The relay.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Its port on loopback.
    pub port: u16,
    /// The authority of its certificate.
    pub ca: PathBuf,
    /// Messages come one by one, and are not to wait for a batch.
    pub at_once: bool,
}

impl System for Relay {
    type Client = RelayClient;

    async fn connect(&self, _role: Role) -> anyhow::Result<RelayClient> {
        let endpoint = endpoint()?;
        let tls = ClientTls::session(roots_from_pem(&self.ca)?, None)?;
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let connection = connect(&endpoint, address, "localhost", &tls, &TransportProfile::SESSION).await?;
        Ok(RelayClient { connection, at_once: self.at_once, calls: Mutex::default() })
    }

    fn threads(&self) -> Threads {
        Threads::PerCore
    }
}

/// That of this thread, which its clients share as Macula's do.
fn endpoint() -> anyhow::Result<quinn::Endpoint> {
    thread_local!(static ENDPOINT: RefCell<Option<quinn::Endpoint>> = const { RefCell::new(None) });
    ENDPOINT.with_borrow_mut(|endpoint| match endpoint {
        Some(endpoint) => Ok(endpoint.clone()),
        none => Ok(none.insert(client_endpoint()?).clone()),
    })
}

type Waiting = Arc<std::sync::Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>;

/// A connection to the relay.
pub struct RelayClient {
    connection: quinn::Connection,
    at_once: bool,
    calls: Mutex<Option<(RelayPublisher, Waiting)>>,
}

/// Topics from here on are those of calls, and from twice on those of answers.
const CALLS: usize = 10_000;

impl RelayClient {
    async fn open(&self, kind: u8, topic: usize) -> anyhow::Result<(quinn::SendStream, quinn::RecvStream)> {
        let (mut send, receive) = self.connection.open_bi().await?;
        let topic = u16::try_from(topic).context("the relay has 65,536 topics")?.to_le_bytes();
        send.write_all(&[kind, topic[0], topic[1]]).await?;
        Ok((send, receive))
    }
}

impl Client for RelayClient {
    type Publisher = RelayPublisher;
    type Subscription = RelaySubscription;
    type Service = tokio::task::JoinHandle<anyhow::Result<()>>;
    type Procedure = usize;

    async fn publisher(&self, topic: usize) -> anyhow::Result<RelayPublisher> {
        let (send, receive) = self.open(PUBLISH, topic).await?;
        let full = if self.at_once { 0 } else { BATCH };
        Ok(RelayPublisher(Arc::new(Mutex::new(Outgoing { batch: BytesMut::new(), full, send, receive }))))
    }

    async fn subscribe(&self, topic: usize) -> anyhow::Result<RelaySubscription> {
        let (send, mut receive) = self.open(SUBSCRIBE, topic).await?;
        let mut confirmed = [0];
        receive.read_exact(&mut confirmed).await?;
        ensure!(confirmed == [SUBSCRIBE], "the relay does not confirm");
        Ok(RelaySubscription { _send: send, receive })
    }

    async fn serve(&self, procedure: usize) -> anyhow::Result<Self::Service> {
        let mut calls = self.subscribe(CALLS + procedure).await?;
        let answers = self.publisher(2 * CALLS + procedure).await?;
        Ok(tokio::spawn(async move {
            let mut frames = Frames::default();
            while frames.read(&mut calls.receive).await? {
                let mut outgoing = answers.0.lock().await;
                frames.each(|frame| outgoing.batch.extend_from_slice(frame));
                outgoing.write().await?;
            }
            Ok(())
        }))
    }

    fn procedure(&self, number: usize) -> anyhow::Result<usize> {
        Ok(number)
    }

    async fn call(
        &self,
        &procedure: &usize,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> anyhow::Result<bool> {
        let (publisher, waiting) = {
            let mut calls = self.calls.lock().await;
            if calls.is_none() {
                let mut answers = self.subscribe(2 * CALLS + procedure).await?;
                let waiting = Waiting::default();
                *calls = Some((self.publisher(CALLS + procedure).await?, waiting.clone()));
                tokio::spawn(async move {
                    let mut frames = Frames::default();
                    while frames.read(&mut answers.receive).await? {
                        let mut waiting = waiting.lock().expect("no holder panics");
                        frames.each(|frame| {
                            let payload = &frame[OVERHEAD..];
                            if let Some(caller) = number(payload).and_then(|call| waiting.remove(&call)) {
                                let _ = caller.send(Bytes::copy_from_slice(payload));
                            }
                        });
                    }
                    anyhow::Ok(())
                });
            }
            calls.clone().context("just made")?
        };
        let (send, receive) = oneshot::channel();
        let call = number(payload).context("a call without a head")?;
        waiting.lock().expect("no holder panics").insert(call, send);
        publisher.send(payload).await?;
        publisher.0.lock().await.write().await?;
        Ok(check(&receive.await?))
    }
}

/// Which call a payload is of: the caller and its count, as the head begins.
fn number(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().copied().map(u64::from_le_bytes)
}

struct Outgoing {
    batch: BytesMut,
    /// Written at this size.
    full: usize,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
}

impl Outgoing {
    async fn write(&mut self) -> anyhow::Result<()> {
        if !self.batch.is_empty() {
            self.send.write_chunk(seal(&mut self.batch)).await?;
        }
        Ok(())
    }
}

/// Publishes to a topic of the relay.
#[derive(Clone)]
pub struct RelayPublisher(Arc<Mutex<Outgoing>>);

impl Publisher for RelayPublisher {
    #[inline]
    async fn send(&self, payload: &[u8]) -> anyhow::Result<()> {
        let mut outgoing = self.0.lock().await;
        let batch = &mut outgoing.batch;
        if batch.capacity() == 0 {
            batch.reserve(BATCH + 512);
        }
        batch.extend_from_slice(&((payload.len() + OVERHEAD) as u32).to_le_bytes());
        batch.extend_from_slice(&[0; OVERHEAD - 4]);
        batch.extend_from_slice(payload);
        if batch.len() >= outgoing.full { outgoing.write().await } else { Ok(()) }
    }

    async fn flush(&self) -> anyhow::Result<()> {
        let mut outgoing = self.0.lock().await;
        outgoing.write().await?;
        outgoing.send.finish()?;
        // The relay ends its side when it has everything.
        outgoing.receive.read_to_end(1).await?;
        Ok(())
    }
}

/// The messages of a topic of the relay.
pub struct RelaySubscription {
    _send: quinn::SendStream,
    receive: quinn::RecvStream,
}

impl Subscription for RelaySubscription {
    async fn run(mut self, mut sink: Sink) -> Sink {
        let mut frames = Frames::default();
        while !sink.is_done() {
            match frames.read(&mut self.receive).await {
                Ok(true) => frames.each(|frame| sink.take(&frame[OVERHEAD..])),
                ended => sink.fault(format!("the stream of a subscription ended: {ended:?}")),
            }
        }
        sink
    }
}

/// Cuts a stream into frames.
struct Frames {
    chunks: [Bytes; 32],
    count: usize,
    kept: BytesMut,
}

impl Default for Frames {
    fn default() -> Self {
        Self { chunks: [const { Bytes::new() }; 32], count: 0, kept: BytesMut::new() }
    }
}

impl Frames {
    async fn read(&mut self, stream: &mut quinn::RecvStream) -> anyhow::Result<bool> {
        self.count = stream.read_chunks(&mut self.chunks).await?.unwrap_or(0);
        Ok(self.count > 0)
    }

    fn each(&mut self, mut each: impl FnMut(&[u8])) {
        let kept = &mut self.kept;
        for chunk in &mut self.chunks[..self.count] {
            let chunk = std::mem::take(chunk);
            let mut rest = &chunk[..];
            while !kept.is_empty() && !rest.is_empty() {
                let wanted = frame(kept).unwrap_or(4);
                let take = wanted.saturating_sub(kept.len()).min(rest.len());
                kept.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                if frame(kept) == Some(kept.len()) {
                    each(kept);
                    kept.clear();
                }
            }
            while let Some(size) = frame(rest).filter(|&size| size <= rest.len()) {
                each(&rest[..size]);
                rest = &rest[size..];
            }
            kept.extend_from_slice(rest);
        }
    }
}
