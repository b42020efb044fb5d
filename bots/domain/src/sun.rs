//! Where the sun stands and what it gives through a clear sky.
//!
//! The position is NREL's SPA from the crate `solar-positioning`, which splits it into a part for the instant and a cheap
//! part for the place. The clear sky is Ineichen and Perez (2002) with Linke turbidity 3 at sea level, as pvlib's
//! `ineichen` computes it without its Perez enhancement; `tests/reference/pvlib.rs` compares both with pvlib over a year.

use libm::{acos, cos, exp, pow, sin, sincos};
use solar_positioning::time::JulianDate;
use solar_positioning::{Location, PreparedPositions, RefractionCorrection, SolarPositions};

/// Direction to the sun as a unit vector: east, north, up.
pub type Direction = [f64; 3];

/// Irradiance in W/m².
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Irradiance {
    /// On a horizontal plane from the whole sky.
    pub global: f64,
    /// From the sun's disc, on a plane that faces it.
    pub direct: f64,
    /// On a horizontal plane from the rest of the sky.
    pub diffuse: f64,
}

/// The sun at an instant, prepared for many places.
#[derive(Debug, Clone, Copy)]
pub struct Sun(PreparedPositions);

impl Sun {
    /// The sun at an instant of the calendar.
    pub fn at(time: i64) -> Self {
        let julian = JulianDate::new(UNIX_EPOCH + time as f64 / 86_400.0, DELTA_T);
        let prepared = julian.and_then(|julian| SolarPositions::new().for_time_from_julian(julian));
        Self(prepared.expect("SPA knows the years from -2000 to 6000"))
    }

    /// Where it is seen, through air that bends its light, from sea level.
    ///
    /// # Panics
    /// Where there is no such latitude or longitude.
    pub fn direction(&self, latitude: f64, longitude: f64) -> Direction {
        let location = Location { latitude, longitude };
        let seen = self.0.at(location, 0.0, Some(RefractionCorrection::standard()));
        let seen = seen.expect("a place on Earth");
        let (east, north) = sincos(seen.azimuth().to_radians());
        let (across, up) = sincos(seen.zenith_angle().to_radians());
        [across * east, across * north, up]
    }
}

/// What a clear sky gives when the sun stands there, of what there is above the air on that day.
pub fn clear_sky(direction: Direction, extraterrestrial: f64) -> Irradiance {
    let up = direction[2];
    if up <= 0.0 {
        return Irradiance::default();
    }
    let zenith_deg = acos(up.min(1.0)).to_degrees();
    // Kasten and Young (1989).
    let air_mass = 1.0 / (up + 0.505_72 * pow(96.079_95 - zenith_deg, -1.6364));
    let (cg1, cg2) = (0.868, 0.0387);
    let global = cg1 * extraterrestrial * up * exp(-cg2 * air_mass * (1.0 + (TURBIDITY - 1.0)));
    let beam = extraterrestrial * 0.827 * exp(-0.09 * air_mass * (TURBIDITY - 1.0));
    let limit = global * (1.0 - (0.1 - 0.2 * exp(-TURBIDITY)) / (0.1 + 0.882)) / up;
    let direct = beam.min(limit).max(0.0);
    Irradiance { global, direct, diffuse: global - direct * up }
}

/// Irradiance above the air on a plane that faces the sun, W/m², after Spencer (1971).
pub fn extraterrestrial(day_of_year: u16) -> f64 {
    let day = 2.0 * core::f64::consts::PI / 365.0 * (f64::from(day_of_year) - 1.0);
    let distance = 1.000_11
        + 0.034_221 * cos(day)
        + 0.001_28 * sin(day)
        + 0.000_719 * cos(2.0 * day)
        + 0.000_077 * sin(2.0 * day);
    SOLAR_CONSTANT * distance
}

/// Linke's measure of haze: clean continental air.
const TURBIDITY: f64 = 3.0;
/// W/m²; pvlib's default.
const SOLAR_CONSTANT: f64 = 1366.1;
/// Julian date of 1970-01-01 00:00.
const UNIX_EPOCH: f64 = 2_440_587.5;
/// Terrestrial minus universal time in 2025, seconds. A minute more or less moves the sun by less than 0.001°.
const DELTA_T: f64 = 69.2;

#[cfg(test)]
mod tests {
    use super::{Sun, clear_sky, extraterrestrial};

    #[test]
    fn the_sun_stands_where_almanacs_say() {
        // Brussels, 2025-06-21 11:44 UTC: solar noon, 62.6° high in the south.
        let noon = Sun::at(1_750_506_240).direction(50.85, 4.35);
        assert!((noon[2].asin().to_degrees() - 62.59).abs() < 0.1, "{noon:?}");
        assert!(noon[1] < 0.0 && noon[0].abs() < 0.02, "{noon:?}");
        // The same day at 23:44 UTC it is below the horizon in the north.
        assert!(Sun::at(1_750_549_440).direction(50.85, 4.35)[2] < 0.0);
        let sky = clear_sky(noon, extraterrestrial(172));
        assert!((800.0..1000.0).contains(&sky.global) && (700.0..950.0).contains(&sky.direct), "{sky:?}");
    }
}
