//! What a battery can take and give in a quarter-hour, in whole Wh at its terminals and mWh inside.

use crate::home::Battery;

/// A battery prepared for many quarter-hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cells {
    full_wh: u32,
    step_wh: u32,
    efficiency_pct: u8,
}

impl Cells {
    /// Prepares a battery.
    pub fn new(battery: Battery) -> Self {
        Self {
            full_wh: battery.capacity_wh,
            step_wh: battery.power_w / 4,
            efficiency_pct: battery.efficiency_pct.clamp(1, 100) as u8,
        }
    }

    fn full_mwh(&self) -> u64 {
        u64::from(self.full_wh) * 1000
    }

    fn floor_mwh(&self) -> u64 {
        u64::from(self.full_wh) * (10 * FLOOR_PCT)
    }

    fn efficiency(&self) -> u64 {
        self.efficiency_pct.into()
    }

    /// Content at the beginning of a run: half full.
    pub fn initial_mwh(&self) -> u64 {
        self.full_mwh() / 2
    }

    /// How much it can take, Wh.
    pub fn room_wh(&self, content_mwh: u64) -> u64 {
        (self.full_mwh().saturating_sub(content_mwh) / (10 * self.efficiency())).min(self.step_wh.into())
    }

    /// How much it can give, Wh.
    pub fn gives_wh(&self, content_mwh: u64) -> u64 {
        (content_mwh.saturating_sub(self.floor_mwh()) * self.efficiency() / 100_000).min(self.step_wh.into())
    }

    /// Content after taking and giving; losses are rounded against the home.
    pub fn after(&self, content_mwh: u64, charge_wh: u64, discharge_wh: u64) -> u64 {
        content_mwh + charge_wh * 10 * self.efficiency()
            - (discharge_wh * 100_000).div_ceil(self.efficiency())
    }

    /// Content in tenths of a percent.
    pub fn permille(&self, content_mwh: u64) -> u32 {
        (content_mwh * 1000 / self.full_mwh().max(1)) as u32
    }
}

const FLOOR_PCT: u64 = 5;

#[cfg(test)]
mod tests {
    use super::Cells;
    use crate::home::Battery;

    #[test]
    fn limits_hold_from_any_content() {
        let cells = Cells::new(Battery { capacity_wh: 7013, power_w: 5001, efficiency_pct: 95 });
        for content in (350_650..=7_013_000).step_by(777) {
            let (room, gives) = (cells.room_wh(content), cells.gives_wh(content));
            assert!(room <= 1250 && gives <= 1250);
            assert!(cells.after(content, room, 0) <= 7_013_000, "{content}");
            assert!(cells.after(content, 0, gives) >= 350_650, "{content}");
        }
    }
}
