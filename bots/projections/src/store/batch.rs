//! What is written in one transaction: all of it, or nothing.

use std::collections::{BTreeSet, HashMap};

use super::daily::EndedDay;
use super::record::{Name, Record};
use super::roll_up::{ChangedMonth, LateMonth, Span};
use super::rows::{
    BalanceRow, ConnectionRow, ContractEventRow, ContractRow, HomeRow, MeasurementRow, MonthRow, OfferRow,
    OffsetRow, PriceRow, ProviderRow, RejectedRow, RunRow, StateRow, SwitchRow, TradeRow,
};

/// Rows that are committed together. It names homes, contracts and providers by itself, so it can be written to any
/// store, and again.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    names: HashMap<String, Name>,
    /// In the order of their places.
    texts: Vec<String>,
    pub(crate) runs: HashMap<u64, RunRow>,
    pub(crate) homes: HashMap<(u64, Name), HomeRow>,
    pub(crate) connections: HashMap<(u64, Name), ConnectionRow>,
    pub(crate) states: HashMap<(u64, Name), StateRow>,
    pub(crate) measurements: Vec<MeasurementRow>,
    /// Days of these measurements that have ended.
    pub(crate) ended_days: BTreeSet<EndedDay>,
    /// Months whose sums are taken away before they are made again.
    pub(crate) cleared: BTreeSet<Span>,
    /// Months of homes with hours among these trades that come late or again.
    pub(crate) late_months: BTreeSet<LateMonth>,
    /// Days of all homes that are over with these rows, and are to be summed up for the first time.
    pub(crate) over_days: BTreeSet<Span>,
    /// Days of all homes that were summed up before some of these rows came.
    pub(crate) late_days: BTreeSet<Span>,
    /// Days of all homes of which only money is to be summed up: their quarter-hours have gone.
    pub(crate) late_money_days: BTreeSet<Span>,
    /// Quarter-hours that are about to be removed are summed up here for the last time.
    pub(crate) last_sums: bool,
    /// Months whose registers are among these.
    pub(crate) changed_months: BTreeSet<ChangedMonth>,
    pub(crate) trades: Vec<TradeRow>,
    pub(crate) months: HashMap<(u64, Name, i32, Name), MonthRow>,
    pub(crate) contracts: Vec<ContractRow>,
    pub(crate) contract_events: Vec<ContractEventRow>,
    pub(crate) switches: Vec<SwitchRow>,
    pub(crate) providers: HashMap<(u64, Name), ProviderRow>,
    pub(crate) offers: Vec<OfferRow>,
    pub(crate) prices: Vec<PriceRow>,
    pub(crate) balances: Vec<BalanceRow>,
    pub(crate) rejected: Vec<RejectedRow>,
    pub(crate) offsets: HashMap<([u8; 16], u64, i16), OffsetRow>,
}

/// Sees the rows of one table after the other.
pub(crate) trait Visitor {
    type Error;

    fn table<R: Record>(&mut self, rows: &[&R]) -> Result<(), Self::Error>;
}

impl Batch {
    /// For sums of what is about to be removed.
    pub(super) fn of_last_sums() -> Self {
        Self { last_sums: true, ..Self::default() }
    }

    /// How many rows there are, counting what grows with traffic.
    pub fn len(&self) -> usize {
        self.measurements.len() + self.trades.len() + self.contract_events.len() + self.rejected.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
            && self.runs.is_empty()
            && self.homes.is_empty()
            && self.connections.is_empty()
            && self.states.is_empty()
            && self.months.is_empty()
            && self.contracts.is_empty()
            && self.switches.is_empty()
            && self.providers.is_empty()
            && self.offers.is_empty()
            && self.prices.is_empty()
            && self.balances.is_empty()
            && self.offsets.is_empty()
            && self.cleared.is_empty()
            && self.over_days.is_empty()
            && self.ended_days.is_empty()
            && self.late_days.is_empty()
            && self.late_money_days.is_empty()
            && self.changed_months.is_empty()
    }

    /// Rows, and the first sums of days that are over with them. These may be written later, each of them once the rows are
    /// there and in this order: what a process leaves undone is done by the one after it.
    pub fn split(mut self) -> (Self, Self) {
        let over_days = std::mem::take(&mut self.over_days);
        (self, Self { over_days, ..Self::default() })
    }

    /// The place of a name; an empty one is none.
    pub(crate) fn name(&mut self, text: &str) -> Name {
        if text.is_empty() {
            return Name::default();
        }
        if let Some(name) = self.names.get(text) {
            return *name;
        }
        self.texts.push(text.to_owned());
        let name = Name(self.texts.len() as u32);
        self.names.insert(text.to_owned(), name);
        name
    }

    /// The name at a place; empty when it is none.
    pub(crate) fn text(&self, name: Name) -> &str {
        (name.0 as usize).checked_sub(1).map_or("", |place| &self.texts[place])
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Shows the rows table by table, those of a home side by side: both databases keep them so, and a page that is
    /// written once is written faster than one that is visited twenty times.
    pub(super) fn visit<V: Visitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        fn all<'a, K: Ord, R: Record + 'a, V: Visitor>(
            visitor: &mut V,
            rows: impl IntoIterator<Item = &'a R>,
            key: impl Fn(&R) -> K,
        ) -> Result<(), V::Error> {
            let mut rows: Vec<&R> = rows.into_iter().collect();
            if rows.is_empty() {
                return Ok(());
            }
            rows.sort_by_key(|row| key(row));
            visitor.table(&rows)
        }
        all(visitor, self.runs.values(), |row| row.run)?;
        all(visitor, self.homes.values(), |row| (row.run, row.home))?;
        all(visitor, self.connections.values(), |row| (row.run, row.home))?;
        all(visitor, &self.measurements, |row| (row.run, row.home, row.quarter))?;
        all(visitor, self.states.values(), |row| (row.run, row.home))?;
        all(visitor, &self.trades, |row| (row.run, row.home, row.hour))?;
        all(visitor, self.months.values(), |row| (row.run, row.home, row.month, row.provider))?;
        all(visitor, &self.contracts, |row| (row.run, row.contract))?;
        all(visitor, &self.contract_events, |row| (row.run, row.time))?;
        all(visitor, &self.switches, |row| (row.run, row.home))?;
        all(visitor, self.providers.values(), |row| (row.run, row.provider))?;
        all(visitor, &self.offers, |row| (row.run, row.offer))?;
        all(visitor, &self.prices, |row| (row.run, row.time))?;
        all(visitor, &self.balances, |row| (row.run, row.time))?;
        all(visitor, &self.rejected, |row| (row.epoch, row.sequence))?;
        all(visitor, self.offsets.values(), |row| (row.epoch, row.class))
    }
}
