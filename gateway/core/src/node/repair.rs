//! Keeps the stores of two gateways alike: they compare sums, then lists where these differ, then send what is missing.
//!
//! A value reaches all peers when it is published, and the whole store when a link comes up. What this repairs is rare:
//! a gateway that died when its last values had reached some peers and not others.

use super::Node;
use super::retained::Out;
use crate::hash::HashSet;
use crate::key::{ConnKey, MessageClass};
use crate::time::Now;
use macula_proto::kind;
use macula_proto::v1::{StoreDigest, StoreList};

/// Stores are compared this often. A guess, not measured: a frame of some bytes for each peer.
const COMPARE_MS: u64 = 5_000;
/// Entries that are listed at one time: half a frame. What remains is found at the next comparison.
const LISTED: usize = 1 << 16;
/// Younger values are under way to everybody anyhow.
const UNDER_WAY_MS: u64 = 2_000;
/// Backlog of a link at which values that its peer lacks wait for the next comparison.
const REPAIR_BYTES: usize = 1 << 20;

impl Node {
    /// Asks the peers with greater ids whether their stores are like ours, when it is time.
    pub(super) fn compare_stores(&mut self, now: Now) {
        if now.elapsed_ms.saturating_sub(self.repaired_ms) < COMPARE_MS {
            return;
        }
        self.repaired_ms = now.elapsed_ms;
        self.tell_interest();
        let digest = StoreDigest { sum: self.retained.digest().sum(), buckets: Vec::new() };
        for index in 0..self.links.len() {
            let link = self.links[index];
            if self.peer(link).is_some_and(|peer| self.identity.node < peer) && !self.is_reading(link) {
                self.send_control(link, kind::STORE_DIGEST, &digest);
            }
        }
    }

    pub(super) fn on_store_digest(&mut self, from: ConnKey, theirs: &StoreDigest) {
        let ours = self.retained.digest();
        if self.is_reading(from) || theirs.sum == ours.sum() {
            return;
        }
        if theirs.buckets.is_empty() {
            let answer = StoreDigest { sum: ours.sum(), buckets: ours.buckets().to_vec() };
            return self.send_control(from, kind::STORE_DIGEST, &answer);
        }
        let buckets = ours.differing(&theirs.buckets, LISTED);
        self.send_list(from, &buckets, false);
    }

    /// Sends what the peer lacks.
    pub(super) fn on_store_list(&mut self, from: ConnKey, theirs: &StoreList, now: Now) {
        if !theirs.answer {
            self.send_list(from, &theirs.buckets, true);
        }
        let listed = buckets(&theirs.buckets);
        let known: HashSet<u64> = theirs.hashes.iter().copied().collect();
        let settled = now.unix_ms.saturating_sub(UNDER_WAY_MS) << 16;
        let Some(conn) = self.conns.get_mut(from) else { return };
        for class in [MessageClass::Event, MessageClass::Telemetry] {
            let queue = conn.messages(class);
            let before = queue.weight();
            let mut out = Out {
                queue,
                topics: &self.topics,
                publishers: &self.publishers,
                origins: &mut self.origins,
                body: &mut self.body,
                now,
            };
            let lacking = self.retained.since(0).map(|(_, value)| value).filter(|value| {
                let mark = value.mark;
                value.class == class
                    && listed[usize::from(mark.bucket)]
                    && value.stamp < settled
                    && !known.contains(&mark.hash)
            });
            for value in lacking {
                if out.queue.backlog() > REPAIR_BYTES {
                    break;
                }
                out.put(&[], value);
                self.counters.repaired += 1;
            }
            self.queued += out.queue.weight() - before;
        }
        self.announce(from, MessageClass::Event.stream());
        self.announce(from, MessageClass::Telemetry.stream());
    }

    fn send_list(&mut self, to: ConnKey, wanted: &[u8], answer: bool) {
        let listed = buckets(wanted);
        let marks = self.retained.since(0).map(|(_, value)| value.mark);
        let hashes = marks.filter(|mark| listed[usize::from(mark.bucket)]).map(|mark| mark.hash);
        // A list that is cut off has the peer send more than is lacking, and does no harm.
        let list =
            StoreList { buckets: wanted.to_vec().into(), hashes: hashes.take(LISTED).collect(), answer };
        self.send_control(to, kind::STORE_LIST, &list);
    }
}

/// Which buckets are among these.
fn buckets(wanted: &[u8]) -> [bool; 256] {
    let mut listed = [false; 256];
    wanted.iter().for_each(|bucket| listed[usize::from(*bucket)] = true);
    listed
}
