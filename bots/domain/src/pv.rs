//! What panels give: the irradiance on their plane times peak power and performance ratio.

use libm::sincos;

use crate::environment::Conditions;
use crate::home::Solar;
use crate::sun::{Direction, Irradiance};

/// A plane in the open, under a sky that is equally bright everywhere but at the sun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    normal: [f64; 3],
    /// Share of the sky that the plane sees, and of what the ground throws back.
    sky: f64,
    ground: f64,
}

/// A roof prepared for many quarter-hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roof {
    plane: Plane,
    /// Wh in a quarter-hour for each W/m².
    factor: f64,
}

impl Plane {
    /// A plane by its angle from the horizontal and its direction clockwise from north, degrees.
    pub fn new(tilt_deg: f64, azimuth_deg: f64) -> Self {
        let (across, up) = sincos(tilt_deg.to_radians());
        let (east, north) = sincos(azimuth_deg.to_radians());
        Self {
            normal: [across * east, across * north, up],
            sky: (1.0 + up) / 2.0,
            ground: ALBEDO * (1.0 - up) / 2.0,
        }
    }

    /// What falls on it, W/m².
    pub fn irradiance(&self, sun: Direction, from: Irradiance) -> f64 {
        let facing = sun[0] * self.normal[0] + sun[1] * self.normal[1] + sun[2] * self.normal[2];
        from.direct * facing.max(0.0) + from.diffuse * self.sky + from.global * self.ground
    }
}

impl Roof {
    /// Prepares panels.
    pub fn new(solar: Solar) -> Self {
        Self {
            plane: Plane::new(f64::from(solar.tilt_deg), f64::from(solar.azimuth_deg)),
            factor: f64::from(solar.peak_w) / 1000.0 * PERFORMANCE_RATIO / 4.0,
        }
    }

    /// Energy of a quarter-hour, Wh.
    pub fn wh(&self, conditions: &Conditions) -> f64 {
        self.plane.irradiance(conditions.sun, conditions.irradiance) * self.factor
    }
}

/// Heat, dirt, cables and inverter; the usual figure for roofs in Belgium.
const PERFORMANCE_RATIO: f64 = 0.85;
/// Grass and streets; pvlib's default.
const ALBEDO: f64 = 0.25;
