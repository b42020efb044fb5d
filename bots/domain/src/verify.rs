//! What the read models must hold: everything is computed again from recorded prices and contracts, home by home, and
//! compared with what was stored.
//!
//! Decisions come from the record; measurements and trades never do. So a difference means that something was lost,
//! applied twice or changed on its way.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;

use cortexiq_proto::{ContractConfirmed, HomeMeasured, HomeTraded, SpotPriceUpdated};
use serde::Serialize;

use crate::agent::quarter_hour;
use crate::contract::{Contract, Contracts, Deals};
use crate::environment::{Environment, Place};
use crate::home::Home;
use crate::prices::{BadPrices, PriceBook};
use crate::region::Region;
use crate::state::{Model, Reading};
use crate::time::Quarter;
use crate::totals::{RegionTotals, Totals};

/// The decisions of a run.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Seed of the run.
    pub seed: u64,
    /// Its number.
    pub run: u64,
    /// Its first instant.
    pub start_time: i64,
    /// The instant up to which it is checked.
    pub end_time: i64,
    /// Its homes.
    pub homes: Vec<Home>,
    /// All prices that were published.
    pub prices: Vec<SpotPriceUpdated>,
    /// All contracts that homes took.
    pub contracts: Vec<ContractConfirmed>,
}

/// A stored quarter-hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredMeasurement {
    /// Its first instant.
    pub time: i64,
    /// Production, Wh.
    pub pv_wh: u32,
    /// Consumption, Wh.
    pub load_wh: u32,
    /// Import, Wh.
    pub import_wh: u32,
    /// Export, Wh.
    pub export_wh: u32,
    /// Into the battery, Wh.
    pub charge_wh: u32,
    /// Out of the battery, Wh.
    pub discharge_wh: u32,
    /// Import T1, import T2, export T1, export T2 at its end, Wh; none when the row does not hold them.
    pub registers_wh: Option<[u64; 4]>,
}

/// The stored sums of a home's local day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredDay {
    /// Its first instant.
    pub time: i64,
    /// Production, Wh.
    pub pv_wh: u64,
    /// Consumption, Wh.
    pub load_wh: u64,
    /// Import, Wh.
    pub import_wh: u64,
    /// Export, Wh.
    pub export_wh: u64,
    /// Into the battery, Wh.
    pub charge_wh: u64,
    /// Out of the battery, Wh.
    pub discharge_wh: u64,
    /// Of how many quarter-hours.
    pub quarters: u64,
}

/// What the read models hold. Rows of a home come in order of time; a row that is stored twice comes twice.
pub trait Stored {
    /// Why reading failed.
    type Error: fmt::Display;

    /// The first instant of which quarter-hours are kept, the begin of a local day. What was before is compared day by day.
    fn kept_from(&mut self) -> Result<i64, Self::Error>;

    /// The home's days before that instant.
    fn days(&mut self, home_id: &str) -> Result<Vec<StoredDay>, Self::Error>;

    /// The home's quarter-hours from that instant on.
    fn measurements(&mut self, home_id: &str) -> Result<Vec<StoredMeasurement>, Self::Error>;

    /// The home's hours from the start of the run.
    fn trades(&mut self, home_id: &str) -> Result<Vec<HomeTraded>, Self::Error>;

    /// The totals as the read models show them, by region.
    fn totals(&mut self) -> Result<RegionTotals, Self::Error>;
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Nothing differs and nothing is lost.
    pub equal: bool,
    /// Quarter-hours that must be there.
    pub computed: u64,
    /// Those that are.
    pub stored: u64,
    /// `computed` less `stored`.
    pub lost: u64,
    /// How many differences there are.
    pub different: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// What the totals must be.
    pub totals: RegionTotals,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The home, or the region of a total.
    pub home: String,
    /// Unix seconds of the quarter-hour or hour; 0 for totals.
    pub time: i64,
    /// What is compared: a field, `measurement` or `trade`.
    pub field: &'static str,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_second(self.time).unwrap_or_default();
        let Self { home, field, expected, found, .. } = self;
        write!(f, "{home} at {time}: {field} must be {expected}, is {found}")
    }
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recorded prices do not fill their days.
    #[error("recorded prices: {0}")]
    Prices(#[from] BadPrices),
    /// A home's run passed a day without recorded prices.
    #[error("no recorded prices for {day}")]
    NoPrices {
        /// The day.
        day: crate::time::Day,
    },
    /// A recorded contract has no terms.
    #[error("contract {0} is recorded without terms")]
    NoTerms(String),
    /// The read models could not be read.
    #[error("read models: {0}")]
    Stored(String),
}

/// Computes every home again and compares.
pub fn verify<S: Stored>(recorded: &Recorded, stored: &mut S) -> Result<Report, Error> {
    let mut prices = PriceBook::default();
    for event in recorded.prices.iter().filter(|event| event.run == recorded.run) {
        prices.on_prices(event)?;
    }
    let mut contracts: HashMap<&str, Vec<Contract>> = HashMap::new();
    let mut deals = Deals::default();
    for confirmed in recorded.contracts.iter().filter(|contract| contract.run == recorded.run) {
        let contract = deals.contract(confirmed);
        let contract = contract.ok_or_else(|| Error::NoTerms(confirmed.contract_id.clone()))?;
        contracts.entry(&confirmed.home_id).or_default().push(contract);
    }
    let mut environment = Environment::new(recorded.seed);
    let mut report = Report::default();
    let kept_from = stored.kept_from().map_err(|error| Error::Stored(error.to_string()))?;
    // Homes of one place share its days.
    let mut homes: Vec<_> = recorded.homes.iter().map(|home| (Place::of(home), home)).collect();
    homes.sort_by(|left, right| (left.0, &left.1.id).cmp(&(right.0, &right.1.id)));
    for (_, home) in homes {
        let signed = contracts.get(home.id.as_str()).map_or(&[][..], Vec::as_slice);
        let must = compute(recorded, home, signed, &prices, &mut environment)?;
        let region = home.address.region;
        must.readings.iter().for_each(|reading| report.totals.region(region).measure(reading));
        must.trades.iter().for_each(|trade| report.totals.region(region).trade(trade.cost, trade.revenue));
        let rows = stored.measurements(&home.id).map_err(|error| Error::Stored(error.to_string()))?;
        report.computed += must.readings.len() as u64;
        let (removed, kept) = must
            .readings
            .split_at(must.readings.partition_point(|reading| reading.quarter.time() < kept_from));
        report.compare_measurements(&home.id, kept, &rows);
        if !removed.is_empty() {
            let days = stored.days(&home.id).map_err(|error| Error::Stored(error.to_string()))?;
            report.compare_days(&home.id, removed, &days);
        }
        let rows = stored.trades(&home.id).map_err(|error| Error::Stored(error.to_string()))?;
        report.compare_trades(&home.id, &must.trades, &rows);
    }
    let mut totals = stored.totals().map_err(|error| Error::Stored(error.to_string()))?;
    report.compare_totals(&mut totals);
    report.lost = report.computed.saturating_sub(report.stored);
    report.equal = report.different == 0 && report.lost == 0;
    Ok(report)
}

struct Must {
    readings: Vec<Reading>,
    trades: Vec<HomeTraded>,
}

fn compute(
    recorded: &Recorded,
    home: &Home,
    signed: &[Contract],
    prices: &PriceBook,
    environment: &mut Environment,
) -> Result<Must, Error> {
    let model = Model::new(home, recorded.seed);
    let mut contracts = Contracts::new(home.address.region, recorded.start_time);
    signed.iter().for_each(|contract| {
        contracts.add(contract.clone());
    });
    let mut quarter = Quarter::from(recorded.start_time);
    let mut state = model.initial(quarter.day().month());
    let mut must = Must { readings: Vec::new(), trades: Vec::new() };
    while quarter.next().time() <= recorded.end_time {
        let day = quarter.day();
        let spot = prices.day(day).ok_or(Error::NoPrices { day })?;
        let place = environment.day(model.place(), day);
        // Contracts begin and end at local midnight, so one holds all day.
        let held = contracts.at(quarter.time());
        while quarter < day.end() && quarter.next().time() <= recorded.end_time {
            let reading = quarter_hour(&model, &mut state, quarter, &place, spot, &held);
            if quarter.ends_hour() {
                let trade = held.trade(quarter.hour_time(), reading.hour);
                must.trades.push(trade.traded(recorded.run, &home.id));
            }
            must.readings.push(reading);
            quarter = quarter.next();
        }
    }
    Ok(must)
}

impl Report {
    fn compare_measurements(&mut self, home: &str, must: &[Reading], rows: &[StoredMeasurement]) {
        let must = must.iter().map(StoredMeasurement::from);
        self.pair(home, "measurement", must, rows, |report, expected: StoredMeasurement, row| {
            report.stored += 1;
            let numbers = [
                ("pv_wh", expected.pv_wh, row.pv_wh),
                ("load_wh", expected.load_wh, row.load_wh),
                ("import_wh", expected.import_wh, row.import_wh),
                ("export_wh", expected.export_wh, row.export_wh),
                ("charge_wh", expected.charge_wh, row.charge_wh),
                ("discharge_wh", expected.discharge_wh, row.discharge_wh),
            ];
            report.compare(home, row.time, numbers);
            let registers = expected.registers_wh.iter().flatten().zip(row.registers_wh.iter().flatten());
            let numbers = REGISTERS.into_iter().zip(registers);
            report.compare(home, row.time, numbers.map(|(name, (wanted, found))| (name, *wanted, *found)));
        });
    }

    /// The days of quarter-hours that were removed.
    fn compare_days(&mut self, home: &str, must: &[Reading], days: &[StoredDay]) {
        let must = must.chunk_by(|one, other| one.quarter.day() == other.quarter.day()).map(StoredDay::of);
        self.pair(home, "day", must, days, |report, expected: StoredDay, day| {
            report.stored += day.quarters.min(expected.quarters);
            let numbers = [
                ("quarters", expected.quarters, day.quarters),
                ("pv_wh", expected.pv_wh, day.pv_wh),
                ("load_wh", expected.load_wh, day.load_wh),
                ("import_wh", expected.import_wh, day.import_wh),
                ("export_wh", expected.export_wh, day.export_wh),
                ("charge_wh", expected.charge_wh, day.charge_wh),
                ("discharge_wh", expected.discharge_wh, day.discharge_wh),
            ];
            report.compare(home, day.time, numbers);
        });
    }

    fn compare_trades(&mut self, home: &str, must: &[HomeTraded], rows: &[HomeTraded]) {
        self.pair(home, "trade", must, rows, |report, expected: &HomeTraded, row| {
            if expected.contract_id != row.contract_id {
                report.differ(home, row.time, "contract_id", &expected.contract_id, &row.contract_id);
            }
            let numbers = [
                ("import_wh", i64::from(expected.import_wh), i64::from(row.import_wh)),
                ("export_wh", expected.export_wh.into(), row.export_wh.into()),
                ("cost", expected.cost, row.cost),
                ("revenue", expected.revenue, row.revenue),
                ("left_cost", expected.left_cost, row.left_cost),
                ("left_revenue", expected.left_revenue, row.left_revenue),
            ];
            report.compare(home, row.time, numbers);
        });
    }

    /// Calls `compare` with what must be there and the row that is; tells rows that are missing and those that are too many. Both
    /// come in order of time.
    fn pair<M: Borrow<R>, R: Timed>(
        &mut self,
        home: &str,
        what: &'static str,
        must: impl IntoIterator<Item = M>,
        rows: &[R],
        mut compare: impl FnMut(&mut Self, M, &R),
    ) {
        let mut rows = rows.iter().peekable();
        for expected in must {
            let time = expected.borrow().time();
            while let Some(row) = rows.next_if(|row| row.time() < time) {
                self.differ(home, row.time(), what, "no row", "a row too many");
            }
            match rows.next_if(|row| row.time() == time) {
                Some(row) => compare(self, expected, row),
                None => self.differ(home, time, what, "a row", "none"),
            }
        }
        for row in rows {
            self.differ(home, row.time(), what, "no row", "a row too many");
        }
    }

    /// Tells the numbers that are not what they must be: name, wanted, found.
    fn compare<T: PartialEq + fmt::Display>(
        &mut self,
        home: &str,
        time: i64,
        numbers: impl IntoIterator<Item = (&'static str, T, T)>,
    ) {
        for (name, wanted, found) in numbers {
            if wanted != found {
                self.differ(home, time, name, wanted, found);
            }
        }
    }

    fn compare_totals(&mut self, found: &mut RegionTotals) {
        let expected = self.totals.clone();
        for region in Region::ALL {
            let wanted =
                expected.iter().find(|(other, _)| *other == region).map_or(Totals::default(), |row| row.1);
            let numbers = wanted.fields().into_iter().zip(found.region(region).fields());
            let numbers = numbers.map(|((name, wanted), (_, found))| (name, wanted, found));
            self.compare(region.name(), 0, numbers);
        }
    }

    fn differ(
        &mut self,
        home: &str,
        time: i64,
        field: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        self.different += 1;
        if self.differences.len() < SHOWN_DIFFERENCES {
            let (expected, found) = (expected.to_string(), found.to_string());
            self.differences.push(Difference { home: home.to_owned(), time, field, expected, found });
        }
    }
}

/// A row with the instant that it is of.
trait Timed {
    fn time(&self) -> i64;
}

impl Timed for StoredMeasurement {
    fn time(&self) -> i64 {
        self.time
    }
}

impl Timed for StoredDay {
    fn time(&self) -> i64 {
        self.time
    }
}

impl Timed for HomeTraded {
    fn time(&self) -> i64 {
        self.time
    }
}

impl StoredDay {
    /// The sums of a day's readings.
    fn of(readings: &[Reading]) -> Self {
        let time = readings.first().map_or(0, |reading| reading.quarter.day().start().time());
        readings.iter().fold(Self { time, ..Self::default() }, |day, Reading { flows, .. }| Self {
            time,
            pv_wh: day.pv_wh + u64::from(flows.pv),
            load_wh: day.load_wh + u64::from(flows.load),
            import_wh: day.import_wh + u64::from(flows.import),
            export_wh: day.export_wh + u64::from(flows.export),
            charge_wh: day.charge_wh + u64::from(flows.charge),
            discharge_wh: day.discharge_wh + u64::from(flows.discharge),
            quarters: day.quarters + 1,
        })
    }
}

impl From<&Reading> for StoredMeasurement {
    fn from(reading: &Reading) -> Self {
        let (flows, registers) = (reading.flows, reading.registers);
        Self {
            time: reading.quarter.time(),
            pv_wh: flows.pv,
            load_wh: flows.load,
            import_wh: flows.import,
            export_wh: flows.export,
            charge_wh: flows.charge,
            discharge_wh: flows.discharge,
            registers_wh: Some([
                registers.import_wh[0],
                registers.import_wh[1],
                registers.export_wh[0],
                registers.export_wh[1],
            ]),
        }
    }
}

impl From<&HomeMeasured> for StoredMeasurement {
    fn from(measured: &HomeMeasured) -> Self {
        Self {
            time: measured.time,
            pv_wh: measured.pv_wh,
            load_wh: measured.load_wh,
            import_wh: measured.import_wh,
            export_wh: measured.export_wh,
            charge_wh: measured.charge_wh,
            discharge_wh: measured.discharge_wh,
            registers_wh: Some([
                measured.import_t1_wh,
                measured.import_t2_wh,
                measured.export_t1_wh,
                measured.export_t2_wh,
            ]),
        }
    }
}

const REGISTERS: [&str; 4] = ["import_t1_wh", "import_t2_wh", "export_t1_wh", "export_t2_wh"];
/// Differences that a report shows; the rest is counted.
const SHOWN_DIFFERENCES: usize = 20;
