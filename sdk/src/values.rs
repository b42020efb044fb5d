//! Retained values, read without a subscription.

use crate::error::CallError;
use crate::message::{Class, Envelope, Message, PublisherId, PublisherRun, TopicName};
use crate::replies::Replies;
use bytes::Bytes;
use macula_proto::v1::{self, Code, RetainedValues};
use macula_proto::{Topic, limits};
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::Arc;

/// System procedure that answers with the values of the gateway's own store.
pub(crate) const PROCEDURE: &str = "$sys.retained";
/// Values that may be under way: no less than the largest one.
pub(crate) const WINDOW: u64 = limits::FRAME_BYTES as u64;

/// The retained values of a pattern, as they come; see [`Client::last`](crate::Client::last).
#[must_use = "dropping it ends the reading"]
#[derive(Debug)]
pub struct Values {
    replies: Replies,
    waiting: VecDeque<Message>,
}

impl Values {
    pub(crate) fn new(replies: Replies) -> Self {
        Self { replies, waiting: VecDeque::new() }
    }

    /// The next value; `None` when there are no more.
    ///
    /// ```no_run
    /// # async fn example(mut values: macula_sdk::Values) -> macula_sdk::doc::Outcome {
    /// while let Some(value) = values.next().await {
    ///     println!("{}", value?.key());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the connection is lost or the gateway has not sent all within the time of a call. Nothing comes after it.
    pub async fn next(&mut self) -> Option<Result<Message, CallError>> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(Ok(message));
            }
            let part = match self.replies.next().await? {
                Ok(reply) => RetainedValues::decode(&reply.payload()[..]).ok().and_then(read),
                Err(error) => return Some(Err(error)),
            };
            match part {
                Some(part) => self.waiting = part,
                None => return Some(Err(malformed())),
            }
        }
    }
}

fn read(part: RetainedValues) -> Option<VecDeque<Message>> {
    part.values.into_iter().map(value).collect()
}

fn value(value: v1::RetainedValue) -> Option<Message> {
    let class = match value.class() {
        v1::Class::Event => Class::Event,
        v1::Class::Telemetry => Class::Telemetry,
        _ => return None,
    };
    let name = TopicName { topic: Topic::try_from(value.topic).ok()?, content_type: value.content_type };
    let id = PublisherId(value.publisher[..].try_into().ok()?);
    let envelope = Envelope {
        name: Arc::new(name),
        publisher: PublisherRun { id, epoch: value.epoch },
        sequence: value.sequence,
        class,
        retained: true,
    };
    Message::read(value.message.unwrap_or_default().encode_to_vec().into(), envelope)
}

fn malformed() -> CallError {
    let message = "the gateway answered with what is no retained value".to_owned();
    CallError { procedure: PROCEDURE.to_owned(), code: Code::Internal, message, details: Bytes::new() }
}
