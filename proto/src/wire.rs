//! Hand-written encoding and decoding of the frames on the message path.
//!
//! [`v1::Publish`](crate::v1::Publish), [`v1::Deliver`](crate::v1::Deliver) and
//! [`v1::Message`](crate::v1::Message) as views that borrow from the received bytes: no allocation, no copy.
//! The bytes are plain protobuf; tests hold the two implementations against each other. Every view takes
//! fields in any order and skips unknown ones; of repeated scalars it takes the packed form only.

use crate::varint;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The body of a frame is not what its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf body")]
pub struct Malformed;

/// One field of a protobuf message.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number; no message here has one, so its value is of no interest.
    Fixed,
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64, Malformed> {
        match self {
            Value::Number(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    fn narrow(self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// Calls `each` with number and value of every field of `body`.
#[inline]
fn fields<'a>(
    mut body: &'a [u8],
    mut each: impl FnMut(u64, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !body.is_empty() {
        let tag = number(&mut body)?;
        let value = match tag & 7 {
            VARINT => Value::Number(number(&mut body)?),
            BYTES => {
                let length = usize::try_from(number(&mut body)?).map_err(|_| Malformed)?;
                Value::Bytes(take(&mut body, length)?)
            }
            FIXED64 => take(&mut body, 8).map(|_| Value::Fixed)?,
            FIXED32 => take(&mut body, 4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        each(tag >> 3, value)?;
    }
    Ok(())
}

#[inline]
fn number(body: &mut &[u8]) -> Result<u64, Malformed> {
    match varint::get(body) {
        Ok(Some((value, taken))) => {
            *body = &body[taken..];
            Ok(value)
        }
        _ => Err(Malformed),
    }
}

#[inline]
fn take<'a>(body: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = body.split_at_checked(length).ok_or(Malformed)?;
    *body = tail;
    Ok(head)
}

/// A [`v1::Publish`](crate::v1::Publish) whose message is left encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Alias that the sender gave the topic.
    pub topic: u32,
    /// Number of the message within publisher, epoch and class.
    pub sequence: u64,
    /// Encoded [`v1::Message`](crate::v1::Message).
    pub message: &'a [u8],
    /// The publisher waits to hear how many receivers there are.
    pub report: bool,
}

impl<'a> Publish<'a> {
    /// Reads a frame body.
    ///
    /// # Errors
    /// [`Malformed`] when it is no protobuf or a field has the wrong type.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut publish = Self::default();
        fields(body, |field, value| {
            match field {
                1 => publish.topic = value.narrow()?,
                2 => publish.sequence = value.number()?,
                3 => publish.message = value.bytes()?,
                4 => publish.report = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(publish)
    }
}

/// A [`v1::Deliver`](crate::v1::Deliver) whose message is left encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliver<'a> {
    /// Packed subscription numbers; [`Deliver::subscriptions`] reads them.
    pub packed: &'a [u8],
    /// Alias that the sender gave the topic.
    pub topic: u32,
    /// Alias that the sender gave the publisher.
    pub publisher: u32,
    /// Number of the message within publisher, epoch and class.
    pub sequence: u64,
    /// A retained value from the store rather than a live message.
    pub retained: bool,
    /// Hybrid logical time of a message with `retain`, else 0.
    pub stamp: u64,
    /// Encoded [`v1::Message`](crate::v1::Message).
    pub message: &'a [u8],
    /// The receiver may have it already.
    pub resent: bool,
    /// Between gateways: packed members of groups; [`Deliver::members`] reads them.
    pub packed_members: &'a [u8],
    /// Between gateways: for the members only.
    pub redirected: bool,
}

impl<'a> Deliver<'a> {
    /// Reads a frame body.
    ///
    /// # Errors
    /// [`Malformed`] when it is no protobuf or a field has the wrong type.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut deliver = Self::default();
        fields(body, |field, value| {
            match field {
                1 => deliver.packed = value.bytes()?,
                2 => deliver.topic = value.narrow()?,
                3 => deliver.publisher = value.narrow()?,
                4 => deliver.sequence = value.number()?,
                5 => deliver.retained = value.number()? != 0,
                6 => deliver.stamp = value.number()?,
                7 => deliver.message = value.bytes()?,
                8 => deliver.resent = value.number()? != 0,
                9 => deliver.packed_members = value.bytes()?,
                10 => deliver.redirected = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(deliver)
    }

    /// The subscriptions that match; ends early at bytes that are no number.
    pub fn subscriptions(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut rest = self.packed;
        std::iter::from_fn(move || {
            let value = number(&mut rest).ok()?;
            u32::try_from(value).ok()
        })
    }

    /// The members of groups that the message is for; ends early at bytes that are no number.
    pub fn members(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut rest = self.packed_members;
        std::iter::from_fn(move || number(&mut rest).ok())
    }

    /// Appends the part of the body that is the same for every receiver: all but the subscriptions and members.
    #[inline]
    pub fn encode_shared(&self, out: &mut Vec<u8>) {
        put_number(out, 2, u64::from(self.topic));
        put_number(out, 3, u64::from(self.publisher));
        put_number(out, 4, self.sequence);
        if self.retained {
            put_number(out, 5, 1);
        }
        if self.stamp != 0 {
            put_number(out, 6, self.stamp);
        }
        put_bytes(out, 7, self.message);
        if self.resent {
            put_number(out, 8, 1);
        }
        if self.redirected {
            put_number(out, 10, 1);
        }
    }
}

/// Appends the members field of a [`v1::Deliver`](crate::v1::Deliver).
pub fn encode_members(out: &mut Vec<u8>, members: &[u64]) {
    let length: usize = members.iter().map(|&id| varint::len(id)).sum();
    varint::put_behind(out, tag(9, BYTES), length as u64);
    for &id in members {
        varint::put(out, id);
    }
}

/// Appends the subscriptions field of a [`v1::Deliver`](crate::v1::Deliver).
pub fn encode_subscriptions(out: &mut Vec<u8>, subscriptions: &[u32]) {
    let length: usize = subscriptions.iter().map(|&id| varint::len(u64::from(id))).sum();
    varint::put_behind(out, tag(1, BYTES), length as u64);
    for &id in subscriptions {
        varint::put(out, u64::from(id));
    }
}

/// Appends a whole [`v1::Publish`](crate::v1::Publish) frame.
#[inline]
pub fn encode_publish(out: &mut Vec<u8>, topic: u32, sequence: u64, message: &Message<'_>, report: bool) {
    let inner = message.encoded_len();
    let body =
        1 + varint::len(u64::from(topic)) + 1 + varint::len(sequence) + 1 + varint::len(inner as u64) + inner;
    let body = if report { body + 2 } else { body };
    out.reserve(body + 2 * varint::MAX_BYTES);
    varint::put(out, body as u64 + 1);
    out.push(crate::kind::PUBLISH);
    put_number(out, 1, u64::from(topic));
    put_number(out, 2, sequence);
    varint::put_behind(out, tag(3, BYTES), inner as u64);
    message.encode(out);
    if report {
        put_number(out, 4, 1);
    }
}

/// What the application wrote, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The record key, empty for none.
    pub key: &'a str,
    /// The encoded header fields, tags and all, one after the other; [`Message::headers`] reads them.
    headers: &'a [u8],
    /// Milliseconds of life, 0 for ever.
    pub time_to_live_ms: u32,
    /// Kept as the value of (topic, key).
    pub retain: bool,
    /// The value of (topic, key) is to be forgotten.
    pub remove: bool,
}

impl<'a> Message<'a> {
    /// A message without headers.
    pub fn new(payload: &'a [u8], key: &'a str) -> Self {
        Self { payload, key, ..Self::default() }
    }

    /// Sets the header fields, encoded by [`encode_header`].
    pub fn with_headers(mut self, encoded: &'a [u8]) -> Self {
        self.headers = encoded;
        self
    }

    /// Reads an encoded message.
    ///
    /// # Errors
    /// [`Malformed`] when it is no protobuf, a field has the wrong type, or the key is no UTF-8.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        fields(body, |field, value| {
            match field {
                1 => message.payload = value.bytes()?,
                2 => message.key = std::str::from_utf8(value.bytes()?).map_err(|_| Malformed)?,
                3 => {
                    value.bytes()?;
                    // From the first header on; what else comes between is skipped when they are read.
                    if message.headers.is_empty() {
                        message.headers = body;
                    }
                }
                4 => message.time_to_live_ms = value.narrow()?,
                5 => message.retain = value.number()? != 0,
                6 => message.remove = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(message)
    }

    /// Name and value of each header; those that are no UTF-8 are left out.
    pub fn headers(&self) -> Vec<(&'a str, &'a str)> {
        let mut headers = Vec::new();
        let _ = fields(self.headers, |field, value| {
            if field == 3 {
                let (mut name, mut text) = (&b""[..], &b""[..]);
                fields(value.bytes()?, |field, value| {
                    match field {
                        1 => name = value.bytes()?,
                        2 => text = value.bytes()?,
                        _ => {}
                    }
                    Ok(())
                })?;
                if let (Ok(name), Ok(text)) = (std::str::from_utf8(name), std::str::from_utf8(text)) {
                    headers.push((name, text));
                }
            }
            Ok(())
        });
        headers
    }

    /// Bytes that [`Message::encode`] writes.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        let mut length = field_len(self.payload.len()) + field_len(self.key.len()) + self.headers.len();
        if self.time_to_live_ms != 0 {
            length += 1 + varint::len(u64::from(self.time_to_live_ms));
        }
        length + if self.retain { 2 } else { 0 } + if self.remove { 2 } else { 0 }
    }

    /// Appends the encoded message.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        if !self.payload.is_empty() {
            put_bytes(out, 1, self.payload);
        }
        if !self.key.is_empty() {
            put_bytes(out, 2, self.key.as_bytes());
        }
        out.extend_from_slice(self.headers);
        if self.time_to_live_ms != 0 {
            put_number(out, 4, u64::from(self.time_to_live_ms));
        }
        if self.retain {
            put_number(out, 5, 1);
        }
        if self.remove {
            put_number(out, 6, 1);
        }
    }
}

/// Appends one header field for [`Message::with_headers`].
pub fn encode_header(out: &mut Vec<u8>, name: &str, value: &str) {
    varint::put_behind(out, tag(3, BYTES), (field_len(name.len()) + field_len(value.len())) as u64);
    for (field, text) in [(1, name), (2, value)] {
        if !text.is_empty() {
            put_bytes(out, field, text.as_bytes());
        }
    }
}

/// Bytes of a length-delimited field with a one-byte tag; empty ones are left out.
#[inline]
fn field_len(length: usize) -> usize {
    if length == 0 { 0 } else { 1 + varint::len(length as u64) + length }
}

/// Number and type of a field, as it begins; ours are all below 16, and take one byte.
#[inline]
const fn tag(field: u64, kind: u64) -> u8 {
    debug_assert!(field < 16, "a tag of one byte");
    (field << 3 | kind) as u8
}

#[inline]
fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint::put_behind(out, tag(field, VARINT), value);
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint::put_behind(out, tag(field, BYTES), bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use proptest::prelude::*;
    use prost::Message as _;

    fn message() -> impl Strategy<Value = v1::Message> {
        let header = (".{0,8}", ".{0,8}").prop_map(|(name, value)| v1::Header { name, value });
        (any::<Vec<u8>>(), ".{0,12}", prop::collection::vec(header, 0..3), any::<u32>(), any::<[bool; 2]>())
            .prop_map(|(payload, key, headers, time_to_live_ms, [retain, remove])| v1::Message {
                payload: payload.into(),
                key,
                headers,
                time_to_live_ms,
                retain,
                remove,
            })
    }

    proptest! {
        #[test]
        fn messages_read_as_prost_reads_them(message in message()) {
            let bytes = message.encode_to_vec();
            let view = Message::decode(&bytes).unwrap();
            prop_assert_eq!(view.payload, &message.payload[..]);
            prop_assert_eq!(view.key, &message.key);
            prop_assert_eq!(view.time_to_live_ms, message.time_to_live_ms);
            prop_assert_eq!((view.retain, view.remove), (message.retain, message.remove));
            let headers: Vec<_> = message.headers.iter().map(|h| (&h.name[..], &h.value[..])).collect();
            prop_assert_eq!(view.headers(), headers);
        }

        #[test]
        fn prost_reads_what_we_write(message in message(), topic: u32, sequence: u64, report: bool) {
            let mut headers = Vec::new();
            for header in &message.headers {
                encode_header(&mut headers, &header.name, &header.value);
            }
            let mut view = Message::new(&message.payload, &message.key).with_headers(&headers);
            view.time_to_live_ms = message.time_to_live_ms;
            (view.retain, view.remove) = (message.retain, message.remove);
            let mut frame = Vec::new();
            encode_publish(&mut frame, topic, sequence, &view, report);
            let (length, taken) = varint::get(&frame).unwrap().unwrap();
            prop_assert_eq!(length as usize, frame.len() - taken);
            let body = &frame[taken + 1..];
            let publish = v1::Publish::decode(body).unwrap();
            prop_assert_eq!(publish.message.as_ref(), Some(&message));
            prop_assert_eq!((publish.topic, publish.sequence, publish.report), (topic, sequence, report));
            let view = Publish::decode(body).unwrap();
            prop_assert_eq!((view.topic, view.sequence, view.report), (topic, sequence, report));
        }

        #[test]
        fn deliver_agrees_with_prost(message in message(), subscriptions in prop::collection::vec(any::<u32>(), 0..6), topic: u32, publisher: u32,
                                     sequence: u64, retained: bool, resent: bool, redirected: bool, stamp: u64,
                                     members in prop::collection::vec(any::<u64>(), 0..6)) {
            let bytes = message.encode_to_vec();
            let view = Deliver { topic, publisher, sequence, retained, resent, redirected, stamp, message: &bytes, ..Default::default() };
            let mut body = Vec::new();
            encode_subscriptions(&mut body, &subscriptions);
            encode_members(&mut body, &members);
            view.encode_shared(&mut body);
            let theirs = v1::Deliver::decode(&body[..]).unwrap();
            prop_assert_eq!(&theirs, &v1::Deliver {
                subscriptions: subscriptions.clone(), topic, publisher, sequence, retained, resent, redirected, stamp,
                message: Some(message),
                members: members.clone(),
            });
            let again = theirs.encode_to_vec();
            let ours = Deliver::decode(&again).unwrap();
            prop_assert_eq!(ours.subscriptions().collect::<Vec<_>>(), subscriptions);
            prop_assert_eq!(ours.members().collect::<Vec<_>>(), members);
            prop_assert_eq!((ours.resent, ours.redirected), (resent, redirected));
            prop_assert_eq!((ours.topic, ours.publisher, ours.sequence), (topic, publisher, sequence));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Publish::decode(&bytes);
            if let Ok(message) = Message::decode(&bytes) { message.headers(); }
            if let Ok(deliver) = Deliver::decode(&bytes) { deliver.subscriptions().count(); }
        }
    }
}
