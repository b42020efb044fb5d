//! What lies between gateways: how long things take, what is lost, who cannot reach whom.

use crate::rng::Rng;
use std::collections::BTreeSet;

/// Paths between gateways, and those of clients to their own gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    /// The longest way of a packet between two gateways; pairs have between half of it and all.
    pub(crate) delay_ms: u64,
    /// Each packet takes up to so much longer, by itself: so streams and datagrams overtake each other.
    pub(crate) jitter_ms: u64,
    /// Packets in a hundred that are lost. A stream waits for what is sent again, a datagram is gone.
    pub(crate) loss: usize,
    /// Datagrams in a hundred that come twice.
    pub(crate) doubled: usize,
    /// The longest time between two acts of a gateway's shell, or of a client.
    pub(crate) idle_ms: u64,
    /// Bytes come in pieces of any size.
    pub(crate) shredded: bool,
    /// Pairs that cannot reach each other.
    cut: BTreeSet<(usize, usize)>,
    /// Those of this side cannot reach the others.
    side: Option<usize>,
}

impl Paths {
    /// Anything that an implementation has to get on with.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self {
            delay_ms: rng.pick(&[1, 10, 60, 150]),
            jitter_ms: rng.pick(&[0, 5, 40]),
            loss: rng.pick(&[0, 1, 5]),
            doubled: rng.pick(&[0, 5]),
            idle_ms: rng.pick(&[1, 5, 30]),
            shredded: rng.percent(50),
            ..Self::default()
        }
    }

    /// Half of Europe, and a line that is not good.
    pub(crate) fn continental() -> Self {
        Self { delay_ms: 50, jitter_ms: 10, loss: 1, idle_ms: 1, ..Self::default() }
    }

    /// How long a packet of a stream takes, with all that it waits for.
    pub(crate) fn reliable(&self, a: usize, b: usize, rng: &mut Rng) -> u64 {
        let mut ms = self.once(a, b, rng);
        while self.loss > 0 && rng.percent(self.loss) {
            ms += 3 * self.once(a, b, rng) + 25;
        }
        ms
    }

    /// How long the copies of a datagram that arrive take.
    pub(crate) fn datagram(&self, a: usize, b: usize, rng: &mut Rng) -> Vec<u64> {
        let copies = 1 + usize::from(self.doubled > 0 && rng.percent(self.doubled));
        let lost = |rng: &mut Rng| self.loss > 0 && rng.percent(self.loss);
        (0..copies).filter(|_| !lost(rng)).collect::<Vec<_>>().iter().map(|_| self.once(a, b, rng)).collect()
    }

    fn once(&self, a: usize, b: usize, rng: &mut Rng) -> u64 {
        let share = 50 + (a.min(b) * 31 + a.max(b) * 17) as u64 % 51;
        self.delay_ms * share / 100 + rng.between(0, self.jitter_ms as usize) as u64
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    /// The first so many cannot reach the others.
    pub(crate) fn split(&mut self, first: usize) {
        self.side = Some(first);
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.side = None;
    }

    pub(crate) fn are_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b))) || self.side.is_some_and(|first| (a < first) != (b < first))
    }
}
