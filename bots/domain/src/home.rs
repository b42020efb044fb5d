//! What a home is: everything about it that does not change during a run.

use cortexiq_proto::HomeInitialized;

use crate::ean::Ean;
use crate::random;
use crate::region::Region;
use crate::standard::LoadProfile;
use crate::tariff::Zone;

/// A home.
#[derive(Debug, Clone, PartialEq)]
pub struct Home {
    /// Such as `ant_001`; all its random numbers follow from it.
    pub id: String,
    /// The family.
    pub name: String,
    /// Maker of its gateway.
    pub iot_provider: String,
    /// The connection.
    pub meter_ean: Ean,
    /// The connection's other number, for injection; where there is PV.
    pub injection_ean: Option<Ean>,
    /// Where it stands.
    pub address: Address,
    /// Panels on the roof.
    pub solar: Option<Solar>,
    /// Battery in the cellar.
    pub battery: Option<Battery>,
    /// Expected consumption of a year, kWh, without heat pump and car.
    pub annual_consumption_kwh: u32,
    /// How its consumption is expected to lie in the year.
    pub load_profile: LoadProfile,
    /// What a heat pump needs in a year, kWh; 0 without one.
    pub heat_pump_kwh: u32,
    /// What a car charges at home in a year, kWh; 0 without one.
    pub electric_vehicle_kwh: u32,
}

/// Where a home stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// Municipality.
    pub city: String,
    /// Four digits.
    pub postal_code: String,
    /// Region of the simulation.
    pub region: Region,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// Panels on a roof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solar {
    /// Peak power, W.
    pub peak_w: u32,
    /// Angle from the horizontal, degrees.
    pub tilt_deg: u32,
    /// Clockwise from north, degrees; 180 is south.
    pub azimuth_deg: u32,
}

/// A battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Battery {
    /// Content, Wh.
    pub capacity_wh: u32,
    /// Limit of charging and of discharging, W.
    pub power_w: u32,
    /// Each way, percent.
    pub efficiency_pct: u32,
}

impl Home {
    /// What its random numbers belong to.
    pub fn key(&self) -> u64 {
        random::of_name(&self.id)
    }

    /// Which tariff calendar holds here.
    pub fn zone(&self) -> Zone {
        Zone::of_postal_code(self.address.postal_code.parse().unwrap_or(0))
    }

    /// The event by which it introduces itself.
    pub fn initialized(&self, run: u64, time: i64) -> HomeInitialized {
        let solar = self.solar.unwrap_or(Solar { peak_w: 0, tilt_deg: 0, azimuth_deg: 0 });
        let battery = self.battery.unwrap_or(Battery { capacity_wh: 0, power_w: 0, efficiency_pct: 0 });
        HomeInitialized {
            run,
            time,
            home_id: self.id.clone(),
            name: self.name.clone(),
            iot_provider: self.iot_provider.clone(),
            meter_ean: self.meter_ean.to_string(),
            injection_ean: self.injection_ean.map(|ean| ean.to_string()).unwrap_or_default(),
            street: self.address.street.clone(),
            city: self.address.city.clone(),
            postal_code: self.address.postal_code.clone(),
            region: self.address.region.name().into(),
            latitude: self.address.latitude,
            longitude: self.address.longitude,
            solar_capacity_wp: solar.peak_w,
            solar_tilt_deg: solar.tilt_deg,
            solar_azimuth_deg: solar.azimuth_deg,
            battery_capacity_wh: battery.capacity_wh,
            battery_power_w: battery.power_w,
            battery_efficiency_pct: battery.efficiency_pct,
            annual_consumption_kwh: self.annual_consumption_kwh,
            load_profile: self.load_profile.name().into(),
            heat_pump_kwh: self.heat_pump_kwh,
            electric_vehicle_kwh: self.electric_vehicle_kwh,
        }
    }

    /// The home that introduced itself so; what is not a home of ours is told in one sentence.
    pub fn from_initialized(event: &HomeInitialized) -> Result<Self, String> {
        let told = |error: &dyn std::fmt::Display| format!("home {:?}: {error}", event.home_id);
        let ean = |text: &str| text.parse::<Ean>().map_err(|error| told(&error));
        Ok(Self {
            id: event.home_id.clone(),
            name: event.name.clone(),
            iot_provider: event.iot_provider.clone(),
            meter_ean: ean(&event.meter_ean)?,
            injection_ean: (!event.injection_ean.is_empty())
                .then(|| ean(&event.injection_ean))
                .transpose()?,
            address: Address {
                street: event.street.clone(),
                city: event.city.clone(),
                postal_code: event.postal_code.clone(),
                region: event.region.parse().map_err(|error| told(&error))?,
                latitude: event.latitude,
                longitude: event.longitude,
            },
            solar: (event.solar_capacity_wp > 0).then_some(Solar {
                peak_w: event.solar_capacity_wp,
                tilt_deg: event.solar_tilt_deg,
                azimuth_deg: event.solar_azimuth_deg,
            }),
            battery: (event.battery_capacity_wh > 0).then_some(Battery {
                capacity_wh: event.battery_capacity_wh,
                power_w: event.battery_power_w,
                efficiency_pct: event.battery_efficiency_pct,
            }),
            annual_consumption_kwh: event.annual_consumption_kwh,
            load_profile: match event.load_profile.as_str() {
                "" => LoadProfile::default(),
                name => name.parse().map_err(|error| told(&error))?,
            },
            heat_pump_kwh: event.heat_pump_kwh,
            electric_vehicle_kwh: event.electric_vehicle_kwh,
        })
    }
}
