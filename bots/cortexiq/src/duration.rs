//! Simulated durations on the command line: `12h`, `7d`, `1y`.

use std::fmt;
use std::str::FromStr;

/// A length of simulated time in whole quarter-hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length {
    seconds: i64,
}

/// A text that is no length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a number and m, h, d or y, such as 12h, 7d or 1y, for at least a quarter-hour and at most 50 years"
)]
pub struct BadLength;

impl Length {
    /// Seconds, a multiple of 900.
    pub fn seconds(self) -> i64 {
        self.seconds
    }
}

impl FromStr for Length {
    type Err = BadLength;

    fn from_str(text: &str) -> Result<Self, BadLength> {
        let (at, unit) = text.char_indices().next_back().ok_or(BadLength)?;
        let number = &text[..at];
        let of_unit =
            UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds).ok_or(BadLength)?;
        let seconds = number.parse::<u32>().map_err(|_| BadLength)?;
        let seconds = i64::from(seconds).checked_mul(of_unit).ok_or(BadLength)?;
        match (900..=LONGEST).contains(&seconds) && seconds % 900 == 0 {
            true => Ok(Self { seconds }),
            false => Err(BadLength),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, seconds): &&(char, i64)| self.seconds % seconds == 0;
        let (unit, seconds) = UNITS.iter().rfind(fits).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.seconds / seconds)
    }
}

/// A day has 24 hours here and a year 365 days, as the clock counts them.
const UNITS: [(char, i64); 4] = [('m', 60), ('h', 3600), ('d', 86_400), ('y', 31_536_000)];
const LONGEST: i64 = 50 * 31_536_000;

#[cfg(test)]
mod tests {
    use super::Length;

    #[test]
    fn lengths_are_read_and_shown() {
        for (text, seconds, shown) in [
            ("15m", 900, "15m"),
            ("12h", 43_200, "12h"),
            ("7d", 604_800, "7d"),
            ("30d", 30 * 86_400, "30d"),
            ("1y", 31_536_000, "1y"),
            ("48h", 172_800, "2d"),
        ] {
            let length: Length = text.parse().expect(text);
            assert_eq!((length.seconds(), length.to_string().as_str()), (seconds, shown));
        }
    }

    #[test]
    fn what_is_no_length_is_refused() {
        for text in ["", "7", "d", "0d", "-1d", "1.5h", "7 d", "10m", "99999999y", "7x", "7€"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
