//! `$sys.retained`: the values of the store that match a pattern, read without subscribing.

use super::Node;
use super::system::{Answer, Reply};
use crate::retained::Value;
use crate::time::Now;
use macula_proto::Pattern;
use macula_proto::v1::{Call, Code, Message, RetainedValue, RetainedValues};
use prost::Message as _;

/// A part holds so many bytes of values at most, or one larger value.
const PART_BYTES: usize = 64 << 10;
/// What a part says of a value beside its names and message, at most.
const FRAMING_BYTES: usize = 96;
/// Values that are looked at for one part. Empty parts say that there may be more.
const VISITS: usize = 20_000;
/// What a single result holds of values at most, or one larger value.
const SINGLE_BYTES: usize = 1 << 20;
/// Bytes of values of one topic that are found by its name rather than by going through the store.
const NAMED_BYTES: usize = 1 << 20;

/// Where a reader is.
struct Place {
    pattern: Pattern,
    /// Bytes of one part at most.
    limit: usize,
    next: u64,
    /// What arrives later is not told: a store that changes all the time has an end, too.
    upto: u64,
}

/// Answers with parts of [`RetainedValues`]; the request is a pattern as text.
pub(super) fn retained(node: &mut Node, call: &Call, _: Now) -> Answer {
    let pattern = std::str::from_utf8(&call.payload).map_err(|error| error.to_string());
    let pattern = pattern.and_then(|text| text.trim().parse::<Pattern>().map_err(|error| error.to_string()));
    let pattern = match pattern {
        Ok(pattern) => pattern,
        Err(error) => {
            return Answer::Error(Code::InvalidArgument, format!("the payload is no pattern: {error}"));
        }
    };
    let limit = match call.credit {
        0 => SINGLE_BYTES,
        credit => usize::try_from(credit).unwrap_or(usize::MAX).min(PART_BYTES),
    };
    let mut place = Place { pattern, limit, next: 0, upto: node.retained.arrivals() };
    if place.pattern.is_literal()
        && let Ok(topic) = place.pattern.as_str().parse()
        && let Some(values) = node.retained.of_topic(&topic, NAMED_BYTES)
    {
        let mut parts = parts(node, values.into_iter().filter(|value| !value.gone), limit).into_iter();
        return Answer::Parts(Box::new(move |_| parts.next()));
    }
    Answer::Parts(Box::new(move |node| place.part(node)))
}

impl Place {
    fn part(&mut self, node: &Node) -> Option<Reply> {
        let (next, upto) = (self.next, self.upto);
        let arrivals = node.retained.since(next).take_while(|(arrival, _)| *arrival <= upto);
        let mut part = Part::default();
        let mut visited = false;
        for (arrival, value) in arrivals.take(VISITS) {
            let wanted = !value.gone && self.pattern.matches(&node.topics.get(value.topic).topic);
            if wanted && !part.add(node, value, self.limit) {
                break;
            }
            (self.next, visited) = (arrival + 1, true);
        }
        visited.then(|| part.reply())
    }
}

/// A part that is being filled.
#[derive(Default)]
struct Part {
    values: RetainedValues,
    bytes: usize,
}

impl Part {
    /// Adds a value; false when there is no room for it. There is always room for one.
    fn add(&mut self, node: &Node, value: &Value, limit: usize) -> bool {
        let name = node.topics.get(value.topic);
        let bytes =
            FRAMING_BYTES + name.topic.as_bytes().len() + name.content_type.len() + value.message.len();
        if self.bytes > 0 && self.bytes + bytes > limit {
            return false;
        }
        self.bytes += bytes;
        self.values.values.push(RetainedValue {
            topic: name.topic.to_string(),
            content_type: name.content_type.to_string(),
            publisher: value.id.id.to_vec().into(),
            epoch: value.id.epoch,
            class: value.class.wire().into(),
            sequence: value.sequence,
            stamp: value.stamp,
            message: Message::decode(&value.message[..]).ok(),
        });
        true
    }

    fn reply(self) -> Reply {
        let content_type = "application/x-protobuf; type=macula.v1.RetainedValues".to_owned();
        Reply { payload: self.values.encode_to_vec().into(), content_type }
    }
}

/// All values in parts.
fn parts<'a>(node: &Node, values: impl Iterator<Item = &'a Value>, limit: usize) -> Vec<Reply> {
    let mut parts = vec![Part::default()];
    for value in values {
        if let Some(last) = parts.last_mut()
            && !last.add(node, value, limit)
        {
            let mut next = Part::default();
            next.add(node, value, limit);
            parts.push(next);
        }
    }
    parts.into_iter().map(Part::reply).collect()
}
