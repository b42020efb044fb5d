//! From messages to rows: what is written next, and the registers it is derived from.
//!
//! Nothing here waits or asks for the time; the loop around it does.

mod restore;
mod roll_ups;
mod totals;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cortexiq_domain::time::Day;
use cortexiq_proto as proto;
use prost::Message as _;

use crate::ledger::Ledger;
use crate::message::Message;
use crate::store::daily::EndedDay;
use crate::store::rows::{
    BalanceRow, ConnectionRow, ContractEventRow, ContractRow, HomeRow, MeasurementRow, MonthRow, OfferRow,
    OffsetRow, PriceRow, ProviderRow, RejectedRow, RunRow, StateRow, SwitchRow, TradeRow,
};
use crate::store::{Batch, Money, Name};

/// Makes batches of messages.
#[derive(Debug, Default)]
pub struct Projector {
    batch: Batch,
    runs: BTreeMap<u64, Run>,
    stale: BTreeSet<(u64, String)>,
    /// Others write rows of the same runs.
    shared: bool,
    /// How far past its end a day is summed up, where it is not as usual.
    settled: Option<i64>,
}

/// Who published a message, and its place among theirs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// The publisher's id.
    pub publisher: [u8; 16],
    /// Its epoch.
    pub epoch: u64,
    /// The class: 1 event, 2 telemetry.
    pub class: i16,
    /// Its count in that class.
    pub sequence: u64,
}

/// What is known of a run.
#[derive(Debug, Default)]
struct Run {
    homes: HashMap<String, Facts>,
    providers: BTreeSet<String>,
    /// What was there before this process has been read, or there was nothing.
    complete: bool,
    measured: u64,
    switches: u64,
    periods: Periods,
}

/// Days and months of a run, as far as roll-ups are concerned.
#[derive(Debug, Default)]
struct Periods {
    /// Days that have been summed up, by their first instant, or will be when they are over: the instant after the day.
    days: BTreeMap<i64, i64>,
    /// The day of the row before.
    at: i64,
    /// The newest instant of a row.
    newest: i64,
    /// Days before this one have been summed up once.
    summed: i64,
    months: BTreeSet<i32>,
}

#[derive(Debug, Default)]
struct Facts {
    introduced: bool,
    connected: bool,
    latest: Option<Latest>,
    ledger: Ledger,
    /// The local day of the latest look, from its first instant to the one after it.
    day: (i64, i64),
}

/// What totals take from a measurement.
#[derive(Debug, Clone, Copy)]
struct Latest {
    time: i64,
    production_w: u32,
    consumption_w: u32,
    grid_w: i32,
    battery_w: i32,
    /// None without a battery.
    state_of_charge: Option<u32>,
    production_wh: u64,
    consumption_wh: u64,
    import_wh: u64,
    export_wh: u64,
}

impl Projector {
    /// For one of several that share the homes, and may get each other's at any time: what it knows of a home's money is read
    /// again where an hour does not follow the one before.
    pub fn shared() -> Self {
        Self { shared: true, ..Self::default() }
    }

    /// Sums days up so many seconds after their ends, by the newest row.
    pub fn settling(mut self, seconds: i64) -> Self {
        self.settled = Some(seconds);
        self
    }

    /// Whether others write rows of the same runs.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Takes in a message; `payload` is what it was decoded from.
    pub fn apply(&mut self, message: Message, payload: &[u8]) {
        match message {
            Message::HomeMeasured(measured) => self.on_measured(&measured, payload),
            Message::HomeTraded(trade) => self.on_traded(&trade),
            Message::TimeAdvanced(tick) => self.on_tick(&tick),
            Message::HomeInitialized(home) => self.on_home(home, payload),
            Message::HomeConnected(c) => self.on_connection(c.run, &c.home_id, c.time, true, c.reason),
            Message::HomeDisconnected(c) => self.on_connection(c.run, &c.home_id, c.time, false, c.reason),
            Message::ContractSigned(c) => {
                let what = Happened { event: 3, subject: &c.contract_id, provider: &c.provider_id };
                self.on_contract_event(c.run, c.time, &c.home_id, what, payload);
            }
            Message::ContractSwitched(switched) => self.on_switched(&switched, payload),
            Message::ContractExpired(c) => {
                let what = Happened { event: 5, subject: &c.contract_id, provider: &c.provider_id };
                self.on_contract_event(c.run, c.time, &c.home_id, what, payload);
            }
            Message::ContractConfirmed(confirmed) => self.on_confirmed(confirmed, payload),
            Message::ContractRejected(c) => {
                let what = Happened { event: 2, subject: &c.offer_id, provider: &c.provider_id };
                self.on_contract_event(c.run, c.time, &c.home_id, what, payload);
            }
            Message::ProviderInitialized(provider) => self.on_provider(provider, payload),
            Message::ContractOffered(offer) => self.on_offer(&offer),
            Message::RegionBalanced(b) => {
                let row =
                    BalanceRow { run: b.run, region: b.region, time: b.time, message: payload.to_vec() };
                self.batch.balances.push(row);
            }
            Message::SpotPriceUpdated(p) => {
                let row = PriceRow { run: p.run, time: p.time, day: p.day, message: payload.to_vec() };
                self.batch.prices.push(row);
            }
            Message::Passing => {}
        }
    }

    /// Keeps a message that cannot be stored, with the reason.
    pub fn reject(&mut self, origin: Origin, run: u64, topic: &str, reason: String, payload: &[u8]) {
        let payload = payload[..payload.len().min(REJECTED_BYTES)].to_vec();
        self.batch.rejected.push(RejectedRow {
            publisher: origin.publisher.to_vec(),
            epoch: origin.epoch,
            class: origin.class,
            sequence: origin.sequence,
            run,
            topic: topic.to_owned(),
            reason,
            payload,
        });
    }

    /// Notes how far a publisher has come.
    pub fn advance(&mut self, projection: &str, origin: &Origin) {
        let Origin { publisher, epoch, class, sequence } = origin;
        let key = (*publisher, *epoch, *class);
        let offset = self.batch.offsets.entry(key).or_insert_with(|| OffsetRow {
            projection: projection.to_owned(),
            slot: 0,
            publisher: publisher.to_vec(),
            epoch: *epoch,
            class: *class,
            sequence: 0,
        });
        offset.sequence = offset.sequence.max(*sequence);
    }

    /// How many rows wait.
    pub fn waiting(&self) -> usize {
        self.batch.len()
    }

    /// What is to be written next.
    pub fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// The newest run that has been heard of.
    pub fn newest_run(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(run, _)| *run)
    }

    /// Counts rows that were written for the newest run's totals.
    pub(crate) fn on_written(&mut self, measured: u64, switches: u64) {
        if let Some(mut run) = self.runs.last_entry() {
            run.get_mut().measured += measured;
            run.get_mut().switches += switches;
        }
    }

    fn run(&mut self, run: u64) -> &mut Run {
        if !self.runs.contains_key(&run) {
            // What is newer than everything known begins empty; of an older one nobody knows what is stored.
            let complete = self.newest_run().is_none_or(|newest| run > newest);
            let periods = if complete { Periods::default() } else { Periods::unknown() };
            self.runs.insert(run, Run { complete, periods, ..Run::default() });
            // Here only stragglers would ask for older ones; the database still has them.
            let oldest = *self.runs.first_key_value().expect("just added").0;
            if self.runs.len() > KEPT_RUNS && oldest != run {
                self.runs.remove(&oldest);
            }
        }
        self.runs.get_mut(&run).expect("just added")
    }

    fn on_tick(&mut self, tick: &proto::TimeAdvanced) {
        self.run(tick.run);
        let row = RunRow {
            run: tick.run,
            tick: tick.tick as i64,
            simulation_time: tick.simulation_time,
            speed: tick.speed.into(),
            paused: tick.paused.into(),
            seed: tick.seed,
            start_time: tick.start_time,
        };
        let known = self.batch.runs.entry(tick.run).or_default();
        if row.tick >= known.tick {
            *known = row;
        }
    }

    fn on_home(&mut self, home: proto::HomeInitialized, payload: &[u8]) {
        let facts = self.home(home.run, &home.home_id);
        let late = !std::mem::replace(&mut facts.introduced, true)
            && (facts.latest.is_some() || !facts.ledger.months().is_empty());
        if late {
            self.sum_all_again(home.run);
        }
        let name = self.batch.name(&home.home_id);
        let texts =
            [&home.home_id, &home.name, &home.meter_ean, &home.injection_ean, &home.city, &home.postal_code];
        let search = texts.map(String::as_str).join("\n").to_lowercase();
        let row = HomeRow {
            run: home.run,
            home: name,
            home_id: home.home_id,
            region: home.region,
            city: home.city,
            latitude: home.latitude,
            longitude: home.longitude,
            search,
            message: payload.to_vec(),
        };
        self.batch.homes.insert((row.run, name), row);
    }

    fn on_connection(&mut self, run: u64, home_id: &str, time: i64, connected: bool, reason: String) {
        self.home(run, home_id).connected = connected;
        let home = self.batch.name(home_id);
        let row = ConnectionRow { run, home, time, connected: connected.into(), reason };
        let known = self.batch.connections.entry((run, home)).or_default();
        if time >= known.time {
            *known = row;
        }
    }

    fn on_measured(&mut self, m: &proto::HomeMeasured, payload: &[u8]) {
        // Between two quarter-hours there is nothing to keep.
        if m.provisional {
            return;
        }
        let latest = Latest::of(m);
        let Run { complete, periods, .. } = self.run(m.run);
        let (complete, summed) = (*complete, periods.summed);
        let facts = self.home(m.run, &m.home_id);
        let day = facts.day_of(m.time);
        let late = day.0 < summed;
        // Its last quarter-hour, or one that comes after it. Of an older run nobody knows which was the last.
        let ends = m.time + 900 == day.1 || facts.latest.is_some_and(|known| known.time + 900 >= day.1);
        let ended_day = (ends || late || !complete).then_some(day);
        if facts.latest.is_none_or(|known| known.time < m.time) {
            facts.latest = Some(latest);
        }
        let (run, quarter) = (m.run, (m.time / 900) as i32);
        let home = self.batch.name(&m.home_id);
        if let Some((first, until)) = ended_day {
            let [first, until] = [first, until].map(|time| (time / 900) as i32);
            self.batch.ended_days.insert(EndedDay { run, home, quarter: first, until });
        }
        self.on_row(run, day, m.time);
        self.batch.measurements.push(MeasurementRow {
            run,
            home,
            quarter,
            pv_wh: m.pv_wh as i32,
            load_wh: m.load_wh as i32,
            import_wh: m.import_wh as i32,
            export_wh: m.export_wh as i32,
            charge_wh: m.charge_wh as i32,
            discharge_wh: m.discharge_wh as i32,
            curtailed_wh: m.curtailed_wh as i32,
            import_t1_wh: m.import_t1_wh as i32,
            import_t2_wh: m.import_t2_wh as i32,
            export_t1_wh: m.export_t1_wh as i32,
            export_t2_wh: m.export_t2_wh as i32,
            state_of_charge: m.state_of_charge_pct as i16,
            tariff: m.tariff as i16,
        });
        let state = self.batch.states.entry((run, home)).or_default();
        if state.run == 0 || state.quarter < quarter {
            let mut message = std::mem::take(&mut state.message);
            message.clear();
            message.extend_from_slice(payload);
            *state = StateRow {
                run,
                home,
                quarter,
                production_w: m.production_w.into(),
                consumption_w: m.consumption_w.into(),
                battery_w: m.battery_w.into(),
                grid_w: m.grid_w.into(),
                production_wh: m.production_wh as i64,
                consumption_wh: m.consumption_wh as i64,
                import_wh: latest.import_wh as i64,
                export_wh: latest.export_wh as i64,
                message,
            };
        }
    }

    fn on_traded(&mut self, t: &proto::HomeTraded) {
        let home = self.batch.name(&t.home_id);
        let row = TradeRow {
            run: t.run,
            home,
            hour: (t.time / 3600) as i32,
            contract: self.batch.name(&t.contract_id),
            provider: self.batch.name(&t.provider_id),
            left_contract: self.batch.name(&t.left_contract_id),
            left_provider: self.batch.name(&t.left_provider_id),
            import_wh: t.import_wh as i32,
            export_wh: t.export_wh as i32,
            cost: t.cost,
            revenue: t.revenue,
            import_price: t.import_price,
            export_price: t.export_price,
            left_cost: t.left_cost,
            left_revenue: t.left_revenue,
        };
        self.batch.trades.push(row);
        let day = self.home(t.run, &t.home_id).day_of(t.time);
        self.on_row(t.run, day, t.time);
        self.count(
            t.run,
            home,
            Money {
                home_id: t.home_id.clone(),
                month: 0,
                provider_id: t.provider_id.clone(),
                import_wh: t.import_wh.into(),
                export_wh: t.export_wh.into(),
                cost: t.cost,
                revenue: t.revenue,
                saving: cortexiq_domain::trade::saving(t),
                hour: (t.time / 3600) as i32,
            },
        );
    }

    /// Counts an hour on its register, or notes that the home's registers have to be read again.
    fn count(&mut self, run: u64, home: Name, trade: Money) {
        let shared = self.shared;
        let known = self.run(run);
        let complete = known.complete && !shared;
        let ledger = match known.homes.get_mut(&trade.home_id) {
            Some(facts) => &mut facts.ledger,
            None => &mut known.homes.entry(trade.home_id.clone()).or_default().ledger,
        };
        if (!complete && ledger.months().is_empty()) || (shared && !ledger.is_followed_by(trade.hour)) {
            ledger.stale = true;
        }
        let (home_id, hour) = (trade.home_id.clone(), trade.hour);
        match ledger.add(trade).cloned() {
            Some(register) => self.write_register(run, home, &register),
            None => {
                ledger.stale = true;
                self.stale.insert((run, home_id));
                self.on_late_trade(run, home, hour);
            }
        }
    }

    fn write_register(&mut self, run: u64, home: Name, register: &Money) {
        let provider = self.batch.name(&register.provider_id);
        let row = MonthRow {
            run,
            home,
            month: register.month,
            provider,
            import_wh: register.import_wh,
            export_wh: register.export_wh,
            cost: register.cost,
            revenue: register.revenue,
            saving: register.saving,
            hour: register.hour,
        };
        self.on_register(run, row.month);
        self.batch.months.insert((run, home, row.month, provider), row);
    }

    /// Takes a home's stored trades; those that wait in the batch count on top.
    fn rebuild(&mut self, run: u64, home_id: &str, trades: Vec<Money>) {
        self.stale.remove(&(run, home_id.to_owned()));
        let home = self.batch.name(home_id);
        let ledger = Ledger::rebuild(trades);
        let registers = ledger.months().to_vec();
        self.home(run, home_id).ledger = ledger;
        registers.iter().for_each(|register| self.write_register(run, home, register));
        let mut waiting: Vec<TradeRow> =
            self.batch.trades.iter().filter(|row| row.run == run && row.home == home).cloned().collect();
        waiting.sort_by_key(|row| row.hour);
        for row in waiting {
            let saving = (row.left_cost - row.left_revenue) - (row.cost - row.revenue);
            let trade = Money {
                home_id: home_id.to_owned(),
                month: 0,
                provider_id: self.batch.text(row.provider).to_owned(),
                import_wh: row.import_wh.into(),
                export_wh: row.export_wh.into(),
                cost: row.cost,
                revenue: row.revenue,
                saving: if row.left_contract == Name::default() { 0 } else { saving },
                hour: row.hour,
            };
            let register = self.home(run, home_id).ledger.add(trade).cloned();
            match register {
                Some(register) => self.write_register(run, home, &register),
                // It is not newer than what is stored: the registers are read once more when it is stored too.
                None => {
                    self.home(run, home_id).ledger.stale = true;
                    self.stale.insert((run, home_id.to_owned()));
                }
            }
        }
    }

    fn on_contract_event(&mut self, run: u64, time: i64, home: &str, what: Happened<'_>, payload: &[u8]) {
        let row = ContractEventRow {
            run,
            time,
            home: self.batch.name(home),
            event: what.event,
            subject: self.batch.name(what.subject),
            provider: self.batch.name(what.provider),
            message: payload.to_vec(),
        };
        self.batch.contract_events.push(row);
    }

    fn on_switched(&mut self, c: &proto::ContractSwitched, payload: &[u8]) {
        let what = Happened { event: 4, subject: &c.to_contract_id, provider: &c.to_provider_id };
        self.on_contract_event(c.run, c.time, &c.home_id, what, payload);
        let row = SwitchRow {
            run: c.run,
            home: self.batch.name(&c.home_id),
            to_contract: self.batch.name(&c.to_contract_id),
            time: c.time,
            start_time: c.start_time,
            from_contract: self.batch.name(&c.from_contract_id),
            from_provider: self.batch.name(&c.from_provider_id),
            to_provider: self.batch.name(&c.to_provider_id),
            projected_savings: c.projected_savings,
            switching_discount: c.switching_discount,
            days_before_expiry: c.days_before_expiry.into(),
            reason: c.reason as i16,
        };
        self.batch.switches.push(row);
    }

    fn on_confirmed(&mut self, c: proto::ContractConfirmed, payload: &[u8]) {
        let what = Happened { event: 1, subject: &c.contract_id, provider: &c.provider_id };
        self.on_contract_event(c.run, c.accepted_time, &c.home_id, what, payload);
        let row = ContractRow {
            run: c.run,
            contract: self.batch.name(&c.contract_id),
            home: self.batch.name(&c.home_id),
            provider: self.batch.name(&c.provider_id),
            home_region: c.home_region,
            provider_region: c.provider_region,
            reason: c.reason as i16,
            accepted_time: c.accepted_time,
            start_time: c.start_time,
            end_time: c.end_time,
            message: payload.to_vec(),
        };
        self.batch.contracts.push(row);
    }

    fn on_provider(&mut self, p: proto::ProviderInitialized, payload: &[u8]) {
        self.run(p.run).providers.insert(p.provider_id.clone());
        let provider = self.batch.name(&p.provider_id);
        let (run, message) = (p.run, payload.to_vec());
        let row = ProviderRow { run, provider, provider_id: p.provider_id, region: p.region, message };
        self.batch.providers.insert((run, provider), row);
    }

    fn on_offer(&mut self, o: &proto::ContractOffered) {
        // Those before it have rows of their own.
        let alone = proto::ContractOffered { earlier: Vec::new(), ..o.clone() };
        let row = OfferRow {
            run: o.run,
            offer: self.batch.name(&o.offer_id),
            provider: self.batch.name(&o.provider_id),
            valid_from: o.valid_from,
            valid_until: o.valid_until,
            message: alone.encode_to_vec(),
        };
        self.batch.offers.push(row);
    }

    fn home(&mut self, run: u64, home_id: &str) -> &mut Facts {
        let homes = &mut self.run(run).homes;
        if !homes.contains_key(home_id) {
            homes.insert(home_id.to_owned(), Facts::default());
        }
        homes.get_mut(home_id).expect("just there")
    }
}

impl Facts {
    /// The local day that an instant lies in.
    fn day_of(&mut self, time: i64) -> (i64, i64) {
        if !(self.day.0..self.day.1).contains(&time) {
            let day = Day::containing(time);
            self.day = (day.start().time(), day.end().time());
        }
        self.day
    }
}

struct Happened<'a> {
    event: i16,
    subject: &'a str,
    provider: &'a str,
}

impl Latest {
    fn of(m: &proto::HomeMeasured) -> Self {
        Self {
            time: m.time,
            production_w: m.production_w,
            consumption_w: m.consumption_w,
            grid_w: m.grid_w,
            battery_w: m.battery_w,
            state_of_charge: (m.battery_mwh > 0).then_some(m.state_of_charge_pct),
            production_wh: m.production_wh,
            consumption_wh: m.consumption_wh,
            import_wh: m.import_t1_wh + m.import_t2_wh,
            export_wh: m.export_t1_wh + m.export_t2_wh,
        }
    }
}

/// What is kept of a payload that was not understood.
const REJECTED_BYTES: usize = 4096;
/// The current run, and the one before it for its stragglers.
const KEPT_RUNS: usize = 2;
