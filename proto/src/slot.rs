//! The slot of a message: what a group that shares by hash divides among its members.
//!
//! Every gateway computes the same slot and the same owner, so that messages of one key meet one member wherever they
//! enter the mesh. `vectors/slots.json` holds examples for other languages.

/// Slots of a group. Enough to spread evenly over some tens of members, few enough for a table in each group.
pub const SLOTS: usize = 256;

/// The slot of a message: FNV-1a (64 bits) of its key, of its topic if it has no key, its eight bytes xored together.
pub fn of(key: &str, topic: &str) -> u8 {
    let hash = hash(if key.is_empty() { topic } else { key });
    hash.to_le_bytes().into_iter().fold(0, |slot, byte| slot ^ byte)
}

/// The member that owns a slot by rendezvous: the one whose weight with the slot is highest, of equals the highest
/// number. Of `n` members each owns about one slot in `n`, and one that comes or goes moves only its own.
pub fn owner(slot: u8, members: impl IntoIterator<Item = u64>) -> Option<u64> {
    members.into_iter().max_by_key(|&member| (weight(slot, member), member))
}

/// FNV-1a of 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Finalizer of SplitMix64 over the member's number plus the slot times the golden ratio's fraction.
fn weight(slot: u8, member: u64) -> u64 {
    let mut value = member.wrapping_add(u64::from(slot).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        hashes: Vec<Hash>,
        slots: Vec<Slot>,
        weights: Vec<Weight>,
        owners: Vec<Owner>,
    }

    #[derive(Deserialize)]
    struct Hash {
        text: String,
        fnv1a64: String,
    }

    #[derive(Deserialize)]
    struct Slot {
        key: String,
        topic: String,
        slot: u8,
    }

    #[derive(Deserialize)]
    struct Weight {
        slot: u8,
        member: String,
        weight: String,
    }

    #[derive(Deserialize)]
    struct Owner {
        slot: u8,
        members: Vec<String>,
        owner: String,
    }

    /// 64-bit numbers are text in the vectors, since not every reader of JSON has them.
    fn number(text: &str) -> u64 {
        text.parse().unwrap()
    }

    #[test]
    fn slots_and_owners_are_what_the_vectors_say() {
        let vectors: Vectors = serde_json::from_str(include_str!("../vectors/slots.json")).unwrap();
        for Hash { text, fnv1a64 } in vectors.hashes {
            assert_eq!(format!("{:016x}", hash(&text)), fnv1a64, "{text:?}");
        }
        for Slot { key, topic, slot } in vectors.slots {
            assert_eq!(of(&key, &topic), slot, "{key:?} and {topic:?}");
        }
        for Weight { slot, member, weight: expected } in vectors.weights {
            assert_eq!(format!("{:016x}", weight(slot, number(&member))), expected, "{slot} and {member}");
        }
        for Owner { slot, members, owner: expected } in vectors.owners {
            let found = owner(slot, members.iter().map(|member| number(member)));
            assert_eq!(found, Some(number(&expected)), "{slot} among {members:?}");
        }
    }

    #[test]
    fn only_the_slots_of_a_member_that_leaves_move() {
        let members: Vec<u64> = (1..=7).map(|n| n * 0x1234_5678_9abc).collect();
        let left = members[3];
        for slot in 0..=255 {
            let before = owner(slot, members.iter().copied());
            let after = owner(slot, members.iter().copied().filter(|&member| member != left));
            assert!(before == after || before == Some(left), "slot {slot}");
        }
    }

    #[test]
    fn slots_and_owners_are_spread() {
        let mut keys = [0u32; SLOTS];
        (0..25_600).for_each(|n| keys[usize::from(of(&format!("ant_{n:05}"), "t"))] += 1);
        assert!(keys.iter().all(|&count| (50..200).contains(&count)), "{keys:?}");
        let mut owned = [0; 4];
        (0..=255).for_each(|slot| owned[owner(slot, 0..4).unwrap() as usize] += 1);
        assert!(owned.iter().all(|&count| count > 40), "{owned:?}");
    }

    #[test]
    fn without_a_key_the_topic_counts() {
        assert_eq!(of("", "a.b"), of("a.b", "c"));
        assert_eq!(owner(0, []), None);
    }
}
