//! Topics: the concrete names that messages are published to and procedures are called by.
//!
//! A topic is 1 to 16 segments joined by `.`, at most 255 bytes in all. A segment is one or more of `A-Z`, `a-z`,
//! `0-9`, `_` and `-`. The first segment may begin with `$`, which marks the topics of the system itself; a
//! [`Pattern`](crate::Pattern) that begins with a wildcard does not match those. Names are compared byte by byte, so
//! `Home` and `home` differ.
//!
//! | topic | |
//! |---|---|
//! | `be.cortexiq.home.measured` | legal |
//! | `clock` | legal, one segment |
//! | `$sys.mesh.state` | legal, a system topic |
//! | `be.cortexiq.` | illegal, ends with a dot |
//! | `be..home` | illegal, an empty segment |
//! | `be.home.*` | illegal, a wildcard belongs in a pattern |
//! | `be.$sys` | illegal, `$` may only lead the first segment |
//!
//! Text becomes a [`Topic`] once, at the edge. Past it, topics are legal by construction and nobody checks again.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

use crate::limits::{TOPIC_BYTES, TOPIC_SEGMENTS};

/// A legal, concrete topic. A clone shares the text.
///
/// ```
/// use macula_proto::Topic;
///
/// let topic: Topic = "be.cortexiq.home.measured".parse()?;
/// assert_eq!(topic.segments().count(), 4);
/// assert!("be.cortexiq.home.*".parse::<Topic>().is_err());
/// # Ok::<(), macula_proto::topic::TopicError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic(Bytes);

impl Topic {
    /// A topic written in the program itself.
    ///
    /// # Panics
    ///
    /// When the text is not a legal topic.
    pub fn from_static(text: &'static str) -> Self {
        match Self::try_from(Bytes::from_static(text.as_bytes())) {
            Ok(topic) => topic,
            Err(error) => panic!("{text:?}: {error}"),
        }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a topic holds only ASCII")
    }

    /// The whole text as bytes, which are ASCII. Cheaper than [`as_str`](Self::as_str).
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text as shared bytes, without copying.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The segments in order, never empty.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.as_str().split('.')
    }

    /// Whether the topic begins with `$` and so belongs to the system.
    pub fn is_system(&self) -> bool {
        self.0[0] == b'$'
    }

    /// The same topic in memory of its own. A topic made from a part of a received buffer keeps all of that buffer
    /// alive; one that is stored for long should not.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

/// Why a text is not a [`Topic`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// The text is no name at all.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The text holds a wildcard.
    #[error(
        "{wildcard:?} at byte {at} (segment {segment}) is a wildcard: topics are concrete; subscribe with a pattern"
    )]
    Wildcard {
        /// Byte offset of the wildcard.
        at: usize,
        /// Index of its segment, from 0.
        segment: usize,
        /// `+`, `*` or `#`.
        wildcard: char,
    },
}

impl TopicError {
    /// A short, stable word for the reason, the same in every language and in the test vectors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            Self::Wildcard { .. } => "wildcard",
        }
    }
}

/// What topics and patterns can both get wrong. Offsets are in bytes, segments count from 0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// No text.
    #[error("the name is empty: give at least one segment, as in \"clock\"")]
    Empty,
    /// More than [`TOPIC_BYTES`].
    #[error("the name is {bytes} bytes long: the limit is {TOPIC_BYTES}; put data in the key or the payload")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// More than [`TOPIC_SEGMENTS`].
    #[error(
        "the dot at byte {at} begins one segment too many: the limit is {TOPIC_SEGMENTS}; join some with \"-\""
    )]
    TooManySegments {
        /// Offset of the dot.
        at: usize,
    },
    /// The last byte is a dot.
    #[error("the dot at byte {at} ends the name: remove it")]
    TrailingDot {
        /// Offset of the dot.
        at: usize,
    },
    /// A dot leads the name or follows another.
    #[error("segment {segment} is empty: remove the dot at byte {at}")]
    EmptySegment {
        /// Offset of the superfluous dot.
        at: usize,
        /// Index of the empty segment.
        segment: usize,
    },
    /// A `$` elsewhere than in front of the first segment's name.
    #[error(
        "\"$\" at byte {at} (segment {segment}): it may only lead the first segment, with a name after it, as in \"$sys\""
    )]
    Dollar {
        /// Offset of the `$`.
        at: usize,
        /// Index of its segment.
        segment: usize,
    },
    /// A character that no segment may hold.
    #[error("{found:?} at byte {at} (segment {segment}) is not allowed: use A-Z a-z 0-9 _ and -")]
    Character {
        /// Offset of the character.
        at: usize,
        /// Index of its segment.
        segment: usize,
        /// The character; U+FFFD for bytes that are not UTF-8.
        found: char,
    },
}

impl NameError {
    /// A short, stable word for the reason, the same in every language and in the test vectors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::TooManySegments { .. } => "too_many_segments",
            Self::TrailingDot { .. } => "trailing_dot",
            Self::EmptySegment { .. } => "empty_segment",
            Self::Dollar { .. } => "dollar",
            Self::Character { .. } => "character",
        }
    }
}

/// Checks what topics and patterns have in common and leaves the wildcards to `on_wildcard`, which gets the offset of
/// one, the index of its segment, and the character. Errors are found from left to right.
pub(crate) fn check_name<E: From<NameError>>(
    text: &[u8],
    mut on_wildcard: impl FnMut(usize, usize, char) -> Result<(), E>,
) -> Result<(), E> {
    if text.is_empty() {
        return Err(NameError::Empty.into());
    }
    if text.len() > TOPIC_BYTES {
        return Err(NameError::TooLong { bytes: text.len() }.into());
    }
    let mut segment = 0;
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => {}
            b'.' if at == start => return Err(NameError::EmptySegment { at, segment }.into()),
            b'.' if at + 1 == text.len() => return Err(NameError::TrailingDot { at }.into()),
            b'.' if segment + 1 == TOPIC_SEGMENTS => return Err(NameError::TooManySegments { at }.into()),
            b'.' => {
                segment += 1;
                start = at + 1;
            }
            b'+' | b'*' | b'#' => on_wildcard(at, segment, char::from(byte))?,
            b'$' if at == 0 && text.get(1).is_some_and(|&next| next != b'.') => {}
            b'$' => return Err(NameError::Dollar { at, segment }.into()),
            _ => return Err(NameError::Character { at, segment, found: char_at(text, at) }.into()),
        }
    }
    Ok(())
}

fn char_at(text: &[u8], at: usize) -> char {
    let longest = &text[at..text.len().min(at + 4)];
    String::from_utf8_lossy(longest).chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
}

impl TryFrom<Bytes> for Topic {
    type Error = TopicError;

    /// Takes the bytes as they are, without copying.
    fn try_from(bytes: Bytes) -> Result<Self, TopicError> {
        check_name(&bytes, |at, segment, wildcard| Err(TopicError::Wildcard { at, segment, wildcard }))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Topic {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        Self::try_from(Bytes::from(text))
    }
}

impl TryFrom<&str> for Topic {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        text.parse()
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        check_name(text.as_bytes(), |at, segment, wildcard| {
            Err(TopicError::Wildcard { at, segment, wildcard })
        })?;
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({self})")
    }
}

impl Hash for Topic {
    /// The hash of the text, as [`Borrow<str>`] promises.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Topic>().unwrap_err().to_string()
    }

    #[test]
    fn errors_tell_the_place_and_the_remedy() {
        assert_eq!(error("be.home."), "the dot at byte 7 ends the name: remove it");
        assert_eq!(error("be..home"), "segment 1 is empty: remove the dot at byte 3");
        assert_eq!(
            error("be.home.*"),
            "'*' at byte 8 (segment 2) is a wildcard: topics are concrete; subscribe with a pattern"
        );
        assert_eq!(error("be.höme"), "'ö' at byte 4 (segment 1) is not allowed: use A-Z a-z 0-9 _ and -");
    }

    #[test]
    fn bytes_become_a_topic_without_copying() {
        let frame = Bytes::from_static(b"..be.home..");
        let topic = Topic::try_from(frame.slice(2..9)).unwrap();
        assert_eq!(topic, Topic::from_static("be.home"));
        assert_eq!(topic.as_bytes().as_ptr(), frame[2..].as_ptr());
        assert_ne!(topic.detached().as_bytes().as_ptr(), frame[2..].as_ptr());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_an_error() {
        let broken = Topic::try_from(Bytes::from_static(b"be.\xff")).unwrap_err();
        assert_eq!(broken, NameError::Character { at: 3, segment: 1, found: '\u{fffd}' }.into());
    }

    #[test]
    fn a_map_of_topics_is_searched_by_text() {
        let map = std::collections::HashMap::from([(Topic::from_static("a.b"), 1)]);
        assert_eq!(map.get("a.b"), Some(&1));
    }
}
