//! Random numbers that are a pure function of what they are for.
//!
//! Nothing is drawn from a stream: a number belongs to (seed, purpose, who, when), so any home and any quarter-hour can
//! be computed alone and in any order.

/// Numbers of one seed for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// `purpose` keeps draws for different things apart.
    pub const fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(mix(seed) ^ purpose))
    }

    /// The number for `who` at `when`.
    pub const fn at(self, who: u64, when: i64) -> u64 {
        mix(mix(self.0 ^ who) ^ when as u64)
    }

    /// The number for `who` at `when`, uniform in [0, 1).
    pub fn unit(self, who: u64, when: i64) -> f64 {
        unit(self.at(who, when))
    }
}

/// The number of 64 random bits, uniform in [0, 1).
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A number for a name; the same in every process and version.
pub const fn of_name(name: &str) -> u64 {
    let (bytes, mut hash, mut index) = (name.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    mix(hash)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn numbers_are_spread_and_repeatable() {
        let random = Random::new(7, 1);
        let mean = (0..10_000).map(|when| random.unit(3, when)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(random.at(3, 4), Random::new(7, 1).at(3, 4));
        assert_ne!(random.at(3, 4), random.at(4, 3));
    }
}
