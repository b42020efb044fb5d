//! Registers of money: what a home traded, by local month and provider.
//!
//! They are followed in memory and written as they stand, so that nothing is counted twice: an hour that is not newer
//! than the newest is never added; the home's registers are then read again from its stored trades.

use cortexiq_domain::bill::commission;
use cortexiq_domain::time::Quarter;

use crate::store::Money;

/// The registers of one home.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    months: Vec<Money>,
    /// The newest hour; none before the first.
    newest: Option<i32>,
    /// Something came that is not newer: nothing counts until the trades are read again.
    pub(crate) stale: bool,
}

/// Sums of a home, nano-euro.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) cost: i64,
    pub(crate) revenue: i64,
    /// Of months that are over.
    pub(crate) savings: i64,
    pub(crate) commission: i64,
}

impl Ledger {
    /// Takes a register as it stands in the database.
    pub(crate) fn restore(&mut self, money: Money) {
        self.newest = self.newest.max(Some(money.hour));
        self.months.push(money);
    }

    /// Begins again from the stored trades.
    pub(crate) fn rebuild(trades: Vec<Money>) -> Self {
        let mut ledger = Self::default();
        for trade in trades {
            ledger.add(trade);
        }
        ledger
    }

    /// Adds an hour and returns the register that holds it now; none when it is not newer than the newest.
    pub(crate) fn add(&mut self, trade: Money) -> Option<&Money> {
        if self.stale || self.newest.is_some_and(|newest| trade.hour <= newest) {
            return None;
        }
        self.newest = Some(trade.hour);
        let month = month_of(trade.hour);
        let held = |known: &Money| known.month == month && known.provider_id == trade.provider_id;
        // The register in question is nearly always the last.
        let place = self.months.iter().rposition(held);
        let register = match place {
            Some(place) => {
                let register = &mut self.months[place];
                register.import_wh += trade.import_wh;
                register.export_wh += trade.export_wh;
                register.cost += trade.cost;
                register.revenue += trade.revenue;
                register.saving += trade.saving;
                register.hour = trade.hour;
                register
            }
            None => {
                self.months.push(Money { month, ..trade });
                self.months.last_mut().expect("just added")
            }
        };
        Some(register)
    }

    /// Whether an hour comes right after the newest.
    pub(crate) fn is_followed_by(&self, hour: i32) -> bool {
        self.newest.is_some_and(|newest| newest + 1 == hour)
    }

    /// All registers.
    pub(crate) fn months(&self) -> &[Money] {
        &self.months
    }

    /// What they add up to. Savings are settled when their month is over.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        let open = self.newest.map_or(0, month_of);
        let mut savings: Vec<(i32, i64)> = Vec::new();
        for money in &self.months {
            sums.cost += money.cost;
            sums.revenue += money.revenue;
            if money.month < open {
                match savings.iter_mut().find(|(month, _)| *month == money.month) {
                    Some((_, saving)) => *saving += money.saving,
                    None => savings.push((money.month, money.saving)),
                }
            }
        }
        for (_, saving) in savings {
            sums.savings += saving.max(0);
            sums.commission += commission(saving);
        }
        sums
    }
}

/// The local month of an hour, as 202501.
pub(crate) fn month_of(hour: i32) -> i32 {
    let month = Quarter::containing(i64::from(hour) * 3600).day().month();
    i32::from(month.year) * 100 + i32::from(month.month)
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Sums};
    use crate::store::Money;

    /// 2025-01-31T22:00Z, the last hour but one of the local month.
    const HOUR: i32 = 482_878;

    fn trade(hour: i32, saving: i64) -> Money {
        let (home_id, provider_id) = ("ant_001".into(), "ant_p01".into());
        Money {
            home_id,
            provider_id,
            month: 0,
            import_wh: 1,
            export_wh: 0,
            cost: 10,
            revenue: 1,
            saving,
            hour,
        }
    }

    #[test]
    fn an_hour_counts_once_and_savings_when_their_month_is_over() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.add(trade(HOUR, 50)).expect("newer").month, 202_501);
        assert_eq!(ledger.add(trade(HOUR, 50)), None, "it came twice");
        assert_eq!(ledger.sums(), Sums { cost: 10, revenue: 1, savings: 0, commission: 0 });
        assert_eq!(ledger.add(trade(HOUR + 1, -7)).expect("newer").month, 202_502);
        assert_eq!(ledger.sums(), Sums { cost: 20, revenue: 2, savings: 50, commission: 10 });
        let again = Ledger::rebuild(vec![trade(HOUR, 50), trade(HOUR + 1, -7)]);
        assert_eq!(again.months(), ledger.months());
    }
}
