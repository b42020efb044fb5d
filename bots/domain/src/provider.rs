//! Who the providers are: strategies, their settings, and the roster of every region.

use std::str::FromStr;

use cortexiq_proto::{ProviderInitialized, Terms};

use crate::contract::spot_terms;
use crate::region::Region;

/// How a provider competes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Fixed prices with little between day and night.
    Steady,
    /// Fixed, cheap at night and dear by day.
    Night,
    /// Fixed, pays well for feeding in.
    Solar,
    /// Dynamic with a fair markup and a low fee.
    Peak,
    /// Dynamic with the smallest markup, a welcome discount, a fee and a minimum.
    Discount,
}

impl Strategy {
    /// In the order of the roster.
    pub const ALL: [Self; 5] = [Self::Steady, Self::Night, Self::Solar, Self::Peak, Self::Discount];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Night => "night",
            Self::Solar => "solar",
            Self::Peak => "peak",
            Self::Discount => "discount",
        }
    }
}

/// A text that names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no strategy; there are steady, night, solar, peak and discount")]
pub struct NoStrategy(String);

impl FromStr for Strategy {
    type Err = NoStrategy;

    fn from_str(text: &str) -> Result<Self, NoStrategy> {
        let found = Self::ALL.into_iter().find(|strategy| strategy.name() == text);
        found.ok_or_else(|| NoStrategy(text.to_owned()))
    }
}

/// How one provider sets its prices.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Such as `ant_p01`.
    pub id: String,
    /// The company.
    pub name: String,
    /// Where it is at home; it serves everyone.
    pub region: Region,
    /// How it competes.
    pub strategy: Strategy,
    /// What it wants to earn, €/kWh.
    pub margin: f64,
    /// What it never goes below, €/kWh.
    pub margin_floor: f64,
    /// € a year.
    pub yearly_fee: f64,
    /// € over the first year, for homes that come from another provider.
    pub switching_discount: f64,
    /// kWh, billed even when it was not used.
    pub minimum_monthly_kwh: u32,
    /// Months; 0 runs until another contract begins.
    pub duration_months: u32,
    /// Share of all homes it aims at, percent.
    pub market_share_target_pct: f64,
}

impl Provider {
    /// The event by which it introduces itself.
    pub fn initialized(&self, run: u64, time: i64) -> ProviderInitialized {
        ProviderInitialized {
            run,
            time,
            provider_id: self.id.clone(),
            name: self.name.clone(),
            region: self.region.name().into(),
            strategy: self.strategy.name().into(),
            market_share_target_pct: libm::round(self.market_share_target_pct * 10.0) as u32,
            spot_tariff: self.spot_tariff(),
        }
    }

    fn spot_tariff(&self) -> Option<Terms> {
        (self.id == format!("{}_p01", self.region.prefix())).then(spot_terms)
    }
}

/// The first `count` providers of a region: the five strategies in turn, each round a little dearer.
pub fn roster(region: Region, count: usize) -> Vec<Provider> {
    let lead = Region::ALL.iter().position(|other| *other == region).expect("ALL has every region");
    (0..count)
        .map(|index| {
            let strategy = Strategy::ALL[(index + lead) % Strategy::ALL.len()];
            let (margin, fee, discount, minimum) = match strategy {
                Strategy::Steady => (0.030, 55.0, 15.0, 0),
                Strategy::Night => (0.028, 45.0, 25.0, 50),
                Strategy::Solar => (0.032, 50.0, 20.0, 0),
                Strategy::Peak => (0.016, 35.0, 0.0, 0),
                Strategy::Discount => (0.013, 75.0, 60.0, 100),
            };
            let dearer = 0.001 * ((index * 7 + lead * 3) % 5) as f64;
            Provider {
                id: format!("{}_p{:02}", region.prefix(), index + 1),
                name: format!("{} {}", NAMES[lead], KINDS[strategy as usize]),
                region,
                strategy,
                margin: margin + dearer,
                margin_floor: margin / 3.0,
                yearly_fee: fee,
                switching_discount: discount,
                minimum_monthly_kwh: minimum,
                duration_months: 12,
                market_share_target_pct: 100.0 / 15.0,
            }
        })
        .collect()
}

const NAMES: [&str; 3] = ["Schelde", "Dijle", "Leie"];
const KINDS: [&str; 5] = ["Energie", "Nachtstroom", "Zon", "Piek", "Budget"];
