//! What panels give: the irradiance on their plane times peak power and performance ratio.

use libm::{cos, sin};

use crate::environment::Conditions;
use crate::home::Solar;

/// A roof prepared for many quarter-hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roof {
    normal: [f64; 3],
    /// Share of the sky that the plane sees, and of the ground.
    sky: f64,
    ground: f64,
    /// Wh in a quarter-hour for each W/m².
    factor: f64,
}

impl Roof {
    /// Prepares panels.
    pub fn new(solar: Solar) -> Self {
        let tilt = f64::from(solar.tilt_deg).to_radians();
        let azimuth = f64::from(solar.azimuth_deg).to_radians();
        Self {
            normal: [sin(tilt) * sin(azimuth), sin(tilt) * cos(azimuth), cos(tilt)],
            sky: (1.0 + cos(tilt)) / 2.0,
            ground: ALBEDO * (1.0 - cos(tilt)) / 2.0,
            factor: f64::from(solar.peak_w) / 1000.0 * PERFORMANCE_RATIO / 4.0,
        }
    }

    /// Energy of a quarter-hour, Wh.
    pub fn wh(&self, conditions: &Conditions) -> f64 {
        let Conditions { sun, irradiance, .. } = conditions;
        let facing = sun[0] * self.normal[0] + sun[1] * self.normal[1] + sun[2] * self.normal[2];
        let on_plane = irradiance.direct * facing.max(0.0)
            + irradiance.diffuse * self.sky
            + irradiance.global * self.ground;
        on_plane * self.factor
    }
}

const PERFORMANCE_RATIO: f64 = 0.85;
/// Grass and streets; pvlib's default.
const ALBEDO: f64 = 0.25;
