//! The part of a message that is the same for all receivers, encoded once.

use super::messages::Moving;
use crate::queue::Shared;
use bytes::Bytes;
use macula_proto::wire;

/// From this size on the queues of all receivers share the memory of a message; a smaller one is copied into each, to lie side by
/// side with its neighbours there.
const KEPT_BYTES: usize = 8 << 10;

#[derive(Debug, Default)]
pub(super) struct Body {
    copied: Vec<u8>,
    kept: Bytes,
}

impl Body {
    /// Encodes a message in the place of the one before.
    #[inline]
    pub(super) fn encode(&mut self, moving: Moving<'_>) {
        let deliver = wire::Deliver {
            topic: moving.topic,
            publisher: moving.publisher,
            sequence: moving.sequence,
            retained: moving.retained,
            stamp: moving.stamp,
            message: moving.message,
            resent: moving.resent,
            redirected: moving.redirected,
            ..wire::Deliver::default()
        };
        self.copied.clear();
        // As large as the largest message: not to be held until the next one.
        if !self.kept.is_empty() {
            self.kept = Bytes::new();
        }
        deliver.encode_shared(&mut self.copied);
        if self.copied.len() >= KEPT_BYTES {
            self.kept = std::mem::take(&mut self.copied).into();
        }
    }

    /// What was encoded.
    #[inline]
    pub(super) fn shared(&self) -> Shared<'_> {
        match self.copied.is_empty() {
            true => Shared::Kept(&self.kept),
            false => Shared::Copied(&self.copied),
        }
    }
}
