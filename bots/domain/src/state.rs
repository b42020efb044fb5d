//! The pure model of a home: one quarter-hour after the other, in whole Wh.
//!
//! A step is a function of the home, its state, the conditions and the prices of that quarter-hour, nothing else. What
//! is below one Wh is carried to the next step, so that nothing is lost or invented:
//! `PV + import + discharge = load + export + charge`, exactly, in every quarter-hour.

use cortexiq_proto::HomeMeasured;

use crate::battery::Cells;
use crate::contract::Prices;
use crate::environment::{Conditions, Place};
use crate::home::Home;
use crate::load;
use crate::prices::Mode;
use crate::pv::Roof;
use crate::random::{Random, of_name, unit};
use crate::standard::LoadProfile;
use crate::tariff::Tariff;
use crate::time::{Month, Quarter};
use crate::trade::Hour;

/// A home prepared for many steps under a seed.
#[derive(Debug, Clone)]
pub struct Model {
    key: u64,
    place: Place,
    roof: Option<Roof>,
    cells: Option<Cells>,
    annual_wh: f64,
    load_profile: LoadProfile,
    heat_pump: Option<HeatPump>,
    car: Option<Car>,
    random: Randoms,
}

/// The random numbers of a seed.
#[derive(Debug, Clone, Copy)]
struct Randoms {
    appliances: Random,
    trips: Random,
    heating: Random,
}

/// A heat pump for rooms and hot water.
#[derive(Debug, Clone, Copy)]
struct HeatPump {
    /// Of a year, for rooms, Wh.
    rooms_wh: f64,
    /// The least it can run at, Wh in a quarter-hour: in milder weather it goes on and off.
    least_wh: f64,
    /// Hot water of a day, in each quarter-hour of its hour, Wh.
    water_wh: f64,
    /// Wall-clock quarter-hour in which it begins to heat water.
    water_from: u8,
}

#[derive(Debug, Clone, Copy)]
struct Car {
    /// Of a year.
    yearly_kwh: u32,
    /// Limit of the charging point in a quarter-hour, Wh.
    step_wh: u32,
    /// Wall-clock quarter-hour of coming home.
    plugged_in: u8,
}

/// What a step needs besides the home.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The quarter-hour.
    pub quarter: Quarter,
    /// Its local month.
    pub month: Month,
    /// Sun, season and tariff.
    pub conditions: &'a Conditions,
    /// Prices under the contract in force.
    pub prices: Prices,
    /// Prices under the contract that was left.
    pub left: Option<Prices>,
    /// Under a dynamic contract: what to do at today's prices.
    pub dynamic: Option<Dynamic<'a>>,
}

/// Today's prices as a dynamic home sees them.
#[derive(Debug, Clone, Copy)]
pub struct Dynamic<'a> {
    /// What the battery does now.
    pub mode: Mode,
    /// Spot prices of the day's quarter-hours.
    pub day: &'a [i64],
    /// Which of them is now.
    pub index: usize,
}

/// The state of a home between two quarter-hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeState {
    battery_mwh: u64,
    pv_carry_uwh: u32,
    load_carry_uwh: u32,
    ev_remaining_wh: u32,
    registers: Registers,
    peak: Peak,
    hour: Hour,
}

/// Cumulative registers, Wh. None of them ever goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registers {
    /// 1.8.1 and 1.8.2.
    pub import_wh: [u64; 2],
    /// 2.8.1 and 2.8.2.
    pub export_wh: [u64; 2],
    /// All production.
    pub production_wh: u64,
    /// All consumption.
    pub consumption_wh: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peak {
    month: Month,
    watts: u32,
    time: i64,
}

/// Energies of a quarter-hour, Wh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flows {
    /// Production, after curtailment.
    pub pv: u32,
    /// Consumption with heat pump and car.
    pub load: u32,
    /// From the grid.
    pub import: u32,
    /// To the grid.
    pub export: u32,
    /// Into the battery.
    pub charge: u32,
    /// Out of the battery.
    pub discharge: u32,
    /// Not produced because feeding in would have cost money.
    pub curtailed: u32,
}

/// One measured quarter-hour: small and without text, so that homes can be stepped by the million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The quarter-hour.
    pub quarter: Quarter,
    /// Its energies.
    pub flows: Flows,
    /// Registers at its end.
    pub registers: Registers,
    /// Which register counted.
    pub tariff: Tariff,
    /// Content of the battery at its end, mWh.
    pub battery_mwh: u64,
    /// The same in tenths of a percent.
    pub charge_permille: u32,
    /// Highest quarter-hour of the month, W, and when it began.
    pub month_peak: (u32, i64),
    /// The running hour at its end.
    pub hour: Hour,
    carries: (u32, u32, u32),
}

impl Model {
    /// Prepares a home.
    pub fn new(home: &Home, seed: u64) -> Self {
        let key = home.key();
        let car = (home.electric_vehicle_kwh > 0).then(|| Car {
            yearly_kwh: home.electric_vehicle_kwh,
            step_wh: charging_point(home.electric_vehicle_kwh, key),
            plugged_in: 70 + (key >> 13) as u8 % 12,
        });
        Self {
            key,
            place: Place::of(home),
            roof: home.solar.map(Roof::new),
            cells: home.battery.map(Cells::new),
            annual_wh: f64::from(home.annual_consumption_kwh) * 1000.0,
            load_profile: home.load_profile,
            heat_pump: (home.heat_pump_kwh > 0).then(|| HeatPump::new(home.heat_pump_kwh, key)),
            car,
            random: Randoms::new(seed),
        }
    }

    /// The same home under another seed.
    pub fn under(&self, seed: u64) -> Self {
        Self { random: Randoms::new(seed), ..self.clone() }
    }

    /// Whether a battery or a car lets it use cheap hours.
    pub fn is_flexible(&self) -> bool {
        self.cells.is_some() || self.car.is_some()
    }

    /// What the home's random numbers belong to.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Where its conditions come from.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The state at the beginning of a run.
    pub fn initial(&self, month: Month) -> HomeState {
        HomeState {
            battery_mwh: self.cells.map_or(0, |cells| cells.initial_mwh()),
            pv_carry_uwh: 0,
            load_carry_uwh: 0,
            ev_remaining_wh: 0,
            registers: Registers::default(),
            peak: Peak { month, watts: 0, time: 0 },
            hour: Hour::default(),
        }
    }

    /// What the car takes now. It has charged when the morning comes; under a dynamic contract it waits for the cheapest
    /// quarter-hours of the night, judged by the day's own prices alone so that no home waits for tomorrow's.
    fn car_wh(&self, state: &mut HomeState, inputs: &Inputs<'_>) -> u32 {
        let Some(car) = self.car else { return 0 };
        let wall = inputs.conditions.wall_quarter;
        if wall == car.plugged_in {
            let night_wh = f64::from(car.yearly_kwh) * 1000.0 / 365.0;
            let need = 2.0 * night_wh * unit(self.random.trips.at(self.key, inputs.quarter.number()));
            state.ev_remaining_wh = (need as u32).min(car.step_wh * EV_QUARTERS);
        }
        if state.ev_remaining_wh == 0 || (EV_LEAVES..car.plugged_in).contains(&wall) {
            return 0;
        }
        let wanted = state.ev_remaining_wh.min(car.step_wh);
        if let Some(dynamic) = inputs.dynamic {
            let price = dynamic.day[dynamic.index];
            // Clocks change before cars leave.
            let leaves = dynamic.day.len() - usize::from(96 - EV_LEAVES);
            let waits = if wall >= car.plugged_in {
                // Before midnight only what is cheaper than this morning's night was, or will not fit into the next.
                let night = &dynamic.day[..leaves];
                let fits = state.ev_remaining_wh <= car.step_wh * u32::from(EV_LEAVES - 4);
                fits && price * night.len() as i64 > night.iter().sum::<i64>()
            } else {
                let rest = &dynamic.day[dynamic.index..leaves];
                let needed = state.ev_remaining_wh.div_ceil(car.step_wh) as usize;
                rest.iter().filter(|other| **other < price).count() >= needed
            };
            if waits {
                return 0;
            }
        }
        state.ev_remaining_wh -= wanted;
        wanted
    }
}

impl Randoms {
    fn new(seed: u64) -> Self {
        Self {
            appliances: load::random(seed),
            trips: Random::new(seed, of_name("trips")),
            heating: Random::new(seed, of_name("heating")),
        }
    }
}

impl HeatPump {
    fn new(yearly_kwh: u32, key: u64) -> Self {
        let yearly_wh = f64::from(yearly_kwh) * 1000.0;
        let rooms_wh = yearly_wh * (1.0 - WATER_SHARE);
        Self {
            rooms_wh,
            least_wh: rooms_wh * SIZED_SHARE * LEAST_POWER,
            water_wh: yearly_wh * WATER_SHARE / 365.0 / 4.0,
            // Before people get up, or with the sun of the early afternoon.
            water_from: if key & 1 == 0 { 14 } else { 50 } + (key >> 29) as u8 % 10,
        }
    }

    fn wh(&self, model: &Model, conditions: &Conditions, quarter: Quarter) -> f64 {
        let wall = conditions.wall_quarter;
        let water = if (self.water_from..self.water_from + 4).contains(&wall) { self.water_wh } else { 0.0 };
        let wanted = self.rooms_wh * conditions.heating_share;
        let block = (quarter.number() + (model.key & 0xff) as i64) / RUN_QUARTERS;
        let rooms = match wanted < self.least_wh {
            true if model.random.heating.unit(model.key, block) * self.least_wh < wanted => self.least_wh,
            true => 0.0,
            false => wanted,
        };
        rooms + water
    }
}

impl HomeState {
    /// The state at the end of a measured quarter-hour: all that a restarted home needs.
    pub fn restore(measured: &HomeMeasured) -> Self {
        let quarter = Quarter::containing(measured.time);
        let begun = (quarter.number().rem_euclid(4) + 1) as u32;
        let hour = match &measured.hour {
            Some(totals) if !quarter.ends_hour() => Hour::restore(totals, begun),
            _ => Hour::default(),
        };
        Self {
            battery_mwh: measured.battery_mwh.into(),
            pv_carry_uwh: measured.pv_carry_uwh,
            load_carry_uwh: measured.load_carry_uwh,
            ev_remaining_wh: measured.ev_remaining_wh,
            registers: Registers {
                import_wh: [measured.import_t1_wh, measured.import_t2_wh],
                export_wh: [measured.export_t1_wh, measured.export_t2_wh],
                production_wh: measured.production_wh,
                consumption_wh: measured.consumption_wh,
            },
            peak: Peak {
                month: quarter.day().month(),
                watts: measured.month_peak_w,
                time: measured.month_peak_time,
            },
            hour,
        }
    }

    /// The registers as they read now.
    pub fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Computes one quarter-hour.
    pub fn step(&mut self, model: &Model, inputs: &Inputs<'_>) -> Reading {
        let conditions = inputs.conditions;
        let sun = model.roof.map_or(0.0, |roof| roof.wh(conditions));
        let mut demand = load::household_wh(
            model.random.appliances,
            model.key,
            inputs.quarter.number(),
            model.annual_wh * conditions.household_share[model.load_profile.index()],
        );
        if let Some(heat_pump) = model.heat_pump {
            demand += heat_pump.wh(model, conditions, inputs.quarter);
        }
        let available = whole(sun, &mut self.pv_carry_uwh);
        let load = whole(demand, &mut self.load_carry_uwh) + model.car_wh(self, inputs);
        let mut flows = Flows { pv: available, load, ..Flows::default() };
        self.run_battery(model, inputs, &mut flows);

        // What is left over or missing passes the meter.
        let balance = i64::from(flows.pv) + i64::from(flows.discharge)
            - i64::from(flows.load)
            - i64::from(flows.charge);
        if balance < 0 {
            flows.import = -balance as u32;
        } else if inputs.dynamic.is_some() && inputs.prices.export < 0 {
            flows.curtailed = (balance as u32).min(flows.pv);
            flows.pv -= flows.curtailed;
            flows.export = balance as u32 - flows.curtailed;
        } else {
            flows.export = balance as u32;
        }
        self.count(model, inputs, flows)
    }

    fn run_battery(&mut self, model: &Model, inputs: &Inputs<'_>, flows: &mut Flows) {
        let Some(cells) = model.cells else { return };
        let (room, gives) = (cells.room_wh(self.battery_mwh), cells.gives_wh(self.battery_mwh));
        let surplus = i64::from(flows.pv) - i64::from(flows.load);
        let (charge, discharge) = match inputs.dynamic.map_or(Mode::SelfConsumption, |dynamic| dynamic.mode) {
            Mode::Charge => (room, 0),
            Mode::Sell => (0, gives.min((-surplus).max(0) as u64)),
            Mode::Discharge => (0, gives),
            Mode::SelfConsumption => (room.min(surplus.max(0) as u64), gives.min((-surplus).max(0) as u64)),
        };
        self.battery_mwh = cells.after(self.battery_mwh, charge, discharge);
        (flows.charge, flows.discharge) = (charge as u32, discharge as u32);
    }

    fn count(&mut self, model: &Model, inputs: &Inputs<'_>, flows: Flows) -> Reading {
        let tariff = inputs.conditions.tariff;
        self.registers.import_wh[tariff.index()] += u64::from(flows.import);
        self.registers.export_wh[tariff.index()] += u64::from(flows.export);
        self.registers.production_wh += u64::from(flows.pv);
        self.registers.consumption_wh += u64::from(flows.load);
        if self.peak.month != inputs.month {
            self.peak = Peak { month: inputs.month, watts: 0, time: 0 };
        }
        if flows.import * 4 > self.peak.watts {
            self.peak = Peak { watts: flows.import * 4, time: inputs.quarter.time(), ..self.peak };
        }
        self.hour.add(flows.import, flows.export, inputs.prices, inputs.left);
        let reading = Reading {
            quarter: inputs.quarter,
            flows,
            registers: self.registers,
            tariff,
            battery_mwh: self.battery_mwh,
            charge_permille: model.cells.map_or(0, |cells| cells.permille(self.battery_mwh)),
            month_peak: (self.peak.watts, self.peak.time),
            hour: self.hour,
            carries: (self.pv_carry_uwh, self.load_carry_uwh, self.ev_remaining_wh),
        };
        if inputs.quarter.ends_hour() {
            self.hour = Hour::default();
        }
        reading
    }
}

impl Reading {
    /// Import minus export, Wh.
    pub fn net_wh(&self) -> i64 {
        i64::from(self.flows.import) - i64::from(self.flows.export)
    }

    /// The reading as homes publish it.
    pub fn measured(&self, run: u64, home_id: &str) -> HomeMeasured {
        let Flows { pv, load, import, export, charge, discharge, curtailed } = self.flows;
        HomeMeasured {
            run,
            home_id: home_id.to_owned(),
            time: self.quarter.time(),
            production_w: pv * 4,
            consumption_w: load * 4,
            battery_w: (charge as i32 - discharge as i32) * 4,
            grid_w: (import as i32 - export as i32) * 4,
            state_of_charge_pct: self.charge_permille,
            pv_wh: pv,
            load_wh: load,
            import_wh: import,
            export_wh: export,
            charge_wh: charge,
            discharge_wh: discharge,
            curtailed_wh: curtailed,
            import_t1_wh: self.registers.import_wh[0],
            import_t2_wh: self.registers.import_wh[1],
            export_t1_wh: self.registers.export_wh[0],
            export_t2_wh: self.registers.export_wh[1],
            production_wh: self.registers.production_wh,
            consumption_wh: self.registers.consumption_wh,
            tariff: self.tariff.number(),
            month_peak_w: self.month_peak.0,
            month_peak_time: self.month_peak.1,
            battery_mwh: self.battery_mwh as u32,
            pv_carry_uwh: self.carries.0,
            load_carry_uwh: self.carries.1,
            ev_remaining_wh: self.carries.2,
            hour: Some(self.hour.totals()),
            provisional: false,
        }
    }
}

/// Whole Wh of an energy and the carry, leaving the rest in the carry (µWh).
fn whole(wh: f64, carry_uwh: &mut u32) -> u32 {
    let total = (wh * 1e6) as u64 + u64::from(*carry_uwh);
    *carry_uwh = (total % 1_000_000) as u32;
    (total / 1_000_000) as u32
}

/// A quarter-hour's energy of the smallest charging point that gives a car twice its mean need in a night: 3.7, 7.4 or 11 kW,
/// and a third of the homes with more than they need.
fn charging_point(yearly_kwh: u32, key: u64) -> u32 {
    let need = yearly_kwh * 2000 / 365;
    let points = [920, 1840, 2760];
    let enough = points.iter().position(|step| step * EV_QUARTERS >= need).unwrap_or(points.len() - 1);
    points[if key.is_multiple_of(3) { (enough + 1).min(points.len() - 1) } else { enough }]
}

/// Cars leave at 07:00.
const EV_LEAVES: u8 = 28;
/// Between the latest coming home and leaving, on the night that is an hour short.
const EV_QUARTERS: u32 = 96 - 81 + 28 - 4;
/// Of a heat pump's electricity, what heats water; the rest heats rooms. Usual for a family in a Belgian house.
const WATER_SHARE: f64 = 0.2;
/// Of the year's electricity for rooms, what a quarter-hour at 7 °C below zero takes; that is what heat pumps are sized for.
const SIZED_SHARE: f64 = 1.05e-4;
/// Of its power, the least that an inverter runs at.
const LEAST_POWER: f64 = 0.35;
/// How long a heat pump stays on, quarter-hours.
const RUN_QUARTERS: i64 = 2;
