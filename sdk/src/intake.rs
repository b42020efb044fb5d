//! Cuts what arrives on an event or telemetry stream into deliveries and hands them to the subscriptions.

use crate::block::Delivery;
use crate::message::{Class, PublisherId, PublisherRun, TopicName};
use crate::subscription::Notification;
use crate::subscriptions::Subscriptions;
use bytes::Bytes;
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::wire::{self, Malformed};
use macula_proto::{Topic, kind, limits, v1};
use prost::Message as _;
use std::sync::Arc;

/// Aliases beyond this are taken for nonsense.
const ALIAS_LIMIT: usize = 1 << 24;

/// The receiving end of one class stream of one connection.
#[derive(Debug)]
pub(crate) struct Intake {
    splitter: Splitter,
    tables: Tables,
    chunk: u64,
}

#[derive(Debug)]
struct Tables {
    class: Class,
    topics: Vec<Option<Told<Arc<TopicName>>>>,
    publishers: Vec<Option<Told<PublisherRun>>>,
}

/// The meaning of an alias, and where it stands in the block that used it last.
#[derive(Debug)]
struct Told<T> {
    value: T,
    block: u64,
    index: u32,
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
        let tables = Tables { class, topics: Vec::new(), publishers: Vec::new() };
        Self { splitter: Splitter::new(limits::FRAME_BYTES), tables, chunk: 0 }
    }

    /// Takes the next chunk; gives the bytes that now wait for the application.
    pub(crate) fn receive(&mut self, chunk: &Bytes, to: &mut Subscriptions) -> Result<u64, Violation> {
        self.chunk += 1;
        let (serial, tables) = (self.chunk, &mut self.tables);
        let mut waiting = 0;
        self.splitter.split(chunk, |kind, body| {
            if kind == kind::DELIVER {
                waiting += tables.deliver(body, chunk, serial, to)?;
                return Ok(());
            }
            tables.frame(kind, body, to)
        })?;
        Ok(waiting)
    }
}

impl Tables {
    #[inline]
    fn deliver(
        &mut self,
        body: &[u8],
        chunk: &Bytes,
        serial: u64,
        to: &mut Subscriptions,
    ) -> Result<u64, Violation> {
        let deliver = wire::Deliver::decode(body)?;
        let (Some(topic), Some(publisher)) =
            (told(&mut self.topics, deliver.topic), told(&mut self.publishers, deliver.publisher))
        else {
            return Err(Violation::Other("a delivery names an alias that was never told".to_owned()));
        };
        let offset = (deliver.message.as_ptr() as usize).wrapping_sub(chunk.as_ptr() as usize);
        let lies_within = offset <= chunk.len() && deliver.message.len() <= chunk.len() - offset;
        let bytes = body.len() as u64;
        let mut waiting = 0;
        for number in deliver.subscriptions() {
            let Some((block, chunk_noted)) = to.stage(number, self.class) else { continue };
            let (chunk, start) = match lies_within {
                true if *chunk_noted == Some(serial) => (block.last_chunk(), offset as u32),
                true => {
                    *chunk_noted = Some(serial);
                    (block.add_chunk(chunk.clone()), offset as u32)
                }
                // The frame began in an earlier chunk and was put together elsewhere.
                false => {
                    *chunk_noted = None;
                    (block.add_chunk(Bytes::copy_from_slice(deliver.message)), 0)
                }
            };
            if topic.block != block.serial {
                (topic.block, topic.index) = (block.serial, block.add_topic(Arc::clone(&topic.value)));
            }
            if publisher.block != block.serial {
                (publisher.block, publisher.index) = (block.serial, block.add_publisher(publisher.value));
            }
            let delivery = Delivery {
                chunk,
                start,
                end: start + deliver.message.len() as u32,
                topic: topic.index,
                publisher: publisher.index,
                sequence: deliver.sequence,
                retained: deliver.retained,
            };
            block.push(delivery, bytes);
            waiting += bytes;
        }
        Ok(waiting)
    }

    #[cold]
    fn frame(&mut self, kind: u8, body: &[u8], to: &mut Subscriptions) -> Result<(), Violation> {
        match kind {
            kind::TOPIC_ALIAS => {
                let told = v1::TopicAlias::decode(body)?;
                let topic =
                    Topic::try_from(told.topic).map_err(|error| Violation::Other(error.to_string()))?;
                let name = Arc::new(TopicName { topic, content_type: told.content_type });
                note(&mut self.topics, told.alias, name)
            }
            kind::PUBLISHER_ALIAS => {
                let told = v1::PublisherAlias::decode(body)?;
                let id = <[u8; 16]>::try_from(&told.publisher[..])
                    .map_err(|_| Violation::Other("a publisher id has sixteen bytes".to_owned()))?;
                note(
                    &mut self.publishers,
                    told.alias,
                    PublisherRun { id: PublisherId(id), epoch: told.epoch },
                )
            }
            kind::DROPPED => {
                to.notice_all(self.class, &Notification::Dropped(v1::Dropped::decode(body)?.count));
                Ok(())
            }
            kind::GAP => {
                let count = v1::Gap::decode(body)?.count;
                to.notice_all(self.class, &Notification::Gap((count > 0).then_some(count)));
                Ok(())
            }
            kind::RETAINED_END => {
                to.retained_end(v1::RetainedEnd::decode(body)?.subscription, self.class);
                Ok(())
            }
            kind if kind >= kind::FIRST_SKIPPABLE => Ok(()),
            kind => Err(Violation::Other(format!("a frame of kind {kind:#04x} has no place on this stream"))),
        }
    }
}

#[inline]
fn told<T>(table: &mut [Option<Told<T>>], alias: u32) -> Option<&mut Told<T>> {
    table.get_mut(alias as usize)?.as_mut()
}

fn note<T>(table: &mut Vec<Option<Told<T>>>, alias: u32, value: T) -> Result<(), Violation> {
    let index = alias as usize;
    if index >= ALIAS_LIMIT {
        return Err(Violation::Other(format!("alias {alias} is over the limit")));
    }
    if index >= table.len() {
        table.resize_with(index + 1, || None);
    }
    table[index] = Some(Told { value, block: 0, index: 0 });
    Ok(())
}

#[cfg(test)]
mod tests;
