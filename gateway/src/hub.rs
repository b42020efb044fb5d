//! The core and its surroundings on the data thread: bytes in, wake-ups out.
//!
//! Everything here runs on one `current_thread` runtime, so that the core needs no lock. A borrow of the core
//! never lasts across an await.

use crate::mesh::{self, Mesh};
use bytes::Bytes;
use macula_core::membership::{Change, MemberState};
use macula_core::{ConnKey, Counters, Gauges, Identity, Node, NodeId, Notice, Now, Peer};
use macula_proto::kind::StreamKind;
use macula_proto::v1::Code;
use macula_transport::tls::GatewayUri;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Handle to the core; clones share it.
#[derive(Clone)]
pub(crate) struct Hub(Rc<Inner>);

struct Inner {
    node: RefCell<Node>,
    outlets: RefCell<HashMap<ConnKey, Rc<Outlet>>>,
    started: Instant,
    /// Woken when a link comes or goes.
    links: Notify,
    met: Notify,
    mesh: Mesh,
}

/// How a connection's tasks learn that there is something to send, or that the end has come.
#[derive(Default)]
pub(crate) struct Outlet {
    /// Of a link: where its datagrams go, and what its path is like.
    connection: Option<quinn::Connection>,
    streams: [Notify; 4],
    closing: RefCell<Option<Closing>>,
    ending: Notify,
    joined: Cell<bool>,
    joining: Notify,
    /// Class streams end once they have sent what there is.
    finishing: Cell<bool>,
    /// Writers of class streams that have not ended.
    writers: Cell<usize>,
}

/// Why the core ends a connection.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The link led back to this gateway.
    pub(crate) own_address: bool,
    /// The gateway at the other end of a link, if it had said who it is.
    pub(crate) node: Option<NodeId>,
}

/// A view of the core for the admin port.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who the gateway is.
    pub identity: Identity,
    /// Totals since the start.
    pub counters: Counters,
    /// How much there is of everything.
    pub gauges: Gauges,
    /// Links that are up.
    pub peers: Vec<Peer>,
    /// What the gateway knows of the mesh, as `/v1/mesh` shows it.
    pub mesh: serde_json::Value,
    /// Links that were refused, by code.
    pub(crate) refused: Vec<(&'static str, u64)>,
    /// Handshakes that failed.
    pub(crate) failed_handshakes: u64,
    /// Membership datagrams that were not sent, and not taken.
    pub(crate) lost_datagrams: [u64; 2],
    /// Members by state.
    pub(crate) members: Vec<(&'static str, u64)>,
}

impl Hub {
    pub(crate) fn new(identity: Identity, payload_bytes: usize) -> Self {
        let mut node = Node::new(identity);
        node.limit_payload(payload_bytes);
        Self(Rc::new(Inner {
            node: RefCell::new(node),
            outlets: RefCell::default(),
            started: Instant::now(),
            links: Notify::new(),
            met: Notify::new(),
            mesh: Mesh::default(),
        }))
    }

    /// There are other gateways.
    pub(crate) fn expect_peers(&self) {
        self.0.node.borrow_mut().expect_peers();
    }

    /// Resolves when the others were met, or their time to come is over: then what is taken here is known to whom it concerns.
    pub(crate) async fn met(&self) {
        let met = self.0.met.notified();
        if self.0.node.borrow().is_meeting() {
            met.await;
        }
    }

    pub(crate) fn open_session(&self) -> (ConnKey, Rc<Outlet>) {
        let key = self.0.node.borrow_mut().open_session();
        self.adopt(key, Outlet::default())
    }

    /// A link to the gateway that a certificate names; `expected` when it was dialled to reach just this one.
    pub(crate) fn open_link(
        &self,
        dialled: bool,
        connection: &quinn::Connection,
        certificate: &GatewayUri,
        expected: Option<NodeId>,
    ) -> (ConnKey, Rc<Outlet>) {
        let mut node = self.0.node.borrow_mut();
        let key = node.open_link(dialled);
        node.certify(key, certificate.name());
        if let Some(expected) = expected {
            node.expect(key, expected);
        }
        drop(node);
        let adopted = self.adopt(key, Outlet { connection: Some(connection.clone()), ..Outlet::default() });
        self.pump();
        adopted
    }

    fn adopt(&self, key: ConnKey, outlet: Outlet) -> (ConnKey, Rc<Outlet>) {
        let outlet = Rc::new(outlet);
        self.0.outlets.borrow_mut().insert(key, outlet.clone());
        (key, outlet)
    }

    /// Hands received chunks of a stream to the core.
    pub(crate) fn receive(&self, key: ConnKey, stream: StreamKind, chunks: &[Bytes]) {
        let now = self.now();
        let mut node = self.0.node.borrow_mut();
        for chunk in chunks {
            node.receive(key, stream, chunk, now);
        }
        drop(node);
        self.pump();
    }

    /// Hands a datagram of a link to the core.
    pub(crate) fn receive_datagram(&self, key: ConnKey, datagram: &[u8]) {
        self.0.node.borrow_mut().receive_datagram(key, datagram);
        self.pump();
    }

    /// The next bytes to send on a stream.
    pub(crate) fn take(&self, key: ConnKey, stream: StreamKind) -> Option<Bytes> {
        let now = self.now();
        let batch = self.0.node.borrow_mut().take(key, stream, now);
        self.pump();
        batch
    }

    pub(crate) fn waits(&self, key: ConnKey, stream: StreamKind) -> bool {
        self.0.node.borrow_mut().waits(key, stream)
    }

    pub(crate) fn finished(&self, key: ConnKey, stream: StreamKind) {
        self.0.node.borrow_mut().finished(key, stream);
    }

    pub(crate) fn fail(&self, key: ConnKey, code: Code, message: String) {
        self.0.node.borrow_mut().fail(key, code, message);
        self.pump();
    }

    pub(crate) fn remove(&self, key: ConnKey) {
        let now = self.now();
        self.0.node.borrow_mut().remove(key, now);
        self.0.outlets.borrow_mut().remove(&key);
        self.pump();
    }

    pub(crate) fn tick(&self) {
        let now = self.now();
        self.0.node.borrow_mut().tick(now);
        if !self.0.node.borrow().is_meeting() {
            self.0.met.notify_waiters();
        }
        if self.0.mesh.is_due(now, self.peers().len()) {
            let document = mesh::document(self, true).to_string();
            self.0.node.borrow_mut().tell_state(document.as_bytes(), now);
        }
        self.pump();
    }

    /// Says goodbye to the other gateways; links stay up.
    pub(crate) fn leave(&self) {
        self.0.mesh.fall_silent();
        let now = self.now();
        self.0.node.borrow_mut().leave(now);
        self.pump();
    }

    /// What happens to links, beside the core.
    pub(crate) fn mesh(&self) -> &Mesh {
        &self.0.mesh
    }

    /// The core, for a look.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Node) -> T) -> T {
        look(&self.0.node.borrow())
    }

    /// What the path of a link is like.
    pub(crate) fn path(&self, key: ConnKey) -> Option<quinn::PathStats> {
        let outlets = self.0.outlets.borrow();
        Some(outlets.get(&key)?.connection.as_ref()?.stats().path)
    }

    pub(crate) fn say_moving(&self, retry_after_ms: u32) {
        self.0.node.borrow_mut().say_moving(retry_after_ms);
        self.pump();
    }

    /// Has all class streams send what there is, and end; true once their peers have it all.
    pub(crate) fn finish(&self) -> bool {
        let outlets = self.0.outlets.borrow();
        for outlet in outlets.values().filter(|outlet| !outlet.finishing.replace(true)) {
            outlet.streams.iter().for_each(Notify::notify_one);
        }
        outlets.values().all(|outlet| outlet.writers.get() == 0)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.0.node.borrow().identity().clone()
    }

    pub(crate) fn status(&self) -> Status {
        let mesh = mesh::document(self, false);
        let node = self.0.node.borrow();
        Status {
            identity: node.identity().clone(),
            counters: node.counters(),
            gauges: node.gauges(),
            peers: node.peers(),
            mesh,
            refused: self.0.mesh.refused(),
            failed_handshakes: self.0.mesh.failed_handshakes(),
            lost_datagrams: node.lost_datagrams(),
            members: mesh::count(&node.members()),
        }
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.0.node.borrow().peers()
    }

    /// The peer of a link that is up.
    pub(crate) fn linked_node(&self, key: ConnKey) -> Option<NodeId> {
        self.0.node.borrow().peer(key)
    }

    /// Waits until a link comes or goes.
    pub(crate) async fn links_changed(&self) {
        self.0.links.notified().await;
    }

    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { elapsed_ms: self.0.started.elapsed().as_millis() as u64, unix_ms: unix.as_millis() as u64 }
    }

    /// Wakes the writers of streams that have something to send, and tells what the core has to tell.
    fn pump(&self) {
        let mut node = self.0.node.borrow_mut();
        let outlets = self.0.outlets.borrow();
        while let Some((key, stream)) = node.poll_ready() {
            if let Some(outlet) = outlets.get(&key) {
                outlet.streams[stream as usize].notify_one();
            }
        }
        while let Some((key, datagram)) = node.poll_datagram() {
            if let Some(connection) = outlets.get(&key).and_then(|outlet| outlet.connection.as_ref()) {
                // What finds no room is lost, as it may be anywhere on its way.
                let _ = connection.send_datagram(datagram.into());
            }
        }
        while let Some(notice) = node.poll_notice() {
            self.tell(&outlets, notice);
        }
    }

    fn tell(&self, outlets: &HashMap<ConnKey, Rc<Outlet>>, notice: Notice) {
        match notice {
            Notice::SessionJoined { conn, client } => {
                tracing::debug!(?conn, client, "session joined");
                if let Some(outlet) = outlets.get(&conn) {
                    outlet.joined.set(true);
                    outlet.joining.notify_waiters();
                }
            }
            Notice::SessionLeft { conn } => tracing::debug!(?conn, "session left"),
            Notice::LinkUp { node, name, .. } => {
                tracing::info!(peer = name, %node, "link up");
                self.0.links.notify_waiters();
            }
            Notice::LinkDown { node, name } => {
                tracing::info!(peer = name, %node, "link down");
                self.0.links.notify_waiters();
            }
            Notice::Member(Change { run, state }) => {
                let (name, node, epoch) = (run.name(), run.node, run.epoch);
                match state {
                    Some(MemberState::Alive) => tracing::info!(name, %node, epoch, "member alive"),
                    Some(MemberState::Suspect) => tracing::info!(name, %node, epoch, "member suspect"),
                    Some(MemberState::Down) => tracing::warn!(name, %node, epoch, "member down"),
                    Some(MemberState::Left) => tracing::info!(name, %node, epoch, "member left"),
                    None => tracing::info!(%node, epoch, "member forgotten"),
                }
                self.0.links.notify_waiters();
            }
            Notice::Close { conn, code, message, own_address, node } => {
                if let Some(outlet) = outlets.get(&conn) {
                    *outlet.closing.borrow_mut() = Some(Closing { code, message, own_address, node });
                    outlet.ending.notify_one();
                }
            }
        }
    }
}

impl Outlet {
    /// Waits until the stream has something to send.
    pub(crate) async fn ready(&self, stream: StreamKind) {
        self.streams[stream as usize].notified().await;
    }

    /// Whether a class stream ends when it has nothing to send.
    pub(crate) fn finishing(&self) -> bool {
        self.finishing.get()
    }

    /// One writer of a class stream more, until what is returned is dropped.
    pub(crate) fn writer(self: &Rc<Self>) -> Writer {
        self.writers.set(self.writers.get() + 1);
        Writer(self.clone())
    }

    /// Why the core ends the connection, once it does.
    pub(crate) fn closed(&self) -> Option<Closing> {
        self.closing.borrow().clone()
    }

    /// Waits until the core ends the connection.
    pub(crate) async fn closing(&self) -> Closing {
        loop {
            if let Some(closing) = self.closed() {
                return closing;
            }
            self.ending.notified().await;
        }
    }

    /// Waits until the session is welcomed; a link never is.
    pub(crate) async fn welcomed(&self) {
        while !self.joined.get() {
            self.joining.notified().await;
        }
    }

    /// True once the session was welcomed.
    pub(crate) fn joined(&self) -> bool {
        self.joined.get()
    }
}

/// A writer of a class stream, as long as it has not sent everything.
pub(crate) struct Writer(Rc<Outlet>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.writers.set(self.0.writers.get() - 1);
    }
}
