//! Hashes that are the same at every gateway, whatever its build, and hash tables, whose own promise no such thing.

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};
use std::hash::BuildHasher;
use std::sync::OnceLock;

pub(crate) type HashMap<K, V> = hashbrown::HashMap<K, V, Hashes>;
pub(crate) type HashSet<T> = hashbrown::HashSet<T, Hashes>;

/// Of the hashes of all tables of this process: random, so that nobody can make names that collide.
static SEED: OnceLock<SharedSeed> = OnceLock::new();

/// From now on all tables are gone through in the same order in every run. For simulations that are to be repeated: it has to
/// come before the first gateway, and does nothing otherwise.
pub fn fix_hashes() {
    SEED.get_or_init(|| SharedSeed::from_u64(1));
}

/// How tables hash their keys.
#[derive(Clone, Debug)]
pub(crate) struct Hashes(SeedableRandomState);

impl Default for Hashes {
    fn default() -> Self {
        let seed = SEED.get_or_init(|| {
            let random = foldhash::fast::RandomState::default();
            SharedSeed::from_u64(random.hash_one(0u64))
        });
        Self(SeedableRandomState::with_seed(0, seed))
    }
}

impl BuildHasher for Hashes {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

pub(crate) const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, going on from `hash`.
pub(crate) fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Finalizer of SplitMix64, so that sums of hashes do not cancel out.
pub(crate) fn scramble(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
