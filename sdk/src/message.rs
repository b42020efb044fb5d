//! A received message, and who published it.

use crate::error::DecodeError;
use crate::trace::{self, TraceParent};
use crate::typed;
use bytes::Bytes;
use macula_proto::{Topic, slot, v1, wire};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// At least once: kept and sent again until it is accepted; loss is told.
    #[default]
    Event,
    /// At most once: cheap, and dropped where a receiver falls behind; loss is counted and told.
    Telemetry,
}

impl Class {
    pub(crate) fn wire(self) -> v1::Class {
        match self {
            Class::Event => v1::Class::Event,
            Class::Telemetry => v1::Class::Telemetry,
        }
    }
}

/// Identity of a publisher: sixteen bytes that a client chooses, at random unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublisherId(pub [u8; 16]);

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Topic and content type, shared by the messages that have them.
#[derive(Debug)]
pub(crate) struct TopicName {
    pub(crate) topic: Topic,
    pub(crate) content_type: String,
}

/// One run of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PublisherRun {
    pub(crate) id: PublisherId,
    pub(crate) epoch: u64,
}

/// A received message. It shares the memory it was received in: keep the payload for long only as a copy.
#[derive(Clone)]
pub struct Message {
    body: Bytes,
    payload: Range<u32>,
    key: Range<u32>,
    time_to_live_ms: u32,
    name: Arc<TopicName>,
    publisher: PublisherRun,
    sequence: u64,
    class: Class,
    retained: bool,
    removal: bool,
}

/// What a delivery says besides the message itself.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) name: Arc<TopicName>,
    pub(crate) publisher: PublisherRun,
    pub(crate) sequence: u64,
    pub(crate) class: Class,
    pub(crate) retained: bool,
}

impl Message {
    /// Reads an encoded message; `None` when it is none.
    #[inline]
    pub(crate) fn read(body: Bytes, envelope: Envelope) -> Option<Self> {
        let view = wire::Message::decode(&body).ok()?;
        let (payload, key) = (place(&body, view.payload), place(&body, view.key.as_bytes()));
        let Envelope { name, publisher, sequence, class, retained } = envelope;
        let (time_to_live_ms, removal) = (view.time_to_live_ms, view.remove);
        Some(Self {
            payload,
            key,
            time_to_live_ms,
            name,
            publisher,
            sequence,
            class,
            retained,
            removal,
            body,
        })
    }

    /// Bytes that it takes in all.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    /// The topic it was published to.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// if message.topic().as_str() == "home.measured" {
    ///     println!("a reading");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn topic(&self) -> &Topic {
        &self.name.topic
    }

    /// What the publisher wrote.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// println!("{}", String::from_utf8_lossy(message.payload()));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.body[self.payload.start as usize..self.payload.end as usize]
    }

    /// The payload as shared bytes, without copying.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// let shared: bytes::Bytes = message.payload_bytes();
    /// # Ok(())
    /// # }
    /// ```
    pub fn payload_bytes(&self) -> Bytes {
        self.body.slice(self.payload.start as usize..self.payload.end as usize)
    }

    /// The record key, empty when there is none.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// println!("a reading of {}", message.key());
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(&self) -> &str {
        let key = &self.body[self.key.start as usize..self.key.end as usize];
        std::str::from_utf8(key).expect("the key was UTF-8 when the message was read")
    }

    /// Its slot, 0 to 255: what a group that shares by hash divides among its members. By the key, or by the topic if
    /// there is none; the same on every gateway.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// let worker = usize::from(message.slot()) % 4;
    /// # Ok(())
    /// # }
    /// ```
    pub fn slot(&self) -> u8 {
        slot::of(self.key(), self.topic().as_str())
    }

    /// Media type of the payload, empty when the publisher named none.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// let is_json = message.content_type() == "application/json";
    /// # Ok(())
    /// # }
    /// ```
    pub fn content_type(&self) -> &str {
        &self.name.content_type
    }

    /// How it was delivered.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Class;
    /// let may_have_been_dropped = message.class() == Class::Telemetry;
    /// # Ok(())
    /// # }
    /// ```
    pub fn class(&self) -> Class {
        self.class
    }

    /// Who published it.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// println!("from {}", message.publisher());
    /// # Ok(())
    /// # }
    /// ```
    pub fn publisher(&self) -> PublisherId {
        self.publisher.id
    }

    /// Run of the publisher's process; a higher one is newer.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// let run = (message.publisher(), message.epoch());
    /// # Ok(())
    /// # }
    /// ```
    pub fn epoch(&self) -> u64 {
        self.publisher.epoch
    }

    /// Its number within publisher, epoch and class. Numbers rise; a subscriber that does not match all topics of
    /// a publisher sees some of them only.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// println!("number {} of {}", message.sequence(), message.publisher());
    /// # Ok(())
    /// # }
    /// ```
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A retained value from before the subscription, rather than a live message; or one that was published while the
    /// way from its publisher was cut, and has come from the store of another gateway, before what its publisher sent
    /// earlier. Should it come by the way of the others as well, it is not retained.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// if !message.retained() {
    ///     println!("news: {message:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn retained(&self) -> bool {
        self.retained
    }

    /// A removal: the retained value of this topic and key is no more. It may come with a payload, as a farewell.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// if message.is_removal() {
    ///     println!("{} is gone", message.key());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_removal(&self) -> bool {
        self.removal
    }

    /// How long after publication the message is of use; `None` for ever.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// println!("of use for {:?}", message.time_to_live());
    /// # Ok(())
    /// # }
    /// ```
    pub fn time_to_live(&self) -> Option<Duration> {
        (self.time_to_live_ms > 0).then(|| Duration::from_millis(u64::from(self.time_to_live_ms)))
    }

    /// Name and value of each header, in the publisher's order.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// for (name, value) in message.headers() {
    ///     println!("{name}: {value}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn headers(&self) -> Vec<(&str, &str)> {
        wire::Message::decode(&self.body).map(|view| view.headers()).unwrap_or_default()
    }

    /// Value of the first header of this name.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// let unit = message.header("unit").unwrap_or("W");
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().into_iter().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The trace that it belongs to, if it says so.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// if let Some(trace) = message.traceparent() {
    ///     println!("part of {:032x}", trace.trace_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.header(trace::HEADER)?.parse().ok()
    }

    /// The payload as a protobuf message.
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Reading;
    /// let reading: Reading = message.decode()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names topic, content type and the type asked for.
    pub fn decode<T: prost::Message + Default>(&self) -> Result<T, DecodeError> {
        typed::decode(self.topic().as_str(), self.content_type(), self.payload())
    }

    /// The payload as a protobuf message, unless its content type names another. See
    /// [`Subscribe::typed`](crate::Subscribe::typed).
    ///
    /// ```no_run
    /// # async fn example(message: macula_sdk::Message) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Reading;
    /// let reading: Reading = message.decode_typed()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names topic, content type and the type asked for.
    pub fn decode_typed<T: prost::Message + prost::Name + Default>(&self) -> Result<T, DecodeError> {
        typed::decode_typed(self.topic().as_str(), self.content_type(), self.payload())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", self.topic())
            .field("key", &self.key())
            .field("content_type", &self.content_type())
            .field("class", &self.class)
            .field("publisher", &format_args!("{}", self.publisher.id))
            .field("sequence", &self.sequence)
            .field("retained", &self.retained)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// Where `part`, which borrows from `whole`, lies in it.
#[inline]
pub(crate) fn place(whole: &[u8], part: &[u8]) -> Range<u32> {
    if part.is_empty() {
        return 0..0;
    }
    let start = (part.as_ptr() as usize - whole.as_ptr() as usize) as u32;
    start..start + part.len() as u32
}
