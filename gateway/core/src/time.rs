//! Time as the core sees it: told by the caller, never read.

/// An instant, on two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a monotonic clock since the gateway started.
    pub elapsed_ms: u64,
    /// Milliseconds since 1970 on the machine's clock; may jump.
    pub unix_ms: u64,
}

/// A hybrid logical clock: the machine's milliseconds times 65536 plus a counter, never going back.
#[derive(Debug, Default)]
pub(crate) struct HybridClock(u64);

impl HybridClock {
    /// A stamp later than every stamp made or seen before.
    pub(crate) fn stamp(&mut self, now: Now) -> u64 {
        self.0 = (self.0 + 1).max(now.unix_ms << 16);
        self.0
    }

    /// Takes notice of a stamp from elsewhere, unless it lies more than a minute ahead.
    pub(crate) fn see(&mut self, stamp: u64, now: Now) {
        if stamp >> 16 < now.unix_ms + 60_000 {
            self.0 = self.0.max(stamp);
        }
    }
}

/// Time during which this process was awake: a late loop does not count against its peers.
#[derive(Debug, Default)]
pub(crate) struct AttentiveClock {
    last_ms: u64,
    attentive_ms: u64,
}

impl AttentiveClock {
    /// Longest step that counts in full; the shell ticks every 100 ms.
    const STEP_MS: u64 = 250;

    pub(crate) fn advance(&mut self, now: Now) -> u64 {
        let step = now.elapsed_ms.saturating_sub(self.last_ms);
        self.last_ms = now.elapsed_ms;
        self.attentive_ms += step.min(Self::STEP_MS);
        self.attentive_ms
    }

    pub(crate) fn read(&self) -> u64 {
        self.attentive_ms
    }
}
