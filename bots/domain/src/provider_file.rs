//! Files of providers: JSON arrays, and every mistake in them at once.
//!
//! ```json
//! [{ "id": "ant_p01", "name": "Schelde Energie", "region": "antwerp", "strategy": "steady",
//!    "margin": 0.03, "margin_floor": 0.01, "yearly_fee": 55, "switching_discount": 15,
//!    "minimum_monthly_kwh": 0, "duration_months": 12, "market_share_target_pct": 6.7 }]
//! ```
//!
//! Discount and minimum are 0 and the duration is 12 months unless given. Money is in euro, margins in euro per kWh.

use std::collections::HashSet;

use crate::fields::{Fields, Mistake, entries, read_all};
use crate::provider::{NoStrategy, Provider, Strategy};

/// Reads what `PROVIDERS_SOURCES` lists, separated by commas: paths for `read`. On failure every mistake of every file is
/// told, not only the first.
pub fn load(
    sources: &str,
    read: impl Fn(&str) -> std::io::Result<String>,
) -> Result<Vec<Provider>, Vec<Mistake>> {
    let (files, mut mistakes) = read_all("PROVIDERS_SOURCES", sources, read);
    let (mut providers, mut ids) = (Vec::new(), HashSet::new());
    for (file, text) in &files {
        let Some(entries) = entries(file, text, "providers", &mut mistakes) else { continue };
        for (index, entry) in entries.iter().enumerate() {
            let Some(mut fields) = Fields::of(file, index, entry, &mut mistakes) else { continue };
            let provider = fields.provider();
            if !provider.id.is_empty() && !ids.insert(provider.id.clone()) {
                fields.mistake("id", &format!("{:?} stands twice", provider.id));
            }
            providers.push(provider);
        }
    }
    if mistakes.is_empty() { Ok(providers) } else { Err(mistakes) }
}

impl Fields<'_> {
    fn provider(&mut self) -> Provider {
        self.known(&[
            "id",
            "name",
            "region",
            "strategy",
            "margin",
            "margin_floor",
            "yearly_fee",
            "switching_discount",
            "minimum_monthly_kwh",
            "duration_months",
            "market_share_target_pct",
        ]);
        let margin = self.number("margin", None, 0.0, 1.0);
        Provider {
            id: self.id(),
            name: self.text("name"),
            region: self.region(),
            strategy: self.strategy(),
            margin,
            // Above its aim a floor would be none.
            margin_floor: self.number("margin_floor", None, 0.0, margin),
            yearly_fee: self.number("yearly_fee", None, 0.0, 1000.0),
            switching_discount: self.number("switching_discount", Some(0.0), 0.0, 1000.0),
            minimum_monthly_kwh: self.number("minimum_monthly_kwh", Some(0.0), 0.0, 1000.0) as u32,
            duration_months: self.number("duration_months", Some(12.0), 0.0, 120.0) as u32,
            market_share_target_pct: self.number("market_share_target_pct", None, 0.0, 100.0),
        }
    }

    fn strategy(&mut self) -> Strategy {
        let text = self.text("strategy");
        text.parse().unwrap_or_else(|error: NoStrategy| {
            if !text.is_empty() {
                self.mistake("strategy", &error.to_string());
            }
            Strategy::Steady
        })
    }
}

#[cfg(test)]
mod tests {
    use super::load;
    use crate::provider::Strategy;

    const RIGHT: &str = r#"[{"id": "ant_p09", "name": "Schelde", "region": "ant", "strategy": "night", "margin": 0.03,
        "margin_floor": 0.01, "yearly_fee": 50, "market_share_target_pct": 10}]"#;

    #[test]
    fn what_is_left_out_has_a_default() {
        let provider = load("a.json", |_| Ok(RIGHT.into())).expect("right").remove(0);
        assert_eq!((provider.strategy, provider.duration_months), (Strategy::Night, 12));
        assert_eq!((provider.switching_discount, provider.minimum_monthly_kwh), (0.0, 0));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let read = |file: &str| match file {
            "a.json" => Ok(RIGHT.into()),
            "b.json" => {
                Ok(RIGHT.replace("night", "cheap").replace("0.01", "0.04").replace("\"name\"", "\"nom\""))
            }
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        let told: Vec<_> = load("a.json, b.json, c.json", read)
            .expect_err("wrong")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "c.json: entity not found",
                "b.json[0].nom: no such field",
                "b.json[0].name: is missing",
                "b.json[0].strategy: \"cheap\" is no strategy; there are steady, night, solar, peak and discount",
                "b.json[0].margin_floor: 0.04 is not between 0 and 0.03",
                "b.json[0].id: \"ant_p09\" stands twice",
            ]
        );
    }
}
