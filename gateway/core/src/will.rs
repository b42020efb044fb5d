//! A last will: the message that a gateway publishes for a client that no longer can.

use crate::key::MessageClass;
use macula_proto::v1::{Code, LastWill};
use macula_proto::{Topic, limits, wire};
use prost::Message as _;

/// A last will that is fit to be published.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) class: MessageClass,
    pub(crate) topic: Topic,
    pub(crate) content_type: String,
    /// Encoded.
    pub(crate) message: Vec<u8>,
}

impl Will {
    /// Takes the last will of a client whose run is `epoch`, or tells what is wrong with it.
    pub(crate) fn read(told: LastWill, epoch: u64) -> Result<Self, (Code, String)> {
        let invalid = |text: String| (Code::InvalidArgument, format!("Hello.last_will: {text}"));
        let Some(class) = MessageClass::of(told.class()) else {
            return Err(invalid("its class is event or telemetry".to_owned()));
        };
        let topic: Topic = told.topic.parse().map_err(|error| invalid(format!("{error}")))?;
        if topic.is_system() {
            let text =
                format!("Hello.last_will: `{topic}` belongs to the gateways: choose a name without `$`");
            return Err((Code::PermissionDenied, text));
        }
        if told.content_type.len() > limits::CONTENT_TYPE_BYTES {
            return Err(invalid(format!("a content type has at most {} bytes", limits::CONTENT_TYPE_BYTES)));
        }
        if epoch == 0 {
            return Err(invalid("it is published as of epoch 0, so the client needs another one".to_owned()));
        }
        let message = told.message.unwrap_or_default().encode_to_vec();
        let view = wire::Message::decode(&message).map_err(|error| invalid(error.to_string()))?;
        check_size(&view, message.len(), limits::WILL_BYTES).map_err(invalid)?;
        Ok(Self { class, topic, content_type: told.content_type, message })
    }
}

/// Whether a message of this encoded length is within the limits, its payload of so many bytes at most; what is wrong if
/// not.
#[inline]
pub(crate) fn check_size(message: &wire::Message<'_>, encoded: usize, most: usize) -> Result<(), String> {
    let (key, payload) = (message.key.len(), message.payload.len());
    if key > limits::KEY_BYTES {
        return Err(format!("the key has {key} bytes, at most {} are accepted", limits::KEY_BYTES));
    }
    if payload > most {
        return Err(format!("the payload has {payload} bytes, at most {most} are accepted"));
    }
    let rest = encoded - payload - key;
    if rest > limits::HEADER_BYTES {
        // Also keeps the frame, which grows on its way, within what peers take: they would close the link.
        return Err(format!("headers of {rest} bytes, at most {} are accepted", limits::HEADER_BYTES));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use macula_proto::v1::{Class, Message};

    fn will() -> LastWill {
        LastWill { class: Class::Event.into(), topic: "a.b".to_owned(), ..LastWill::default() }
    }

    fn code(told: LastWill, epoch: u64) -> Code {
        Will::read(told, epoch).unwrap_err().0
    }

    #[test]
    fn a_will_is_held_to_what_a_message_is_held_to() {
        let key = |bytes| Some(Message { key: "k".repeat(bytes), ..Message::default() });
        assert_eq!(Will::read(LastWill { message: key(255), ..will() }, 1).unwrap().topic.as_str(), "a.b");
        assert_eq!(code(LastWill { message: key(256), ..will() }, 1), Code::InvalidArgument);
        let large = Some(Message { payload: vec![0; limits::WILL_BYTES + 1].into(), ..Message::default() });
        assert_eq!(code(LastWill { message: large, ..will() }, 1), Code::InvalidArgument);
        assert_eq!(code(LastWill { topic: "a.*".to_owned(), ..will() }, 1), Code::InvalidArgument);
        assert_eq!(code(LastWill { class: Class::Rpc.into(), ..will() }, 1), Code::InvalidArgument);
        assert_eq!(code(LastWill { content_type: "x".repeat(256), ..will() }, 1), Code::InvalidArgument);
        assert_eq!(code(LastWill { topic: "$sys.slow".to_owned(), ..will() }, 1), Code::PermissionDenied);
        assert_eq!(code(will(), 0), Code::InvalidArgument);
    }
}
