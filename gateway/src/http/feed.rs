//! What a subscription over HTTP shows: frames of the session protocol as JSON objects, one event or line each.

use super::request::Request;
use bytes::Bytes;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Code, Deliver, Dropped, Gap, Message, PublisherAlias, TopicAlias};
use prost::Message as _;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How the objects follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Server-sent events.
    EventStream,
    /// One object a line.
    JsonLines,
}

impl Format {
    pub(super) const EVENT_STREAM: &str = "text/event-stream";
    pub(super) const JSON_LINES: &str = "application/x-ndjson";

    pub(super) fn of(content_type: &str) -> Self {
        if content_type == Self::JSON_LINES { Self::JsonLines } else { Self::EventStream }
    }
}

/// Something that a subscriber is shown.
#[derive(Debug)]
pub(super) enum Item {
    Message(Map<String, Value>),
    /// So many were lost here; `None` when nobody knows how many.
    Loss {
        event: &'static str,
        class: &'static str,
        count: Option<u64>,
    },
    /// The retained values have been sent.
    RetainedEnd,
    /// The gateway is about to stop.
    Moving,
    /// The gateway ended the subscription.
    Closed(Code, String),
    /// Nothing has come for a while.
    Silence,
}

/// Reads the frames of one subscription.
pub(super) struct Feed<'a> {
    request: &'a Request<'a>,
    format: Format,
    events: Aliases,
    telemetry: Aliases,
    /// Class streams on which the retained values have ended.
    ended: u8,
}

/// What the aliases of a stream stand for.
#[derive(Default)]
struct Aliases {
    topics: HashMap<u32, TopicAlias>,
    publishers: HashMap<u32, PublisherAlias>,
}

impl<'a> Feed<'a> {
    pub(super) fn new(request: &'a Request<'a>, format: Format) -> Self {
        Self { request, format, events: Aliases::default(), telemetry: Aliases::default(), ended: 0 }
    }

    /// What a frame shows, if it shows something.
    pub(super) fn item(&mut self, stream: StreamKind, kind: u8, body: Bytes) -> Option<Item> {
        let (aliases, class) = match stream {
            StreamKind::Event => (&mut self.events, "event"),
            StreamKind::Telemetry => (&mut self.telemetry, "telemetry"),
            _ => return None,
        };
        let told = |count| Some(count).filter(|count| *count > 0);
        match kind {
            kind::TOPIC_ALIAS => {
                let told = TopicAlias::decode(body).ok()?;
                aliases.topics.insert(told.alias, told);
                None
            }
            kind::PUBLISHER_ALIAS => {
                let told = PublisherAlias::decode(body).ok()?;
                aliases.publishers.insert(told.alias, told);
                None
            }
            kind::DROPPED => {
                let count = told(Dropped::decode(body).ok()?.count);
                Some(Item::Loss { event: "dropped", class, count })
            }
            kind::GAP => Some(Item::Loss { event: "gap", class, count: told(Gap::decode(body).ok()?.count) }),
            kind::RETAINED_END => {
                self.ended += 1;
                (self.ended == 2).then_some(Item::RetainedEnd)
            }
            kind::DELIVER => message(self.request, aliases, class, Deliver::decode(body).ok()?),
            _ => None,
        }
    }

    /// An item as it is sent.
    pub(super) fn text(&self, item: &Item) -> String {
        let (event, data) = match item {
            Item::Message(object) => {
                return match (self.format, serde_json::to_string(object).unwrap_or_default()) {
                    (Format::EventStream, object) => format!("data: {object}\n\n"),
                    (Format::JsonLines, object) => format!("{object}\n"),
                };
            }
            Item::Silence => {
                return match self.format {
                    Format::EventStream => ": still here\n\n".to_owned(),
                    Format::JsonLines => "\n".to_owned(),
                };
            }
            Item::Loss { event, class, count } => (*event, json!({ "class": class, "count": count })),
            Item::RetainedEnd => ("retained-end", json!({})),
            Item::Moving => ("moving", json!({})),
            Item::Closed(code, message) => {
                ("closed", json!({ "code": code.as_str_name(), "message": message }))
            }
        };
        match self.format {
            Format::EventStream => format!("event: {event}\ndata: {data}\n\n"),
            Format::JsonLines => {
                let mut line = json!({ "event": event });
                if let (Some(line), Value::Object(data)) = (line.as_object_mut(), data) {
                    line.extend(data);
                }
                format!("{line}\n")
            }
        }
    }
}

fn message(request: &Request<'_>, aliases: &Aliases, class: &'static str, deliver: Deliver) -> Option<Item> {
    let topic = aliases.topics.get(&deliver.topic)?;
    let publisher = aliases.publishers.get(&deliver.publisher)?;
    let shown = Shown {
        topic: &topic.topic,
        content_type: &topic.content_type,
        class,
        publisher: &publisher.publisher,
        epoch: publisher.epoch,
        sequence: deliver.sequence,
        retained: deliver.retained,
        resent: deliver.resent,
    };
    Some(Item::Message(shown.object(request, deliver.message.unwrap_or_default())))
}

/// What is shown of a message beside what its publisher wrote.
pub(super) struct Shown<'a> {
    pub(super) topic: &'a str,
    pub(super) content_type: &'a str,
    pub(super) class: &'static str,
    pub(super) publisher: &'a [u8],
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) retained: bool,
    pub(super) resent: bool,
}

impl Shown<'_> {
    /// The message as an object.
    pub(super) fn object(&self, request: &Request<'_>, message: Message) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("topic", self.topic.into());
        put("key", message.key.into());
        put("class", self.class.into());
        put("publisher", self.publisher.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into());
        put("epoch", self.epoch.into());
        put("sequence", self.sequence.into());
        if self.retained {
            put("retained", true.into());
        }
        if self.resent {
            put("resent", true.into());
        }
        if message.remove {
            put("remove", true.into());
        }
        if !message.headers.is_empty() {
            let headers = message.headers.into_iter().map(|header| (header.name, header.value));
            put("headers", headers.collect());
        }
        put("content_type", self.content_type.into());
        request.show(&mut object, self.content_type, &message.payload);
        object
    }
}
