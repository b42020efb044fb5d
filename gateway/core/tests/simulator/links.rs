//! Who dials whom, as the shell does it: members without a link, and the address to start from, with pauses that grow.

use crate::network::{Event, Network, id, index_of};
use crate::pipe::End;
use macula_core::patience_ms;
use std::collections::{BTreeMap, BTreeSet};

/// A dial that nobody answers is given up after this time.
const DIAL_MS: u64 = 3_000;
/// Pauses between dials of one address.
const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 3_000;
/// The gateway whose address all are told.
const START: usize = 0;

/// Peers without a link that are dialled.
pub(crate) type Dials = BTreeMap<usize, Dial>;

#[derive(Default)]
pub(crate) struct Dial {
    next_ms: u64,
    pause_ms: u64,
    under_way: bool,
}

impl Network {
    /// Dials whom it is time to.
    pub(crate) fn dial(&mut self, index: usize) {
        let gateway = &self.gateways[index];
        if gateway.node.is_replaced() {
            return;
        }
        let mut wanted: BTreeSet<usize> =
            gateway.node.to_dial().into_iter().map(|run| index_of(run.node)).collect();
        if index != START && !gateway.links.contains_key(&START) {
            wanted.insert(START);
        }
        let now_ms = self.now_ms;
        let dials = &mut self.gateways[index].dials;
        dials.retain(|peer, dial| wanted.contains(peer) || dial.under_way);
        for peer in wanted {
            let dial = self.gateways[index].dials.entry(peer).or_insert_with(|| {
                let patience = if peer == START { 0 } else { patience_ms(id(index), id(peer)) };
                Dial { next_ms: now_ms + patience, ..Dial::default() }
            });
            if dial.under_way || dial.next_ms > now_ms {
                continue;
            }
            dial.under_way = true;
            self.try_link(index, peer);
        }
    }

    /// Tries to open a link, whether there is one or not.
    pub(crate) fn try_link(&mut self, from: usize, to: usize) {
        let epochs = (self.gateways[from].epoch, self.gateways[to].epoch);
        if self.is_reachable(from, to) {
            // Three ways, of which any may be lost.
            let in_ms = (0..3).map(|_| self.paths.reliable(from, to, &mut self.rng)).sum();
            self.after(in_ms, Event::Dialled { from, to, epochs });
        } else {
            self.after(DIAL_MS, Event::DialFailed { from, to, epoch: epochs.0 });
        }
    }

    pub(crate) fn dialled(&mut self, from: usize, to: usize, epochs: (u64, u64)) {
        let as_before = (self.gateways[from].epoch, self.gateways[to].epoch) == epochs;
        if !as_before || !self.is_reachable(from, to) {
            return self.dial_failed(from, to, epochs.0);
        }
        let ends = [(from, true), (to, false)].map(|(index, dialled)| End::Gateway {
            index,
            conn: self.gateways[index].node.open_link(dialled),
        });
        let End::Gateway { conn, .. } = ends[0] else { return };
        self.gateways[from].node.expect(conn, id(to));
        self.attach(ends);
    }

    pub(crate) fn dial_failed(&mut self, from: usize, to: usize, epoch: u64) {
        if self.gateways[from].epoch == epoch {
            self.put_off(from, to);
        }
    }

    /// The dial has come to nothing, or its link has ended before it was up.
    pub(crate) fn put_off(&mut self, from: usize, to: usize) {
        let (now_ms, share) = (self.now_ms, self.rng.between(50, 100) as u64);
        if let Some(dial) = self.gateways[from].dials.get_mut(&to) {
            dial.under_way = false;
            dial.pause_ms = (dial.pause_ms * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
            dial.next_ms = now_ms + dial.pause_ms * share / 100;
        }
    }
}
