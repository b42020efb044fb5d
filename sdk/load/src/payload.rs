//! What a message of the load carries: who sent it, its number, and when it was due.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Bytes of the head; no payload is shorter.
pub const HEAD: usize = 16;

/// The head of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the publisher or caller.
    pub publisher: u32,
    /// Number of the message, from 0 for each publisher.
    pub sequence: u32,
    /// [When](crate::now) it was due.
    pub due: u64,
}

impl Head {
    /// Writes it to the beginning of a payload.
    ///
    /// # Panics
    /// When the payload is shorter than [`HEAD`].
    #[inline]
    pub fn write(&self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.publisher.to_le_bytes());
        payload[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        payload[8..HEAD].copy_from_slice(&self.due.to_le_bytes());
    }

    /// Reads it; `None` when the payload is too short.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (head, _) = payload.split_first_chunk::<HEAD>()?;
        let (publisher, rest) = head.split_first_chunk::<4>()?;
        let (sequence, due) = rest.split_first_chunk::<4>()?;
        Some(Self {
            publisher: u32::from_le_bytes(*publisher),
            sequence: u32::from_le_bytes(*sequence),
            due: u64::from_le_bytes(due.try_into().ok()?),
        })
    }
}

/// Sizes of payloads: one, or a mix such as `128:8,1024:2`, eight of 128 bytes to two of 1024.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sizes {
    text: String,
    /// One period of the mix.
    round: Vec<usize>,
}

impl Sizes {
    /// Size of the message of this number.
    #[inline]
    pub fn of(&self, sequence: u32) -> usize {
        match self.round.as_slice() {
            [only] => *only,
            round => round[sequence as usize % round.len()],
        }
    }

    /// The largest.
    pub fn largest(&self) -> usize {
        self.round.iter().copied().max().unwrap_or(HEAD)
    }
}

/// Parts of a mix together; more would only make the round long.
const PARTS: usize = 1000;

impl FromStr for Sizes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut parts = Vec::new();
        for part in text.split(',') {
            let (size, share) = part.split_once(':').unwrap_or((part, "1"));
            let place = || format!("`{part}` is no size, as in 128 or 128:8,1024:2");
            let size: usize = size.trim().parse().with_context(place)?;
            let share: usize = share.trim().parse().with_context(place)?;
            ensure!(size >= HEAD, "a payload of {size} bytes: it has at least {HEAD}");
            if share == 0 {
                bail!("{}", place());
            }
            parts.push((size, share));
        }
        let total: usize = parts.iter().map(|(_, share)| share).sum();
        ensure!(total <= PARTS, "the shares of `{text}` come to {total}, at most {PARTS} are allowed");
        // Spread evenly, so that large messages do not come in a row.
        let mut owed = vec![0; parts.len()];
        let mut round = Vec::with_capacity(total);
        for _ in 0..total {
            parts.iter().zip(&mut owed).for_each(|((_, share), owed)| *owed += *share as i64);
            let next = (0..parts.len()).max_by_key(|&part| owed[part]).unwrap_or(0);
            owed[next] -= total as i64;
            round.push(parts[next].0);
        }
        Ok(Self { text: text.to_owned(), round })
    }
}

impl TryFrom<String> for Sizes {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        text.parse()
    }
}

impl From<Sizes> for String {
    fn from(sizes: Sizes) -> String {
        sizes.text
    }
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head { publisher: 7, sequence: 1 << 30, due: 99 };
        let mut payload = [0; HEAD + 3];
        head.write(&mut payload);
        assert_eq!(Head::read(&payload), Some(head));
        assert_eq!(Head::read(&payload[..HEAD - 1]), None);
    }

    #[test]
    fn a_mix_keeps_its_shares_and_spreads_them() {
        let mix: Sizes = "128:3,1024:1".parse().unwrap();
        let first: Vec<_> = (0..8).map(|sequence| mix.of(sequence)).collect();
        assert_eq!(first.iter().filter(|&&size| size == 1024).count(), 2);
        assert!(!first.windows(2).any(|pair| pair == [1024, 1024]));
        assert_eq!(mix.largest(), 1024);
        for bad in ["", "15", "128:0", "128:x", "128:1001"] {
            assert!(bad.parse::<Sizes>().is_err(), "{bad}");
        }
    }
}
