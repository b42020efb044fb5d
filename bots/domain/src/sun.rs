//! Where the sun stands and what it gives through a clear sky.
//!
//! Position after NOAA's solar calculator (Meeus), good to about 0.01° in our century; the clear sky after Ineichen and
//! Perez (2002) with Linke turbidity 3 at sea level, as pvlib's `ineichen` computes it without its Perez enhancement.

use libm::{acos, asin, atan2, cos, exp, pow, sin};

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

/// Direction to the sun at an instant, seen from a place.
pub fn direction(time: i64, latitude: f64, longitude: f64) -> Direction {
    let century = (time as f64 / 86_400.0 - 10_957.5) / 36_525.0;
    let rad = core::f64::consts::PI / 180.0;
    let mean_longitude = (280.466_46 + century * (36_000.769_83 + century * 0.000_303_2)) * rad;
    let anomaly = (357.529_11 + century * (35_999.050_29 - 0.000_153_7 * century)) * rad;
    let center = sin(anomaly) * (1.914_602 - century * (0.004_817 + 0.000_014 * century))
        + sin(2.0 * anomaly) * (0.019_993 - 0.000_101 * century)
        + sin(3.0 * anomaly) * 0.000_289;
    let omega = (125.04 - 1934.136 * century) * rad;
    let longitude_of_sun = mean_longitude + (center - 0.005_69 - 0.004_78 * sin(omega)) * rad;
    let obliquity = (23.439_291 - 0.013_004_2 * century + 0.002_56 * cos(omega)) * rad;
    let declination = asin(sin(obliquity) * sin(longitude_of_sun));
    let right_ascension = atan2(cos(obliquity) * sin(longitude_of_sun), cos(longitude_of_sun));
    let sidereal = (280.460_618_37 + 360.985_647_366_29 * (time as f64 / 86_400.0 - 10_957.5)) % 360.0;
    let hour_angle = (sidereal + longitude) * rad - right_ascension;
    let (sin_lat, cos_lat) = (sin(latitude * rad), cos(latitude * rad));
    let (sin_dec, cos_dec) = (sin(declination), cos(declination));
    [
        -cos_dec * sin(hour_angle),
        cos_lat * sin_dec - sin_lat * cos_dec * cos(hour_angle),
        sin_lat * sin_dec + cos_lat * cos_dec * cos(hour_angle),
    ]
}

/// What a clear sky gives when the sun stands there on that day of the year.
pub fn clear_sky(direction: Direction, day_of_year: u16) -> Irradiance {
    const TURBIDITY: f64 = 3.0;
    let up = direction[2];
    if up <= 0.0 {
        return Irradiance::default();
    }
    let extraterrestrial = 1364.0
        * (1.0 + 0.033_41 * cos(2.0 * core::f64::consts::PI * (f64::from(day_of_year) - 3.0) / 365.25));
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

#[cfg(test)]
mod tests {
    use super::{clear_sky, direction};

    #[test]
    fn the_sun_stands_where_almanacs_say() {
        // Brussels, 2025-06-21 11:44 UTC: solar noon, 62.6° high in the south.
        let noon = direction(1_750_506_240, 50.85, 4.35);
        assert!((noon[2].asin().to_degrees() - 62.59).abs() < 0.1, "{noon:?}");
        assert!(noon[1] < 0.0 && noon[0].abs() < 0.02, "{noon:?}");
        // The same day at 23:44 UTC it is below the horizon in the north.
        assert!(direction(1_750_549_440, 50.85, 4.35)[2] < 0.0);
        let sky = clear_sky(noon, 172);
        assert!((800.0..1000.0).contains(&sky.global) && (700.0..950.0).contains(&sky.direct), "{sky:?}");
    }
}
