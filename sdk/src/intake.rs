//! Cuts what arrives on an event or telemetry stream into deliveries and hands them to the subscriptions.
//!
//! A session may outlive its connections: then the count of frames and the aliases of the event stream go on, so that
//! the gateway can begin with the frame after the last one that has come whole.

use crate::block::Place;
use crate::message::{Class, PublisherId, PublisherRun, TopicName, place};
use crate::seen::Seen;
use crate::shares::Shares;
use crate::subscription::Notification;
use crate::subscriptions::Subscriptions;
use bytes::Bytes;
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::wire::{self, Malformed};
use macula_proto::{Topic, kind, limits, v1};
use prost::Message as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Aliases beyond this are taken for nonsense.
const ALIAS_LIMIT: usize = 1 << 24;

/// The receiving end of one class stream.
#[derive(Debug)]
pub(crate) struct Intake {
    splitter: Splitter,
    tables: Tables,
    /// The stream of this connection has come.
    open: bool,
}

#[derive(Debug)]
struct Tables {
    class: Class,
    /// Frames of the session that have come whole.
    frames: u64,
    topics: Vec<Option<Told<Arc<TopicName>>>>,
    publishers: Vec<Option<Told<Publisher>>>,
    aliases: HashMap<PublisherRun, u32>,
    /// What has been seen of publishers that have no alias now.
    seen: Seen,
    shares: Shares,
}

/// The meaning of an alias, and where it stands in the block that used it last.
#[derive(Debug)]
struct Told<T> {
    value: T,
    block: u64,
    index: u32,
}

#[derive(Clone, Copy, Debug)]
struct Publisher {
    run: PublisherRun,
    /// Highest sequence that has been delivered, but for those of groups.
    highest: u64,
}

/// The gateway broke the protocol on a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Decode(#[from] prost::DecodeError),
    #[error("{0}")]
    Other(String),
}

impl Intake {
    pub(crate) fn new(class: Class) -> Self {
        let tables = Tables {
            class,
            frames: 0,
            topics: Vec::new(),
            publishers: Vec::new(),
            aliases: HashMap::new(),
            seen: Seen::default(),
            shares: Shares::default(),
        };
        Self { splitter: Splitter::new(limits::FRAME_BYTES), tables, open: false }
    }

    /// A new connection, and so a new stream. With `resumed` it goes on where the last one stopped.
    pub(crate) fn restart(&mut self, resumed: bool) {
        self.splitter = Splitter::new(limits::FRAME_BYTES);
        self.open = false;
        if !resumed {
            self.tables.restart();
        }
    }

    /// The stream of this connection begins; there is only one.
    pub(crate) fn begin(&mut self) -> Result<(), Violation> {
        match std::mem::replace(&mut self.open, true) {
            false => Ok(()),
            true => Err(Violation::Other("a second stream of its class".to_owned())),
        }
    }

    /// Frames of the session that have come whole.
    pub(crate) fn position(&self) -> u64 {
        self.tables.frames
    }

    /// Takes the next chunk; gives the bytes that now wait for the application.
    pub(crate) fn receive(&mut self, chunk: &Bytes, to: &mut Subscriptions) -> Result<u64, Violation> {
        let (tables, mut waiting) = (&mut self.tables, 0);
        self.splitter.split_shared(chunk, |kind, body, memory| {
            tables.frames += 1;
            if kind == kind::DELIVER {
                waiting += tables.deliver(body, memory, to)?;
                return Ok(());
            }
            waiting += tables.frame(kind, body, to)?;
            Ok::<(), Violation>(())
        })?;
        Ok(waiting)
    }
}

impl Tables {
    #[inline]
    fn deliver(&mut self, body: &[u8], memory: &Bytes, to: &mut Subscriptions) -> Result<u64, Violation> {
        let deliver = wire::Deliver::decode(body)?;
        let (Some(topic), Some(publisher)) =
            (told(&mut self.topics, deliver.topic), told(&mut self.publishers, deliver.publisher))
        else {
            return Err(Violation::Other("a delivery names an alias that was never told".to_owned()));
        };
        // Retained values come out of the order of their publishers; one that a store has brought late may be older.
        if self.class == Class::Event && deliver.retained {
            if deliver.resent && deliver.sequence <= publisher.value.highest {
                return Ok(0);
            }
        } else if self.class == Class::Event {
            // What a group is given comes in a frame of its own.
            let shared = deliver.subscriptions().next().filter(|number| to.is_shared(*number));
            let highest = &mut publisher.value.highest;
            let fresh = match shared {
                Some(number) => self.shares.admit(number, publisher.value.run, deliver.sequence),
                None => deliver.sequence > std::mem::replace(highest, (*highest).max(deliver.sequence)),
            };
            if deliver.resent && !fresh {
                return Ok(0);
            }
        }
        let message = place(memory, deliver.message);
        let bytes = body.len() as u64;
        let position = self.frames;
        let mut waiting = 0;
        for number in deliver.subscriptions() {
            let Some(block) = to.stage(number, self.class, position) else { continue };
            let chunk = block.chunk(memory);
            if topic.block != block.serial {
                (topic.block, topic.index) = (block.serial, block.add_topic(Arc::clone(&topic.value)));
            }
            if publisher.block != block.serial {
                (publisher.block, publisher.index) = (block.serial, block.add_publisher(publisher.value.run));
            }
            let place = Place {
                chunk,
                start: message.start,
                end: message.end,
                topic: topic.index,
                publisher: publisher.index,
                sequence: deliver.sequence,
                retained: deliver.retained,
            };
            block.push(place, bytes, position);
            waiting += bytes;
        }
        Ok(waiting)
    }

    /// Anything but a delivery; gives the bytes that now wait for the application.
    #[cold]
    fn frame(&mut self, kind: u8, body: &[u8], to: &mut Subscriptions) -> Result<u64, Violation> {
        let bytes = body.len() as u64;
        match kind {
            kind::TOPIC_ALIAS => {
                let told = v1::TopicAlias::decode(body)?;
                let topic =
                    Topic::try_from(told.topic).map_err(|error| Violation::Other(error.to_string()))?;
                let name = Arc::new(TopicName { topic, content_type: told.content_type });
                note(&mut self.topics, told.alias, name)?;
                Ok(0)
            }
            kind::PUBLISHER_ALIAS => {
                let told = v1::PublisherAlias::decode(body)?;
                let id = <[u8; 16]>::try_from(&told.publisher[..])
                    .map_err(|_| Violation::Other("a publisher id has sixteen bytes".to_owned()))?;
                self.publisher(told.alias, PublisherRun { id: PublisherId(id), epoch: told.epoch })
            }
            kind::DROPPED => {
                let notice = Notification::Dropped(v1::Dropped::decode(body)?.count);
                Ok(to.notice_all(self.class, &notice, bytes, self.frames))
            }
            kind::GAP => {
                let count = v1::Gap::decode(body)?.count;
                let notice = Notification::Gap((count > 0).then_some(count));
                Ok(to.notice_all(self.class, &notice, bytes, self.frames))
            }
            kind::RETAINED_END => {
                to.retained_end(v1::RetainedEnd::decode(body)?.subscription, self.class, self.frames);
                Ok(0)
            }
            kind::EXPIRED => Ok(0),
            kind if kind >= kind::FIRST_SKIPPABLE => Ok(0),
            kind => Err(Violation::Other(format!("a frame of kind {kind:#04x} has no place on this stream"))),
        }
    }

    fn publisher(&mut self, alias: u32, run: PublisherRun) -> Result<u64, Violation> {
        // A publisher that has had an alias before takes along what has been seen of it.
        let earlier = self.aliases.insert(run, alias);
        let earlier = earlier.and_then(|earlier| told(&mut self.publishers, earlier));
        let highest = match earlier {
            Some(told) if told.value.run == run => told.value.highest,
            _ => self.seen.take(&run),
        };
        let before = note(&mut self.publishers, alias, Publisher { run, highest })?;
        if let Some(before) = before.filter(|before| before.run != run)
            && self.aliases.get(&before.run) == Some(&alias)
        {
            self.aliases.remove(&before.run);
            self.seen.put(before.run, before.highest, Instant::now());
        }
        Ok(0)
    }

    fn restart(&mut self) {
        let now = Instant::now();
        for told in self.publishers.drain(..).flatten() {
            self.seen.put(told.value.run, told.value.highest, now);
        }
        self.aliases.clear();
        self.topics.clear();
        self.frames = 0;
    }
}

#[inline]
fn told<T>(table: &mut [Option<Told<T>>], alias: u32) -> Option<&mut Told<T>> {
    table.get_mut(alias as usize)?.as_mut()
}

/// Notes what an alias means from now on; gives what it meant before.
fn note<T>(table: &mut Vec<Option<Told<T>>>, alias: u32, value: T) -> Result<Option<T>, Violation> {
    let index = alias as usize;
    if index >= ALIAS_LIMIT {
        return Err(Violation::Other(format!("alias {alias} is over the limit")));
    }
    if index >= table.len() {
        table.resize_with(index + 1, || None);
    }
    let before = table[index].replace(Told { value, block: 0, index: 0 });
    Ok(before.map(|told| told.value))
}

#[cfg(test)]
mod tests;
