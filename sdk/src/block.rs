//! What one read of a stream brought for one subscription: places in the received chunks, not messages yet.
//!
//! The I/O thread notes where each message lies; the application's thread makes [`Message`]s of them. So shared
//! counters are touched once per block by the one and by nobody else but the other.

use crate::acks::Hold;
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
    /// Bytes whose credit was given back before they were taken.
    pub(crate) aside: u64,
    /// Bytes of its class that had been received when it was handed over.
    pub(crate) at: u64,
    /// The subscription, if its messages are acknowledged by hand.
    pub(crate) manual: Option<u32>,
    /// Position of the first frame on the event stream; 0 where nothing has to be acknowledged.
    pub(crate) first: u64,
    /// Position of each item that is to be acknowledged by hand.
    pub(crate) positions: Vec<u64>,
    /// What keeps these frames from being acknowledged until the application is done with them.
    pub(crate) hold: Option<Hold>,
    items: Vec<Item>,
    chunks: Vec<Bytes>,
    topics: Vec<Arc<TopicName>>,
    publishers: Vec<PublisherRun>,
    next: usize,
}

#[derive(Debug)]
enum Item {
    Message(Place),
    /// Rare, and much larger than a place.
    Notice(Box<Notification>),
}

/// Where a message lies and what its numbers are in the block's tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) chunk: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) topic: u32,
    pub(crate) publisher: u32,
    pub(crate) sequence: u64,
    pub(crate) retained: bool,
}

impl Block {
    /// Makes an emptied block ready for another use, beginning with the frame at this position.
    pub(crate) fn reset(&mut self, class: Class, serial: u64, manual: Option<u32>, first: u64) {
        self.items.clear();
        self.chunks.clear();
        self.topics.clear();
        self.publishers.clear();
        self.positions.clear();
        self.next = 0;
        (self.bytes, self.aside) = (0, 0);
        self.hold = None;
        self.class = class;
        self.serial = serial;
        self.manual = manual;
        self.first = first;
    }

    #[inline]
    pub(crate) fn push(&mut self, place: Place, bytes: u64, position: u64) {
        self.items.push(Item::Message(place));
        self.bytes += bytes;
        self.note(position);
    }

    pub(crate) fn notice(&mut self, notice: Notification, bytes: u64, position: u64) {
        self.items.push(Item::Notice(Box::new(notice)));
        self.bytes += bytes;
        self.note(position);
    }

    #[inline]
    fn note(&mut self, position: u64) {
        if self.manual.is_some() && position > 0 {
            self.positions.push(position);
        }
    }

    /// The place of a chunk, which is added unless it is the last one there.
    #[inline]
    pub(crate) fn chunk(&mut self, chunk: &Bytes) -> u32 {
        if self.chunks.last().is_none_or(|last| last.as_ptr() != chunk.as_ptr()) {
            self.chunks.push(chunk.clone());
        }
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

    /// Bytes of its frames.
    pub(crate) fn size(&self) -> u64 {
        self.bytes + self.aside
    }

    /// Items that have not been given.
    pub(crate) fn remaining(&self) -> usize {
        self.items.len() - self.next
    }

    /// The hold of the item that was given last.
    pub(crate) fn given(&self) -> Option<Hold> {
        Some(self.hold?.plus(self.next.checked_sub(1)?))
    }

    /// All items, given or not.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

impl Block {
    /// The next item; inside it none where a message cannot be read.
    #[inline]
    pub(crate) fn step(&mut self) -> Option<Option<Notification>> {
        let item = self.items.get_mut(self.next)?;
        self.next += 1;
        let place = match item {
            Item::Message(place) => *place,
            Item::Notice(notice) => {
                return Some(Some(std::mem::replace(&mut **notice, Notification::RetainedEnd)));
            }
        };
        let body = self.chunks[place.chunk as usize].slice(place.start as usize..place.end as usize);
        let envelope = Envelope {
            name: Arc::clone(&self.topics[place.topic as usize]),
            publisher: self.publishers[place.publisher as usize],
            sequence: place.sequence,
            class: self.class,
            retained: place.retained,
        };
        Some(Message::read(body, envelope).map(Notification::Message))
    }
}

impl Iterator for Block {
    type Item = Notification;

    #[inline]
    fn next(&mut self) -> Option<Notification> {
        loop {
            // The gateway reads each message before it forwards it, so there is none that we cannot read.
            if let Some(notification) = self.step()? {
                return Some(notification);
            }
        }
    }
}
