//! Energy and money of the running hour.

use std::sync::Arc;

use cortexiq_proto::{HomeTraded, HourTotals};

use crate::contract::{Deal, Prices};

/// The running hour so far. Wh times micro-euro per kWh is nano-euro, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hour {
    /// Quarter-hours in it.
    pub quarters: u32,
    /// Import, Wh.
    pub import_wh: u32,
    /// Export, Wh.
    pub export_wh: u32,
    /// Nano-euro for import.
    pub cost: i64,
    /// Nano-euro for export.
    pub revenue: i64,
    /// As `cost`, under the contract that was left.
    pub left_cost: i64,
    /// As `revenue`, under the contract that was left.
    pub left_revenue: i64,
    import_price_sum: i64,
    export_price_sum: i64,
}

impl Hour {
    /// Adds a quarter-hour.
    pub fn add(&mut self, import_wh: u32, export_wh: u32, now: Prices, left: Option<Prices>) {
        let (import, export) = (i64::from(import_wh), i64::from(export_wh));
        self.quarters += 1;
        self.import_wh += import_wh;
        self.export_wh += export_wh;
        self.cost += import * now.import;
        self.revenue += export * now.export;
        self.import_price_sum += now.import;
        self.export_price_sum += now.export;
        if let Some(left) = left {
            self.left_cost += import * left.import;
            self.left_revenue += export * left.export;
        }
    }

    /// The hour as a measurement carries it.
    pub fn totals(&self) -> HourTotals {
        HourTotals {
            import_wh: self.import_wh,
            export_wh: self.export_wh,
            cost: self.cost,
            revenue: self.revenue,
            left_cost: self.left_cost,
            left_revenue: self.left_revenue,
            import_price_sum: self.import_price_sum,
            export_price_sum: self.export_price_sum,
        }
    }

    /// The hour from a measurement that carried it after `quarters` quarter-hours.
    pub fn restore(totals: &HourTotals, quarters: u32) -> Self {
        Self {
            quarters,
            import_wh: totals.import_wh,
            export_wh: totals.export_wh,
            cost: totals.cost,
            revenue: totals.revenue,
            left_cost: totals.left_cost,
            left_revenue: totals.left_revenue,
            import_price_sum: totals.import_price_sum,
            export_price_sum: totals.export_price_sum,
        }
    }
}

/// A finished hour and the contracts that it counts for: without text of its own, so that homes can trade by the million.
#[derive(Debug, Clone, PartialEq)]
pub struct Trade {
    /// The hour's first instant.
    pub time: i64,
    /// Its energy and money.
    pub hour: Hour,
    /// What was in force.
    pub deal: Arc<Deal>,
    /// What was left for it.
    pub left: Option<Arc<Deal>>,
}

impl Trade {
    /// The trade as homes publish it.
    pub fn traded(&self, run: u64, home_id: &str) -> HomeTraded {
        let (hour, left) = (&self.hour, self.left.as_deref());
        let quarters = i64::from(hour.quarters.max(1));
        HomeTraded {
            run,
            home_id: home_id.to_owned(),
            time: self.time,
            contract_id: self.deal.contract_id(home_id),
            provider_id: self.deal.provider_id.clone(),
            import_wh: hour.import_wh,
            export_wh: hour.export_wh,
            cost: hour.cost,
            revenue: hour.revenue,
            import_price: hour.import_price_sum.div_euclid(quarters),
            export_price: hour.export_price_sum.div_euclid(quarters),
            left_contract_id: left.map(|left| left.contract_id(home_id)).unwrap_or_default(),
            left_provider_id: left.map(|left| left.provider_id.clone()).unwrap_or_default(),
            left_cost: hour.left_cost,
            left_revenue: hour.left_revenue,
        }
    }
}

/// What a trade saved against the contract that was left, nano-euro; 0 before the first switch.
pub fn saving(trade: &HomeTraded) -> i64 {
    if trade.left_contract_id.is_empty() {
        return 0;
    }
    (trade.left_cost - trade.left_revenue) - (trade.cost - trade.revenue)
}
