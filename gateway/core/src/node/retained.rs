//! The store of retained values as connections see it: what is kept, and sending what is kept, page by page.

use super::Node;
use super::body::Body;
use super::messages::{Moving, tell_aliases};
use crate::key::{ConnKey, MessageClass};
use crate::origins::{Mark, Origins};
use crate::publishers::Publishers;
use crate::queue::{Entry, Queue};
use crate::retained::{Kept, Offered, Value};
use crate::time::Now;
use crate::topics::Topics;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::RetainedEnd;
use macula_proto::{Pattern, Topic, frame, wire};
use std::collections::VecDeque;

/// Backlog of a queue up to which it is filled with values: what `block` lets it have, too. A store that fits is sent
/// before anything else; of a larger one the rest follows as the receiver reads.
const PAGE_BYTES: usize = 1 << 20;
/// Values that are looked at in one go, so that a large store delays nobody by more than a millisecond or so. A guess,
/// not measured.
const VISITS: usize = 20_000;
/// What connections are sent from the store, the first first.
#[derive(Debug, Default)]
pub(super) struct Readings(VecDeque<Reading>);

/// One reader of one class. What arrives after `upto` comes to it as live messages.
#[derive(Debug)]
struct Reading {
    conn: ConnKey,
    class: MessageClass,
    next: u64,
    upto: u64,
    wanted: Wanted,
    /// Bytes that may be queued for it although the queue is full; below 0 when more was queued already.
    share: i64,
    /// All of it is queued. Telemetry stays until it is sent, too: see [`Node::move_readings`].
    done: bool,
}

#[derive(Debug)]
enum Wanted {
    /// A subscription of this number, and its encoded field.
    Subscription(u32, Box<[u8]>, Pattern),
    /// A peer wants everything, tombstones too.
    Store,
}

impl Node {
    /// Keeps a message with `retain`, or has one with `remove` take the value away.
    pub(super) fn keep(&mut self, moving: Moving<'_>, now: Now) -> Kept {
        let offered = Offered {
            class: moving.class,
            stamp: moving.stamp,
            topic: moving.topic,
            publisher: moving.publisher,
            id: self.publishers.get(moving.publisher).id,
            sequence: moving.sequence,
            message: moving.message,
        };
        let kept = self.retained.keep(&self.topics.get(moving.topic).topic, offered, now.unix_ms);
        match kept {
            Kept::Stored { freed, .. } => {
                self.topics.refer_again(moving.topic);
                self.publishers.refer_again(moving.publisher);
                self.free(freed, now);
            }
            Kept::Full => self.counters.unkept += 1,
            Kept::Same | Kept::Older => {}
        }
        kept
    }

    fn free(&mut self, freed: impl IntoIterator<Item = (u32, u32)>, now: Now) {
        for (topic, publisher) in freed {
            self.topics.release(topic);
            self.publishers.release(publisher, now.elapsed_ms);
        }
    }

    /// Ends values whose time is over and sends readers what they wait for.
    pub(super) fn tick_retained(&mut self, now: Now) {
        let freed = self.retained.pass(&self.topics, now.unix_ms);
        self.free(freed, now);
        let readings = self.readings.0.iter();
        let mut readers: Vec<(ConnKey, MessageClass)> =
            readings.map(|reading| (reading.conn, reading.class)).collect();
        readers.dedup();
        readers.into_iter().for_each(|(conn, class)| self.read_on(conn, class.stream(), 0, now));
    }

    /// Sends the retained values that a new subscription matches, then the end of them, on both class streams.
    pub(super) fn send_retained(&mut self, to: ConnKey, number: u32, pattern: Option<&Pattern>, now: Now) {
        let Some(pattern) = pattern else { return self.end_retained(to, number) };
        let mut field = Vec::new();
        wire::encode_subscriptions(&mut field, &[number]);
        let wanted = || Wanted::Subscription(number, field.clone().into(), pattern.clone());
        self.start_reading(to, wanted, now);
    }

    /// A subscription of a group gets no values: the first member has had them.
    fn end_retained(&mut self, to: ConnKey, number: u32) {
        for class in [MessageClass::Event, MessageClass::Telemetry] {
            let end = RetainedEnd { subscription: number };
            self.append(to, class.stream(), |out| frame::put_message(out, kind::RETAINED_END, &end));
        }
    }

    /// Sends everything retained to a peer.
    pub(super) fn send_store(&mut self, to: ConnKey, now: Now) {
        self.start_reading(to, || Wanted::Store, now);
    }

    fn start_reading(&mut self, conn: ConnKey, wanted: impl Fn() -> Wanted, now: Now) {
        for class in [MessageClass::Event, MessageClass::Telemetry] {
            let upto = self.retained.arrivals();
            self.readings.0.push_back(Reading {
                conn,
                class,
                next: 0,
                upto,
                wanted: wanted(),
                share: 0,
                done: false,
            });
            self.read_on(conn, class.stream(), 0, now);
        }
    }

    /// A subscription is sent no more values.
    pub(super) fn stop_reading(&mut self, conn: ConnKey, number: u32) {
        self.readings.0.retain(|reading| {
            reading.conn != conn || !matches!(reading.wanted, Wanted::Subscription(one, ..) if one == number)
        });
    }

    /// A connection is gone.
    pub(super) fn abandon_readings(&mut self, conn: ConnKey) {
        self.readings.0.retain(|reading| reading.conn != conn);
    }

    /// A session goes on with another connection. The telemetry that waited for it is lost, values among it: those who
    /// may miss some are sent them again.
    pub(super) fn move_readings(&mut self, from: ConnKey, to: ConnKey) {
        let upto = self.retained.arrivals();
        for reading in self.readings.0.iter_mut().filter(|reading| reading.conn == from) {
            reading.conn = to;
            if reading.class == MessageClass::Telemetry {
                (reading.next, reading.upto, reading.done) = (0, upto, false);
            }
        }
    }

    /// True while a connection is sent values.
    pub(super) fn is_reading(&self, conn: ConnKey) -> bool {
        self.readings.0.iter().any(|reading| reading.conn == conn)
    }

    /// The receiver has taken so many bytes: there may be room for more values.
    #[inline]
    pub(super) fn refill(&mut self, conn: ConnKey, stream: StreamKind, taken: usize, now: Now) {
        if !self.readings.0.is_empty() {
            self.read_on(conn, stream, taken, now);
        }
    }

    /// Fills a queue with the values that its connection waits for. Where live messages keep it full, values take up
    /// half of what was `taken` from it.
    fn read_on(&mut self, conn: ConnKey, stream: StreamKind, taken: usize, now: Now) {
        if self.conns.get(conn).is_none_or(|conn| conn.closing || conn.is_away()) {
            return;
        }
        let Some(class) = stream.class().and_then(MessageClass::of) else { return };
        if self.backlog_of(conn, stream) == 0 {
            self.readings
                .0
                .retain(|reading| !(reading.done && reading.conn == conn && reading.class == class));
        }
        let due = |reading: &Reading| reading.conn == conn && reading.class == class && !reading.done;
        let mut taken = taken as i64 / 2;
        while let Some(index) = self.readings.0.iter().position(due) {
            let Some(mut reading) = self.readings.0.remove(index) else { return };
            reading.share += std::mem::take(&mut taken);
            let before = self.backlog_of(conn, stream);
            let room = (PAGE_BYTES as i64 - before as i64).max(reading.share);
            reading.done = room > 0 && self.read_page(&mut reading, room as usize, now);
            let sent = (self.backlog_of(conn, stream) - before) as i64;
            reading.share = (reading.share - sent).max(-(PAGE_BYTES as i64)).min(0);
            let done = reading.done;
            if !done || class == MessageClass::Telemetry {
                self.readings.0.insert(index, reading);
            }
            if !done {
                return;
            }
        }
    }

    /// Sends about `room` bytes of values; true when those were the last.
    fn read_page(&mut self, reading: &mut Reading, room: usize, now: Now) -> bool {
        let done = self.put_values(reading, room, now);
        if let Wanted::Subscription(subscription, ..) = reading.wanted
            && done
        {
            let end = RetainedEnd { subscription };
            let stream = reading.class.stream();
            self.append(reading.conn, stream, |out| frame::put_message(out, kind::RETAINED_END, &end));
        }
        self.announce(reading.conn, reading.class.stream());
        done
    }

    fn put_values(&mut self, reading: &mut Reading, room: usize, now: Now) -> bool {
        let Some(conn) = self.conns.get_mut(reading.conn) else { return true };
        let (class, topics) = (reading.class, &self.topics);
        let queue = conn.messages(class);
        let (before, weight) = (queue.backlog(), queue.weight());
        let mut out = Out {
            queue,
            topics,
            publishers: &self.publishers,
            origins: &mut self.origins,
            body: &mut self.body,
            now,
        };
        let wanted = |value: &Value| value.class == class && reading.wanted.includes(value, topics);
        let field = reading.wanted.field();
        let named = reading.wanted.topic().filter(|_| reading.next == 0);
        let named = named.and_then(|topic| self.retained.of_topic(&topic, PAGE_BYTES));
        let mut done = true;
        if let Some(values) = named {
            values.into_iter().filter(|value| wanted(value)).for_each(|value| out.put(field, value));
        } else {
            let values =
                self.retained.since(reading.next).take_while(|(arrival, _)| *arrival <= reading.upto);
            for (visits, (arrival, value)) in values.enumerate() {
                if visits == VISITS || out.queue.backlog() - before >= room {
                    (reading.next, done) = (arrival, false);
                    break;
                }
                if wanted(value) {
                    out.put(field, value);
                }
            }
        }
        self.queued += out.queue.weight() - weight;
        done
    }

    /// Bytes that wait to be sent on a stream.
    pub(super) fn backlog_of(&mut self, conn: ConnKey, stream: StreamKind) -> usize {
        self.conns.get_mut(conn).and_then(|conn| conn.queue(stream)).map_or(0, |queue| queue.backlog())
    }
}

impl Wanted {
    /// The subscriptions field of what is sent.
    fn field(&self) -> &[u8] {
        match self {
            Wanted::Subscription(_, field, _) => field,
            Wanted::Store => &[],
        }
    }

    fn includes(&self, value: &Value, topics: &Topics) -> bool {
        match self {
            Wanted::Subscription(.., pattern) => {
                !value.gone && pattern.matches(&topics.get(value.topic).topic)
            }
            Wanted::Store => true,
        }
    }

    /// The only topic whose values are wanted, if it is one.
    fn topic(&self) -> Option<Topic> {
        match self {
            Wanted::Subscription(.., pattern) if pattern.is_literal() => pattern.as_str().parse().ok(),
            _ => None,
        }
    }
}

/// A queue that takes values from the store.
pub(super) struct Out<'a> {
    pub(super) queue: &'a mut Queue,
    pub(super) topics: &'a Topics,
    pub(super) publishers: &'a Publishers,
    pub(super) origins: &'a mut Origins,
    pub(super) body: &'a mut Body,
    pub(super) now: Now,
}

impl Out<'_> {
    /// Queues a value; nothing may drop it.
    pub(super) fn put(&mut self, subscriptions: &[u8], value: &Value) {
        let moving = Moving {
            class: value.class,
            topic: value.topic,
            publisher: value.publisher,
            sequence: value.sequence,
            stamp: value.stamp,
            retained: true,
            resent: false,
            redirected: false,
            key: "",
            message: &value.message,
            mark: Mark::default(),
            expires_ms: value
                .over_ms()
                .map_or(0, |over| self.now.elapsed_ms + over.saturating_sub(self.now.unix_ms)),
        };
        self.body.encode(moving);
        tell_aliases(self.queue, self.topics, self.publishers, moving);
        let Moving { topic, key, mark, expires_ms, .. } = moving;
        let entry = Entry { subscriptions, shared: self.body.shared(), topic, key, mark, expires_ms };
        self.queue.append(entry, self.origins);
    }
}
