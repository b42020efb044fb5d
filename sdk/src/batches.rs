//! Bytes that wait to be written on one stream: frames lie side by side in batches and leave as whole buffers,
//! as far as the other end has granted credit.

use bytes::Bytes;
use macula_proto::{kind, varint, wire};
use std::collections::VecDeque;

/// A batch is sealed at this size: large enough that a write costs little per message, small enough to stay in
/// the cache. The gateway's figure.
const BATCH_BYTES: usize = 32 << 10;
/// An open batch smaller than this is copied rather than given away with its large buffer.
const SMALL_BYTES: usize = 2 << 10;

/// Whole frames in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    /// How much of it has been taken.
    sent: usize,
    /// Sequence of its last message, 0 when it has none.
    pub(crate) last: u64,
    pub(crate) messages: u64,
}

/// The batches of one stream.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    sealed: VecDeque<Batch>,
    open: Vec<u8>,
    last: u64,
    messages: u64,
    unsent: usize,
    credit: u64,
    sent: u64,
    /// Highest sequence of a batch of which anything has ever been taken.
    started: u64,
    /// The writer found nothing to take and waits to be woken.
    asleep: bool,
}

/// What [`Batches::take`] gives.
#[derive(Debug)]
pub(crate) struct Taken {
    /// To be written now.
    pub(crate) bytes: Bytes,
    /// The batch that is complete with these bytes.
    pub(crate) finished: Option<Batch>,
}

impl Batches {
    /// Bytes that have not been taken.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Appends the frames that `write` writes; true when the writer has to be woken. `last` is the sequence of
    /// the message among them, if there is one.
    #[inline]
    pub(crate) fn append(&mut self, last: Option<u64>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.open.len();
        write(&mut self.open);
        self.unsent += self.open.len() - before;
        if let Some(last) = last {
            self.last = last;
            self.messages += 1;
        }
        if self.open.len() >= BATCH_BYTES {
            self.seal();
        }
        self.rouse()
    }

    /// Adds a whole batch behind the others.
    pub(crate) fn push(&mut self, mut batch: Batch) {
        self.seal();
        batch.sent = 0;
        self.unsent += batch.bytes.len();
        self.sealed.push_back(batch);
    }

    /// Highest sequence that may have been sent, on whatever stream.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// The next bytes to write, within the credit; at `None` the writer waits to be woken.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let taken = self.next();
        self.asleep = taken.is_none();
        taken
    }

    /// The other end takes `total` bytes since the stream began; true when the writer has to be woken.
    pub(crate) fn grant(&mut self, total: u64) -> bool {
        self.credit = self.credit.max(total);
        self.rouse()
    }

    /// Begins a new stream with this credit.
    pub(crate) fn restart(&mut self, credit: u64) {
        self.credit = credit;
        self.sent = 0;
        self.asleep = false;
    }

    /// Takes out everything that was not sent to its end.
    pub(crate) fn drain(&mut self) -> VecDeque<Batch> {
        self.seal();
        self.unsent = 0;
        std::mem::take(&mut self.sealed)
    }

    /// As [`take`](Self::take), but begins no batch: what lies whole here stays.
    pub(crate) fn take_rest(&mut self) -> Option<Taken> {
        let begun = self.sealed.front().is_some_and(|front| front.sent > 0);
        let taken = if begun { self.next() } else { None };
        self.asleep = taken.is_none();
        taken
    }

    fn next(&mut self) -> Option<Taken> {
        let allowed = usize::try_from(self.credit.saturating_sub(self.sent)).unwrap_or(usize::MAX);
        if allowed == 0 || self.unsent == 0 {
            return None;
        }
        if self.sealed.is_empty() {
            self.seal();
        }
        let front = self.sealed.front_mut()?;
        let end = front.bytes.len().min(front.sent.saturating_add(allowed));
        let bytes = front.bytes.slice(front.sent..end);
        front.sent = end;
        self.started = self.started.max(front.last);
        self.sent += bytes.len() as u64;
        self.unsent -= bytes.len();
        let finished = if end == front.bytes.len() { self.sealed.pop_front() } else { None };
        Some(Taken { bytes, finished })
    }

    #[inline]
    fn rouse(&mut self) -> bool {
        self.asleep && self.sent < self.credit && self.unsent > 0 && std::mem::take(&mut self.asleep)
    }

    fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let bytes = if self.open.len() < SMALL_BYTES {
            let bytes = Bytes::copy_from_slice(&self.open);
            self.open.clear();
            bytes
        } else {
            let fresh = Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8);
            Bytes::from(std::mem::replace(&mut self.open, fresh))
        };
        let (last, messages) = (std::mem::take(&mut self.last), std::mem::take(&mut self.messages));
        self.sealed.push_back(Batch { bytes, sent: 0, last, messages });
    }
}

impl Batch {
    /// A batch of frames without messages.
    pub(crate) fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// Cuts it behind the message `at`. Frames without a message stay with the part before them.
    pub(crate) fn split(self, at: u64) -> [Self; 2] {
        let (mut end, mut cut, mut behind) = (0, None, 0);
        while let Ok(Some((length, taken))) = varint::get(&self.bytes[end..]) {
            let begin = end;
            end += taken + length as usize;
            let (kind, body) = (self.bytes[begin + taken], &self.bytes[begin + taken + 1..end]);
            if kind == kind::PUBLISH && wire::Publish::decode(body).is_ok_and(|publish| publish.sequence > at)
            {
                cut = cut.or(Some(begin));
                behind += 1;
            }
        }
        let cut = cut.unwrap_or(end);
        let messages = self.messages - behind;
        let last = if messages > 0 { at } else { 0 };
        [
            Self { bytes: self.bytes.slice(..cut), sent: 0, last, messages },
            Self { bytes: self.bytes.slice(cut..), sent: 0, last: self.last, messages: behind },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(batches: &mut Batches, bytes: &[u8]) -> bool {
        batches.append(None, |out| out.extend_from_slice(bytes))
    }

    #[test]
    fn nothing_leaves_beyond_the_credit() {
        let mut batches = Batches::default();
        batches.restart(3);
        written(&mut batches, b"abcde");
        let taken = batches.take().unwrap();
        assert_eq!((&taken.bytes[..], taken.finished.is_some()), (&b"abc"[..], false));
        assert!(batches.take().is_none());
        assert!(!batches.grant(3), "the same credit wakes nobody");
        assert!(batches.grant(10));
        let taken = batches.take().unwrap();
        assert_eq!((&taken.bytes[..], &taken.finished.unwrap().bytes[..]), (&b"de"[..], &b"abcde"[..]));
        assert_eq!(batches.unsent(), 0);
    }

    #[test]
    fn the_writer_is_woken_once_and_only_when_it_sleeps() {
        let mut batches = Batches::default();
        batches.restart(100);
        assert!(!written(&mut batches, b"a"), "it has not slept yet");
        assert!(batches.take().is_some());
        assert!(batches.take().is_none());
        assert!(written(&mut batches, b"b"));
        assert!(!written(&mut batches, b"c"));
    }

    #[test]
    fn a_drained_batch_is_whole_again() {
        let mut batches = Batches::default();
        batches.restart(2);
        batches.append(Some(7), |out| out.extend_from_slice(b"abcd"));
        batches.take();
        let drained = batches.drain();
        assert_eq!((&drained[0].bytes[..], drained[0].last, drained[0].messages), (&b"abcd"[..], 7, 1));
        assert_eq!(batches.unsent(), 0);
    }
}
