//! The ceiling of the method: a relay of frames over quinn, with nothing in it that a router has.
//!
//! One thread. Frames are cut one by one and copied into the batch of each subscriber of their topic, a number that a stream
//! begins with. No names, no routing, no acknowledgement, no policy; endpoints, sockets and windows are those of Macula.

use bytes::{Bytes, BytesMut};
use macula_transport::endpoint::ServerEndpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{CertSlot, ServerTls, load};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use tokio::sync::Notify;

/// First byte of a stream of a publisher; the number of its topic follows, two bytes.
pub const PUBLISH: u8 = b'P';
/// First byte of a stream of a subscriber; the number of its topic follows.
pub const SUBSCRIBE: u8 = b'S';
/// Bytes of a frame besides its payload: a length of four, and filling, so that frames are as large as Macula's.
pub const OVERHEAD: usize = 20;
/// A batch is given to quinn when it has this size, or when there is no more to do.
pub const BATCH: usize = 32 << 10;
/// A publisher is not read while a subscriber of its topic has so much waiting.
const WAITING: usize = 1 << 20;

/// What waits for one subscriber.
#[derive(Default)]
struct Outlet {
    batches: RefCell<Vec<Bytes>>,
    batch: RefCell<BytesMut>,
    waiting: Cell<usize>,
    filled: Notify,
    emptied: Notify,
}

type Topics = Rc<RefCell<HashMap<u16, Vec<Rc<Outlet>>>>>;

/// Runs the relay until it is killed, and says its port.
pub fn run(certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let identity = load(Some(certificate), Some(key), None)?.identity;
        let slot = CertSlot::new(identity.ok_or_else(|| anyhow::anyhow!("no certificate"))?);
        let tls = ServerTls::new(slot, None)?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = ServerEndpoint::bind(address, &tls, &TransportProfile::SESSION, None)?;
        println!("{}", endpoint.local_addr()?.port());
        let topics = Topics::default();
        while let Some(incoming) = endpoint.accept().await {
            let (connecting, topics) = (endpoint.admit(incoming)?, topics.clone());
            tokio::task::spawn_local(async move {
                let Ok(connection) = connecting.await else { return };
                while let Ok((send, receive)) = connection.accept_bi().await {
                    tokio::task::spawn_local(stream(topics.clone(), send, receive));
                }
            });
        }
        Ok(())
    })
}

async fn stream(topics: Topics, mut send: quinn::SendStream, mut receive: quinn::RecvStream) {
    let mut head = [0; 3];
    if receive.read_exact(&mut head).await.is_err() {
        return;
    }
    let topic = u16::from_le_bytes([head[1], head[2]]);
    let _ = if head[0] == PUBLISH {
        publish(&topics, topic, &mut send, &mut receive).await
    } else {
        let outlet = Rc::new(Outlet::default());
        topics.borrow_mut().entry(topic).or_default().push(outlet.clone());
        let written = subscribe(&outlet, &mut send).await;
        topics.borrow_mut().entry(topic).or_default().retain(|other| !Rc::ptr_eq(other, &outlet));
        written
    };
}

async fn publish(
    topics: &Topics,
    topic: u16,
    send: &mut quinn::SendStream,
    receive: &mut quinn::RecvStream,
) -> anyhow::Result<()> {
    let mut chunks = [const { Bytes::new() }; 32];
    let mut kept = BytesMut::new();
    while let Some(count) = receive.read_chunks(&mut chunks).await? {
        let subscribers = topics.borrow().get(&topic).cloned().unwrap_or_default();
        for chunk in &mut chunks[..count] {
            let chunk = std::mem::take(chunk);
            let mut rest = &chunk[..];
            // A frame that began in the chunk before is put together.
            while !kept.is_empty() && !rest.is_empty() {
                let wanted = frame(&kept).unwrap_or(4);
                let take = wanted.saturating_sub(kept.len()).min(rest.len());
                kept.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                if frame(&kept) == Some(kept.len()) {
                    subscribers.iter().for_each(|outlet| outlet.push(&kept));
                    kept.clear();
                }
            }
            while let Some(size) = frame(rest).filter(|&size| size <= rest.len()) {
                subscribers.iter().for_each(|outlet| outlet.push(&rest[..size]));
                rest = &rest[size..];
            }
            kept.extend_from_slice(rest);
        }
        for outlet in &subscribers {
            outlet.filled.notify_one();
            while outlet.waiting.get() > WAITING {
                outlet.emptied.notified().await;
            }
        }
    }
    // What was published has been taken.
    send.finish()?;
    Ok(())
}

/// Length of the frame that begins here, where its length can be read.
pub fn frame(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize)
}

async fn subscribe(outlet: &Outlet, send: &mut quinn::SendStream) -> anyhow::Result<()> {
    send.write_all(&[SUBSCRIBE]).await?;
    let mut batches = Vec::new();
    loop {
        outlet.filled.notified().await;
        outlet.cut();
        std::mem::swap(&mut batches, &mut *outlet.batches.borrow_mut());
        for batch in batches.drain(..) {
            let size = batch.len();
            send.write_chunk(batch).await?;
            outlet.waiting.set(outlet.waiting.get() - size);
            outlet.emptied.notify_waiters();
        }
    }
}

impl Outlet {
    fn push(&self, frame: &[u8]) {
        self.waiting.set(self.waiting.get() + frame.len());
        let mut batch = self.batch.borrow_mut();
        if batch.capacity() == 0 {
            batch.reserve(BATCH + 512);
        }
        batch.extend_from_slice(frame);
        if batch.len() >= BATCH {
            self.batches.borrow_mut().push(std::mem::take(&mut *batch).freeze());
        }
    }

    fn cut(&self) {
        let mut batch = self.batch.borrow_mut();
        if !batch.is_empty() {
            self.batches.borrow_mut().push(seal(&mut batch));
        }
    }
}

/// Takes what is in a batch. A little is copied, so that the large buffer is filled on.
pub fn seal(batch: &mut BytesMut) -> Bytes {
    if batch.len() > BATCH / 16 {
        return std::mem::take(batch).freeze();
    }
    let little = Bytes::copy_from_slice(batch);
    batch.clear();
    little
}
