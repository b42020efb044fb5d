//! What one read of a stream brought for one subscription: places in the received chunks, not messages yet.
//!
//! The I/O thread notes where each message lies; the application's thread makes [`Message`]s of them. So shared
//! counters are touched once per block by the one and by nobody else but the other.

use crate::message::{Class, Envelope, Message, PublisherRun, TopicName};
use crate::subscription::Notification;
use bytes::Bytes;
use std::sync::Arc;

/// Deliveries in order, with what they refer to.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) class: Class,
    /// Tells the tables of the I/O thread whether their entries are noted here.
    pub(crate) serial: u64,
    /// Bytes of the frames, which the application's taking them gives back as credit.
    pub(crate) bytes: u64,
    items: Vec<Item>,
    chunks: Vec<Bytes>,
    topics: Vec<Arc<TopicName>>,
    publishers: Vec<PublisherRun>,
    next: usize,
}

#[derive(Debug)]
enum Item {
    Delivery(Delivery),
    Notice(Notification),
}

/// Where a message lies and what its numbers are in the block's tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) chunk: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) topic: u32,
    pub(crate) publisher: u32,
    pub(crate) sequence: u64,
    pub(crate) retained: bool,
}

impl Block {
    /// Makes an emptied block ready for another use.
    pub(crate) fn reset(&mut self, class: Class, serial: u64) {
        self.items.clear();
        self.chunks.clear();
        self.topics.clear();
        self.publishers.clear();
        self.next = 0;
        self.bytes = 0;
        self.class = class;
        self.serial = serial;
    }

    pub(crate) fn push(&mut self, delivery: Delivery, bytes: u64) {
        self.items.push(Item::Delivery(delivery));
        self.bytes += bytes;
    }

    pub(crate) fn notice(&mut self, notice: Notification) {
        self.items.push(Item::Notice(notice));
    }

    pub(crate) fn add_chunk(&mut self, chunk: Bytes) -> u32 {
        self.chunks.push(chunk);
        self.chunks.len() as u32 - 1
    }

    /// The chunk that was added last.
    pub(crate) fn last_chunk(&self) -> u32 {
        self.chunks.len() as u32 - 1
    }

    pub(crate) fn add_topic(&mut self, topic: Arc<TopicName>) -> u32 {
        self.topics.push(topic);
        self.topics.len() as u32 - 1
    }

    pub(crate) fn add_publisher(&mut self, publisher: PublisherRun) -> u32 {
        self.publishers.push(publisher);
        self.publishers.len() as u32 - 1
    }

    /// Items that [`Block::next`] has not given.
    pub(crate) fn remaining(&self) -> usize {
        self.items.len() - self.next
    }
}

impl Iterator for Block {
    type Item = Notification;

    #[inline]
    fn next(&mut self) -> Option<Notification> {
        loop {
            let item = self.items.get_mut(self.next)?;
            self.next += 1;
            let delivery = match item {
                Item::Delivery(delivery) => *delivery,
                Item::Notice(notice) => return Some(std::mem::replace(notice, Notification::RetainedEnd)),
            };
            let body =
                self.chunks[delivery.chunk as usize].slice(delivery.start as usize..delivery.end as usize);
            let envelope = Envelope {
                name: Arc::clone(&self.topics[delivery.topic as usize]),
                publisher: self.publishers[delivery.publisher as usize],
                sequence: delivery.sequence,
                class: self.class,
                retained: delivery.retained,
            };
            // The gateway reads each message before it forwards it, so there is none that we cannot read.
            if let Some(message) = Message::read(body, envelope) {
                return Some(Notification::Message(message));
            }
        }
    }
}
