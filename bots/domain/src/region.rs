//! The three regions.

use std::fmt;
use std::str::FromStr;

/// A region of the simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// The province of Antwerp.
    Antwerp,
    /// Flemish and Walloon Brabant.
    Brabant,
    /// The province of East Flanders.
    EastFlanders,
}

impl Region {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Antwerp, Self::Brabant, Self::EastFlanders];

    /// `antwerp`, `brabant` or `east-flanders`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Antwerp => "antwerp",
            Self::Brabant => "brabant",
            Self::EastFlanders => "east-flanders",
        }
    }

    /// What ids of the region begin with: `ant`, `bra` or `efl`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Antwerp => "ant",
            Self::Brabant => "bra",
            Self::EastFlanders => "efl",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no region; the regions are antwerp (ant), brabant (bra) and east-flanders (efl)")]
pub struct NoRegion(String);

impl FromStr for Region {
    type Err = NoRegion;

    fn from_str(text: &str) -> Result<Self, NoRegion> {
        let region = Self::ALL.into_iter().find(|region| text == region.name() || text == region.prefix());
        region.ok_or_else(|| NoRegion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Region;

    #[test]
    fn names_and_prefixes_parse_and_a_mistake_lists_them() {
        assert_eq!("efl".parse(), Ok(Region::EastFlanders));
        assert_eq!("brabant".parse(), Ok(Region::Brabant));
        let error = "namur".parse::<Region>().expect_err("no region");
        assert!(error.to_string().contains("antwerp (ant), brabant (bra) and east-flanders (efl)"));
    }
}
