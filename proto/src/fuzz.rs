//! What a fuzzer feeds: one function for each decoder, which takes any bytes and panics when a promise is broken.
//!
//! Behind the feature `fuzz`, for `proto/fuzz` and the tests, which run the committed seeds through the same functions.
//! No part of the API.

use std::path::Path;

use prost::Message as _;

use crate::frame::{FrameError, Splitter};
use crate::{Pattern, Topic, v1, varint, wire};

/// Runs `target` on every file of a folder of seeds, and says how many there were.
///
/// # Panics
/// When there is none, or the target panics; the name of the seed is printed before.
pub fn replay(seeds: &Path, target: impl Fn(&[u8])) -> usize {
    let entries = std::fs::read_dir(seeds).unwrap_or_else(|error| panic!("{}: {error}", seeds.display()));
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("a seed can be read"));
        count += 1;
    }
    assert!(count > 0, "{} has no seeds", seeds.display());
    count
}

/// Bytes taken for decisions; zeros once they are used up, so that any bytes mean something.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// True when nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number below `limit`, which is at most 256.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    /// A number: mostly small, now and then anything.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            255 => {
                let mut whole = [0; 8];
                let bytes = self.bytes(8);
                whole[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(whole)
            }
            small => u64::from(small),
        }
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// So many bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count.min(self.0.len()));
        self.0 = tail;
        head
    }
}

/// However a stream is cut, the splitter finds the same frames and the same error, and holds no more than a frame.
pub fn frames(data: &[u8]) {
    const LIMIT: usize = 300;
    let mut choices = Choices(data);
    let cuts: Vec<usize> = (0..8).map(|_| choices.below(40) + 1).collect();
    let stream = choices.0;
    let split = |cuts: &mut dyn Iterator<Item = usize>| {
        let (mut splitter, mut frames, mut rest) = (Splitter::new(LIMIT), Vec::new(), stream);
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(cuts.next().unwrap_or(rest.len()).min(rest.len()));
            rest = tail;
            let result = splitter.split(chunk, |kind, body| {
                frames.push((kind, body.to_vec()));
                Ok::<(), FrameError>(())
            });
            if let Err(error) = result {
                return (frames, Err(error));
            }
            assert!(splitter.held() <= LIMIT + varint::MAX_BYTES);
        }
        (frames, Ok(splitter.held()))
    };
    assert_eq!(split(&mut std::iter::empty()), split(&mut cuts.into_iter().cycle()));
}

/// The views read any bytes without a panic, and read what the generated code writes as it means it.
pub fn views(data: &[u8]) {
    if let Ok(view) = wire::Message::decode(data) {
        let mut again = Vec::new();
        view.encode(&mut again);
        assert_eq!(again.len(), view.encoded_len());
        assert_eq!(wire::Message::decode(&again).map(|again| again.headers()), Ok(view.headers()));
    }
    let _ = wire::Publish::decode(data);
    if let Ok(view) = wire::Deliver::decode(data) {
        let _ = (view.subscriptions().count(), view.members().count());
    }
    if let Ok(full) = v1::Publish::decode(data) {
        let bytes = full.encode_to_vec();
        let view = wire::Publish::decode(&bytes).expect("the generated code wrote it");
        assert_eq!((view.topic, view.sequence, view.report), (full.topic, full.sequence, full.report));
        same_message(view.message, full.message.unwrap_or_default());
    }
    if let Ok(full) = v1::Deliver::decode(data) {
        let bytes = full.encode_to_vec();
        let view = wire::Deliver::decode(&bytes).expect("the generated code wrote it");
        assert_eq!((view.topic, view.publisher), (full.topic, full.publisher));
        assert_eq!((view.sequence, view.stamp), (full.sequence, full.stamp));
        assert_eq!((view.retained, view.resent), (full.retained, full.resent));
        assert!(view.subscriptions().eq(full.subscriptions.iter().copied()));
        assert!(view.members().eq(full.members.iter().copied()));
        let mut again = Vec::new();
        wire::encode_subscriptions(&mut again, &full.subscriptions);
        wire::encode_members(&mut again, &full.members);
        view.encode_shared(&mut again);
        let ours = v1::Deliver::decode(&again[..]).expect("what we encode is protobuf");
        assert_eq!(
            ours,
            v1::Deliver { message: Some(full.message.clone().unwrap_or_default()), ..full.clone() }
        );
        same_message(view.message, full.message.unwrap_or_default());
    }
}

fn same_message(encoded: &[u8], full: v1::Message) {
    let view = wire::Message::decode(encoded).expect("the generated code wrote it");
    assert_eq!((view.payload, view.key), (&full.payload[..], &full.key[..]));
    assert_eq!(view.time_to_live_ms, full.time_to_live_ms);
    assert_eq!((view.retain, view.remove), (full.retain, full.remove));
    let headers: Vec<_> = full.headers.iter().map(|header| (&header.name[..], &header.value[..])).collect();
    assert_eq!(view.headers(), headers);
}

/// An integer that is read is written in at most as many bytes, and read again as itself.
pub fn varints(data: &[u8]) {
    if let Ok(Some((value, taken))) = varint::get(data) {
        let mut out = Vec::new();
        varint::put(&mut out, value);
        assert!(out.len() <= taken && out.len() == varint::len(value));
        assert_eq!(varint::get(&out), Ok(Some((value, out.len()))));
        for cut in 0..taken {
            assert_eq!(varint::get(&data[..cut]), Ok(None));
        }
    }
}

/// Two texts, cut at the first zero: topics and patterns, and what follows if they are.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (left, right) = text.split_once('\0').unwrap_or((text, ""));
    if let Ok(topic) = left.parse::<Topic>() {
        assert_eq!(topic.as_str(), left);
        assert!(left.parse::<Pattern>().expect("a topic is a pattern").matches(&topic));
    }
    let Ok(pattern) = left.parse::<Pattern>() else { return };
    assert_eq!(pattern.to_string(), left);
    assert!(pattern.covers(&pattern));
    if let Ok(topic) = right.parse::<Topic>() {
        assert_eq!(pattern.matches(&topic), pattern.covers(&Pattern::from(&topic)));
    }
    if let Ok(other) = right.parse::<Pattern>()
        && pattern.covers(&other)
        && other.is_literal()
    {
        assert!(right.parse::<Topic>().is_ok_and(|topic| pattern.matches(&topic)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(target: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
    }

    #[test]
    fn seeds_of_the_frames() {
        replay(&seeds("frames"), frames);
    }

    #[test]
    fn seeds_of_the_views() {
        replay(&seeds("views"), views);
    }

    #[test]
    fn seeds_of_the_varints() {
        replay(&seeds("varints"), varints);
    }

    #[test]
    fn seeds_of_the_names() {
        replay(&seeds("names"), names);
    }
}
