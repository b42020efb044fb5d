//! Notices that the gateway is gone long before QUIC does, which waits for twenty seconds of silence.

use std::time::Duration;

/// How often the client looks whether it has heard of its gateway. A guess, not measured: a ping every two seconds
/// costs an idle client nothing that matters.
pub(super) const TICK: Duration = Duration::from_secs(2);

/// Silent ticks after which the connection is lost. Ticks that came late are not made up for, so a client that was
/// itself stopped does not blame its gateway.
const SILENT_TICKS: u32 = 3;

/// Counts silent ticks.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    heard: u64,
    silent: u32,
}

/// What to do after a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Alive,
    /// Nothing was heard: ask.
    Ask,
    Lost,
}

impl Liveness {
    /// A tick has passed, and so many packets have been received in all.
    pub(super) fn tick(&mut self, heard: u64) -> Verdict {
        self.silent = if heard == self.heard { self.silent + 1 } else { 0 };
        self.heard = heard;
        match self.silent {
            0 => Verdict::Alive,
            silent if silent > SILENT_TICKS => Verdict::Lost,
            _ => Verdict::Ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_before_it_counts() {
        let mut liveness = Liveness::default();
        assert_eq!(liveness.tick(1), Verdict::Alive);
        assert_eq!([(); 3].map(|()| liveness.tick(1)), [Verdict::Ask; 3]);
        assert_eq!(liveness.tick(2), Verdict::Alive, "an answer ends the silence");
        assert_eq!(
            [(); 4].map(|()| liveness.tick(2)),
            [Verdict::Ask, Verdict::Ask, Verdict::Ask, Verdict::Lost]
        );
    }
}
