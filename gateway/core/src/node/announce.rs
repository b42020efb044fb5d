//! What happens here, told to those who ask: `$sys.session.joined` and the like, as telemetry in JSON.
//!
//! Telemetry, since these are for people and dashboards: they must hold back nobody and be kept for nobody, and what is
//! lost of them is told. What is true now is asked of the admin port.

use super::Node;
use super::own::Own;
use crate::hash::HashMap;
use crate::json::Object;
use crate::key::{ConnKey, MessageClass, PublisherId};
use crate::procedures::Provider;
use crate::time::Now;
use macula_proto::{Topic, limits, wire};

/// Announcements between two ticks at most: a thousand a second. A guess, not measured: more is a storm, which nobody
/// reads one by one.
const PENDING: usize = 100;
/// A slow connection is told of this often at most.
const SLOW_MS: u64 = 5_000;

/// How long what a gateway tells of itself holds.
const STATE_LIFE_MS: u32 = 60_000;

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    SessionJoined,
    SessionLeft,
    RegistrationAdded,
    RegistrationRemoved,
    LinkUp,
    LinkDown,
    Slow,
}

/// Announcements that wait for the next tick.
#[derive(Debug)]
pub(super) struct Announcements {
    topics: [Announced; 7],
    pending: Vec<(News, String, String)>,
    sequence: u64,
    /// When a slow connection was told of last.
    slow: HashMap<(ConnKey, MessageClass), u64>,
}

/// A topic, and whether somebody subscribes to it.
#[derive(Debug)]
struct Announced {
    topic: Topic,
    /// Of the routes that were looked at.
    generation: u64,
    wanted: bool,
}

impl Default for Announcements {
    fn default() -> Self {
        let names = [
            "$sys.session.joined",
            "$sys.session.left",
            "$sys.registration.added",
            "$sys.registration.removed",
            "$sys.link.up",
            "$sys.link.down",
            "$sys.slow",
        ];
        let announced = |name| Announced { topic: Topic::from_static(name), generation: 0, wanted: false };
        Self { topics: names.map(announced), pending: Vec::new(), sequence: 0, slow: HashMap::default() }
    }
}

impl Node {
    pub(super) fn tell_session(&mut self, news: News, conn: ConnKey) {
        self.announce_news(news, |node| {
            let session = node.conns.get(conn)?.session()?;
            let publisher = node.publishers.get(session.publisher).id;
            let object = node
                .object()
                .number("session", number(conn))
                .text("client", &session.client)
                .text("name", &session.name)
                .text("publisher", &hex(&publisher.id))
                .number("epoch", publisher.epoch);
            Some((number(conn).to_string(), object))
        });
    }

    pub(super) fn tell_registration(&mut self, news: News, provider: &Provider) {
        self.announce_news(news, |node| {
            let object = node
                .object()
                .number("session", number(provider.conn))
                .text("procedure", provider.procedure.as_str())
                .text("policy", provider.policy.as_str_name());
            Some((provider.procedure.to_string(), object))
        });
    }

    pub(super) fn tell_link(&mut self, news: News, conn: ConnKey) {
        self.announce_news(news, |node| {
            let link = node.conns.get(conn)?.link()?;
            let object = node
                .object()
                .text("peer", &link.name)
                .text("peer_node", &link.node.to_string())
                .number("peer_epoch", link.epoch)
                .flag("dialled", link.dialled);
            Some((link.node.to_string(), object))
        });
    }

    /// A receiver holds publishers back, or has done so for long enough and is overtaken.
    #[cold]
    pub(super) fn tell_slow(&mut self, conn: ConnKey, class: MessageClass, overtaken: bool, now: Now) {
        let told = self.announcements.slow.get(&(conn, class));
        if !overtaken && told.is_some_and(|told| now.elapsed_ms - told < SLOW_MS) {
            return;
        }
        self.announcements.slow.insert((conn, class), now.elapsed_ms);
        self.announce_news(News::Slow, |node| {
            let receiver = node.conns.get(conn)?;
            let object = match (receiver.session(), receiver.link()) {
                (Some(session), _) => {
                    node.object().number("session", number(conn)).text("client", &session.client)
                }
                (None, link) => node.object().text("peer", link.map_or("", |link| &link.name)),
            };
            let state = if overtaken { "overtaken" } else { "holding" };
            Some((number(conn).to_string(), object.text("class", class.name()).text("state", state)))
        });
    }

    /// Publishes what has happened since the last tick.
    pub(super) fn publish_news(&mut self, now: Now) {
        self.announcements.slow.retain(|_, told| now.elapsed_ms - *told < SLOW_MS);
        for (news, key, payload) in std::mem::take(&mut self.announcements.pending) {
            let mut message = Vec::new();
            wire::Message::new(payload.as_bytes(), &key).encode(&mut message);
            let topic = self.announcements.topics[news as usize].topic.clone();
            self.announce_message(&topic, &message, now);
        }
    }

    /// Publishes how this gateway sees itself and the mesh, a JSON document, as the retained `$sys.mesh.state` under its
    /// name. It is over after a minute: a gateway that died is not shown for ever.
    pub fn tell_state(&mut self, document: &[u8], now: Now) {
        let name = self.identity.name.clone();
        let mut state = wire::Message::new(document, short(&name));
        (state.retain, state.time_to_live_ms) = (true, STATE_LIFE_MS);
        self.announce_state(&state, now);
    }

    /// Takes back what [`Node::tell_state`] told.
    pub(super) fn forget_state(&mut self, now: Now) {
        let name = self.identity.name.clone();
        let mut state = wire::Message::new(&[], short(&name));
        state.remove = true;
        self.announce_state(&state, now);
    }

    fn announce_state(&mut self, state: &wire::Message<'_>, now: Now) {
        let mut message = Vec::new();
        state.encode(&mut message);
        self.announce_message(&Topic::from_static("$sys.mesh.state"), &message, now);
    }

    fn announce_message(&mut self, topic: &Topic, message: &[u8], now: Now) {
        self.announcements.sequence += 1;
        let own = Own {
            publisher: PublisherId { id: self.identity.node.0, epoch: self.identity.epoch },
            sequence: self.announcements.sequence,
            class: MessageClass::Telemetry,
            topic,
            content_type: "application/json",
            message,
        };
        self.publish_own(own, now);
    }

    /// What every announcement begins with.
    fn object(&self) -> Object {
        Object::new()
            .text("gateway", &self.identity.name)
            .text("node", &self.identity.node.to_string())
            .number("suppressed", self.counters.unannounced)
    }

    /// Notes news, with its key, if somebody wants to know.
    fn announce_news(&mut self, news: News, tell: impl FnOnce(&Self) -> Option<(String, Object)>) {
        let announced = &mut self.announcements.topics[news as usize];
        let generation = self.routes.generation();
        if announced.generation != generation {
            announced.generation = generation;
            let (routes, groups) = self.routes.find(&announced.topic);
            announced.wanted = !routes.is_empty() || !groups.is_empty();
        }
        if !announced.wanted {
            return;
        }
        if self.announcements.pending.len() >= PENDING {
            self.counters.unannounced += 1;
            return;
        }
        if let Some((key, object)) = tell(self) {
            self.announcements.pending.push((news, key, object.finish()));
        }
    }
}

/// As much of a name as fits a key.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(limits::KEY_BYTES)]
}

/// The number of a session, as in `Welcome`.
fn number(conn: ConnKey) -> u64 {
    slotmap::Key::data(&conn).as_ffi()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
