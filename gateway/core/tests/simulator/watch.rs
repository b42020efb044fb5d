//! What has to hold after each step, looked at where the step has changed something.

use crate::client::slot;
use crate::model::{Model, wanted};
use crate::network::Gateway;
use macula_core::Gauges;
use macula_proto::v1::Class;
use std::collections::{HashMap, HashSet};

/// What queues may hold for each connection of a gateway.
const QUEUED_BYTES: usize = 8 << 20;
/// A message may be on its way for so long beyond its time to live: paths and shells take their time, and links that find
/// out that they are broken.
const WAY_MS: u64 = 2_500;
const BROKEN_MS: u64 = 12_000;

#[derive(Default)]
pub(crate) struct Watch {
    clients: HashMap<usize, Seen>,
    /// Nothing is conflated: all keep their order.
    pub(crate) ordered: bool,
    /// Publishers go from one gateway to another: their telemetry need not keep its order.
    pub(crate) moving: bool,
    /// Gateways die: a group that is sent again what it had not acknowledged may have had newer events before.
    pub(crate) deadly: bool,
    /// How long somebody was cut off or stopped.
    pub(crate) hindered_ms: u64,
}

/// What a client has received.
#[derive(Default)]
struct Seen {
    looked_at: usize,
    /// Events by session, which a client that does not keep count meets again in its next one; all else once.
    messages: HashSet<(u32, usize)>,
    /// By session, class and publisher; a group keeps the order of each key, or topic, by itself.
    last: HashMap<(u32, usize, usize, String), u64>,
}

impl Watch {
    /// A client may have got something: nothing comes twice, out of order, too late, or to those who did not ask.
    pub(crate) fn client(&mut self, model: &Model, client: usize, now_ms: u64) {
        let known = &model.clients[client];
        let seen = self.clients.entry(client).or_default();
        for received in &known.received[seen.looked_at..] {
            if received.retained {
                continue;
            }
            let (index, published) = model.message(received);
            let what = format!(
                "client {client} at gateway {}: {:?} {} of client {} at gateway {} on {}",
                known.gateway,
                published.class,
                published.sequence,
                published.client,
                published.gateway,
                published.topic
            );
            let grouped = received
                .subscriptions
                .iter()
                .any(|number| known.subscriptions.get(number).is_some_and(|known| !known.group.is_empty()));
            if !grouped {
                let wanted = wanted(known, published);
                // A client that comes back subscribes again one by one.
                let asked = received.subscriptions.iter().all(|number| wanted.contains(number));
                assert!(asked && !received.subscriptions.is_empty(), "{what}: nobody asked for it");
            }
            // Who goes to another gateway may meet again there what is under way to it.
            let session = if known.keeps && !self.moving { 0 } else { received.session };
            // A gateway that starts anew while it is cut off learns what was retained after it has taken clients.
            let from_store = received.stamp != 0 && published.class == Class::Telemetry;
            // A publisher that moves without waiting may have a group be given an event at both gateways.
            let shared = grouped && self.moving;
            let once = seen.messages.insert((session, index)) || from_store || shared;
            assert!(once, "{what}: it comes twice");
            let late_ms = now_ms.saturating_sub(published.at_ms);
            let live_ms = u64::from(published.time_to_live_ms);
            let way_ms = if self.hindered_ms > 0 { BROKEN_MS + self.hindered_ms } else { WAY_MS };
            assert!(live_ms == 0 || late_ms <= 2 * live_ms + way_ms, "{what}: it is {late_ms} ms old");
            // What a store gives has no order, and telemetry that was under way when its publisher moved.
            // What is sent again has its whole time to live again, and may have been too old before.
            let lasting = published.time_to_live_ms == 0 || self.hindered_ms == 0;
            let still = !self.moving || published.class == Class::Event && !grouped;
            let still = still && !(grouped && self.deadly);
            let ordered = self.ordered && received.stamp == 0 && lasting && still;
            if ordered {
                let name = if received.key.is_empty() { &received.topic } else { &received.key };
                let name = if grouped { name.clone() } else { String::new() };
                let row = (session, slot(received.class), published.client, name);
                let before = seen.last.insert(row, received.sequence).unwrap_or(0);
                assert!(before < received.sequence, "{what}: it comes after {before}");
            }
        }
        seen.looked_at = known.received.len();
    }

    /// Queues hold no more than they may.
    pub(crate) fn bounds(&self, gateway: &Gateway) {
        Self::check_bounds(&gateway.node.gauges(), gateway.conns.len());
    }

    /// Of a gateway with so many connections.
    pub(crate) fn check_bounds(gauges: &Gauges, conns: usize) {
        let bound = (conns + gauges.kept + gauges.parked) * QUEUED_BYTES;
        assert!(gauges.queued_bytes <= bound, "queues stay bounded: {gauges:?}");
    }
}
