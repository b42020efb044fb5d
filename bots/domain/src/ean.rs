//! The EAN-18 number of a connection.

use std::fmt;
use std::str::FromStr;

/// A valid EAN-18 of a Belgian connection: 18 digits, beginning with 54, the last one the GS1 check digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ean(u64);

impl Ean {
    /// The EAN that begins with these 17 digits.
    ///
    /// # Errors
    /// When the number does not begin with 54 or has not 17 digits.
    pub fn with_check_digit(first17: u64) -> Result<Self, BadEan> {
        format!("{first17}{}", check_digit(first17)).parse()
    }
}

impl fmt::Display for Ean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:018}", self.0)
    }
}

/// What is wrong with an EAN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEan {
    /// Not 18 digits.
    #[error("{0:?} has not 18 digits")]
    Digits(String),
    /// Not from Belgium.
    #[error("{0:?} does not begin with 54")]
    Country(String),
    /// The last digit is wrong.
    #[error("{ean:?} ends with the wrong check digit: it should be {expected}")]
    CheckDigit {
        /// As given.
        ean: String,
        /// What the last digit should be.
        expected: u64,
    },
}

impl FromStr for Ean {
    type Err = BadEan;

    fn from_str(text: &str) -> Result<Self, BadEan> {
        if text.len() != 18 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(BadEan::Digits(text.to_owned()));
        }
        if !text.starts_with("54") {
            return Err(BadEan::Country(text.to_owned()));
        }
        let number: u64 = text.parse().expect("18 digits fit in 64 bits");
        let expected = check_digit(number / 10);
        if number % 10 != expected {
            return Err(BadEan::CheckDigit { ean: text.to_owned(), expected });
        }
        Ok(Self(number))
    }
}

/// GS1: digits weigh 3, 1, 3, … from the right; the check digit completes the sum to a multiple of ten.
fn check_digit(mut first17: u64) -> u64 {
    let (mut sum, mut weight) = (0, 3);
    while first17 > 0 {
        sum += first17 % 10 * weight;
        first17 /= 10;
        weight = 4 - weight;
    }
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::{BadEan, Ean};

    #[test]
    fn a_wrong_check_digit_says_the_right_one() {
        let ean = Ean::with_check_digit(54_144_900_000_000_012).expect("17 digits from 54");
        assert_eq!(ean.to_string().parse(), Ok(ean));
        let wrong = "541449000000000000".parse::<Ean>();
        assert!(matches!(wrong, Err(BadEan::CheckDigit { .. })), "{wrong:?}");
        assert!(matches!("123".parse::<Ean>(), Err(BadEan::Digits(_))));
        assert!(matches!("871686000000000001".parse::<Ean>(), Err(BadEan::Country(_))));
        // The published example of GS1 for 18 digits: SSCC 376104250021234569, so its weights are ours.
        assert_eq!(super::check_digit(37_610_425_002_123_456), 9);
    }
}
