//! Patterns: topics that may hold wildcards, used to subscribe, to register procedures and to grant permissions.
//!
//! A pattern has the grammar of a [`Topic`], with the same limits, and any of its segments may be a wildcard. A
//! wildcard always fills a whole segment: `home-*` is illegal.
//!
//! | form | matches | place |
//! |---|---|---|
//! | `+` | exactly one segment | anywhere |
//! | `*` | exactly one segment, like `+` | not last |
//! | `*` | one or more segments | last |
//! | `#` | zero or more segments | last only |
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `be.home.measured` | `be.home.measured` | `be.home.measured.raw` |
//! | `be.+.measured` | `be.home.measured` | `be.measured`, `be.home.kitchen.measured` |
//! | `be.*.measured` | `be.home.measured` | `be.measured`, `be.home.kitchen.measured` |
//! | `be.+` | `be.home` | `be`, `be.home.measured` |
//! | `be.*` | `be.home`, `be.home.measured` | `be` |
//! | `be.#` | `be`, `be.home`, `be.home.measured` | `nl.home` |
//! | `+` | `be` | `be.home`, `$sys` |
//! | `*`, `#` | every topic that is not a system topic | `$sys.mesh.state` |
//! | `$sys.#` | `$sys`, `$sys.mesh.state` | `be.home` |
//!
//! A wildcard in first place never matches a system topic, one that begins with `$`: who wants those names the first
//! segment.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::{TOPIC_BYTES, TOPIC_SEGMENTS};
use crate::topic::{NameError, Topic, check_name};

/// A legal pattern. A clone shares the text.
///
/// ```
/// use macula_proto::{Pattern, Topic};
///
/// let pattern: Pattern = "be.cortexiq.provider.*".parse()?;
/// assert!(pattern.matches(&Topic::from_static("be.cortexiq.provider.contract.offered")));
/// assert!("be.cortexiq.provider-*".parse::<Pattern>().is_err());
/// # Ok::<(), macula_proto::pattern::PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

/// One segment of a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segment<'a> {
    /// Exactly this text.
    Literal(&'a str),
    /// Any one segment: `+`, or `*` that is not last.
    One,
    /// All of the rest, at least one segment: `*` in last place.
    OneOrMore,
    /// All of the rest, which may be nothing: `#`.
    ZeroOrMore,
}

impl Pattern {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        let mut texts = self.0.split('.').peekable();
        std::iter::from_fn(move || {
            let text = texts.next()?;
            Some(match text {
                "+" => Segment::One,
                "*" if texts.peek().is_some() => Segment::One,
                "*" => Segment::OneOrMore,
                "#" => Segment::ZeroOrMore,
                literal => Segment::Literal(literal),
            })
        })
    }

    /// Whether the pattern holds no wildcard and so matches one topic only.
    pub fn is_literal(&self) -> bool {
        !self.0.bytes().any(|byte| matches!(byte, b'+' | b'*' | b'#'))
    }

    /// Whether the pattern names the system's topics, which begin with `$`.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('$')
    }

    /// Whether the topic is one of those that the pattern stands for.
    ///
    /// This is the plain definition, linear in the length of both. To match one topic against many patterns use a
    /// trie.
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut rest = topic.segments();
        for (place, segment) in self.segments().enumerate() {
            if place == 0 && topic.is_system() && !matches!(segment, Segment::Literal(_)) {
                return false;
            }
            match segment {
                Segment::ZeroOrMore => return true,
                Segment::OneOrMore => return rest.next().is_some(),
                Segment::One if rest.next().is_none() => return false,
                Segment::Literal(text) if rest.next() != Some(text) => return false,
                Segment::One | Segment::Literal(_) => {}
            }
        }
        rest.next().is_none()
    }

    /// Whether every topic that `other` matches is matched by this pattern too.
    ///
    /// The answer is exact, the limits on topics included: `a.+` does not cover `a.*`, unless the text before the
    /// wildcard leaves no room for a second segment.
    pub fn covers(&self, other: &Pattern) -> bool {
        let (wide, narrow) = (Shape::of(self), Shape::of(other));
        let long_enough = match (wide.open, narrow.open && narrow.has_room()) {
            (true, _) => narrow.places.len() >= wide.places.len(),
            (false, true) => false,
            (false, false) => narrow.places.len() == wide.places.len(),
        };
        long_enough
            && wide.places.iter().zip(&narrow.places).enumerate().all(|(place, pair)| match pair {
                (Some(wide), Some(narrow)) => wide == narrow,
                (Some(_), None) => false,
                (None, Some(narrow)) => place > 0 || !narrow.starts_with('$'),
                (None, None) => true,
            })
    }
}

/// The normal form of a pattern: a row of places, each a literal or any one segment, and whether more may follow.
/// `a.*` becomes `a.+` and more; `#` alone becomes `+` and more, for no topic is empty.
struct Shape<'a> {
    places: Vec<Option<&'a str>>,
    open: bool,
}

impl<'a> Shape<'a> {
    fn of(pattern: &'a Pattern) -> Self {
        let mut shape = Self { places: Vec::with_capacity(TOPIC_SEGMENTS), open: false };
        for segment in pattern.segments() {
            match segment {
                Segment::Literal(text) => shape.places.push(Some(text)),
                Segment::One => shape.places.push(None),
                Segment::ZeroOrMore if !shape.places.is_empty() => shape.open = true,
                Segment::OneOrMore | Segment::ZeroOrMore => {
                    shape.places.push(None);
                    shape.open = true;
                }
            }
        }
        shape
    }

    /// Whether the shortest topic of this shape can grow by one more segment.
    fn has_room(&self) -> bool {
        let names: usize = self.places.iter().map(|place| place.map_or(1, str::len)).sum();
        let dots = self.places.len() - 1;
        self.places.len() < TOPIC_SEGMENTS && names + dots + ".x".len() <= TOPIC_BYTES
    }
}

/// Why a text is not a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// The text is no name at all.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A wildcard shares its segment with something else.
    #[error(
        "{wildcard:?} at byte {at} (segment {segment}) is only a part of its segment: a wildcard fills a whole segment"
    )]
    PartialWildcard {
        /// Byte offset of the wildcard.
        at: usize,
        /// Index of its segment, from 0.
        segment: usize,
        /// `+`, `*` or `#`.
        wildcard: char,
    },
    /// A `#` with segments after it.
    #[error("'#' at byte {at} (segment {segment}) is not last: use \"+\" for one segment in the middle")]
    HashNotLast {
        /// Byte offset of the `#`.
        at: usize,
        /// Index of its segment, from 0.
        segment: usize,
    },
}

impl PatternError {
    /// A short, stable word for the reason, the same in every language and in the test vectors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            Self::PartialWildcard { .. } => "partial_wildcard",
            Self::HashNotLast { .. } => "hash_not_last",
        }
    }
}

fn check(text: &[u8]) -> Result<(), PatternError> {
    check_name(text, |at, segment, wildcard| {
        let begins = at == 0 || text[at - 1] == b'.';
        let next = text.get(at + 1);
        if !begins || next.is_some_and(|&next| next != b'.') {
            return Err(PatternError::PartialWildcard { at, segment, wildcard });
        }
        // A single dot after the `#` is the trailing dot, which has an error of its own.
        if wildcard == '#' && text.len() > at + 2 {
            return Err(PatternError::HashNotLast { at, segment });
        }
        Ok(())
    })
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        check(text.as_bytes())?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for Pattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<&Topic> for Pattern {
    /// The pattern that matches just this topic.
    fn from(topic: &Topic) -> Self {
        Self(topic.as_str().into())
    }
}

impl From<Topic> for Pattern {
    /// The pattern that matches just this topic.
    fn from(topic: Topic) -> Self {
        Self::from(&topic)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({self})")
    }
}

impl Borrow<str> for Pattern {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
