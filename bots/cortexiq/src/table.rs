//! Totals as people read them.

use std::fmt::Write as _;

use cortexiq_domain::totals::{RegionTotals, Totals};

/// A table of totals by region, exact.
pub(crate) fn totals(totals: &RegionTotals) -> String {
    let mut text = header();
    for (region, row) in totals.iter() {
        text += &line(region.name(), &row);
    }
    text + &line("total", &totals.total())
}

/// Two tables line by line: what is stored, and what must be.
pub(crate) fn beside(stored: &RegionTotals, computed: &RegionTotals) -> String {
    let mut text = header();
    let mut computed = computed.clone();
    for (region, row) in stored.iter() {
        text += &line(region.name(), &row);
        text += &line("  verify", computed.region(region));
    }
    text + &line("total", &stored.total()) + &line("  verify", &computed.total())
}

fn header() -> String {
    format!(
        "{:<14}{:>18}{:>18}{:>18}{:>18}{:>22}{:>22}\n",
        "", "production Wh", "consumption Wh", "import Wh", "export Wh", "paid €", "received €"
    )
}

fn line(name: &str, row: &Totals) -> String {
    let mut text = format!(
        "{name:<14}{:>18}{:>18}{:>18}{:>18}",
        row.production_wh, row.consumption_wh, row.import_wh, row.export_wh
    );
    let _ = writeln!(text, "{:>22}{:>22}", euro(row.cost), euro(row.revenue));
    text
}

/// Nano-euro as euro with all digits.
fn euro(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    format!("{sign}{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::euro;

    #[test]
    fn money_keeps_every_digit() {
        assert_eq!(euro(1_234_567_890_123), "1234.567890123");
        assert_eq!(euro(-5), "-0.000000005");
    }
}
