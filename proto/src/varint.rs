//! Protobuf variable-length integers: seven bits a byte, least significant group first.

/// Longest encoding of a 64-bit value.
pub const MAX_BYTES: usize = 10;

/// Appends `value`.
#[inline]
pub fn put(out: &mut Vec<u8>, value: u64) {
    if value < 1 << 7 {
        out.push(value as u8);
    } else if value < 1 << 14 {
        out.extend_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]);
    } else {
        put_long(out, value);
    }
}

/// Appends the byte `first`, then `value`: one step rather than two.
#[inline]
pub fn put_behind(out: &mut Vec<u8>, first: u8, value: u64) {
    if value < 1 << 7 {
        out.extend_from_slice(&[first, value as u8]);
    } else if value < 1 << 14 {
        out.extend_from_slice(&[first, value as u8 | 0x80, (value >> 7) as u8]);
    } else {
        out.push(first);
        put_long(out, value);
    }
}

/// Appends a value of three bytes or more. Kept out of its callers, in which it would displace what is more frequent.
#[inline(never)]
fn put_long(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put`] writes for `value`.
#[inline]
pub fn len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// The value at the start of `input` and the bytes it takes; `None` when `input` ends within it.
///
/// # Errors
/// [`TooLong`] when more than ten bytes have the continuation bit or the value passes 64 bits.
#[inline]
pub fn get(input: &[u8]) -> Result<Option<(u64, usize)>, TooLong> {
    match *input {
        [] => Ok(None),
        [byte, ..] if byte < 0x80 => Ok(Some((u64::from(byte), 1))),
        [low, high, ..] if high < 0x80 => Ok(Some((u64::from(low & 0x7f) | u64::from(high) << 7, 2))),
        _ => get_long(input),
    }
}

/// A value of three bytes or more, or an input that ends within one.
fn get_long(input: &[u8]) -> Result<Option<(u64, usize)>, TooLong> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(MAX_BYTES) {
        if index == MAX_BYTES - 1 && byte > 1 {
            return Err(TooLong);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() >= MAX_BYTES { Err(TooLong) } else { Ok(None) }
}

/// A variable-length integer does not fit 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("variable-length integer does not fit 64 bits")]
pub struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_got(bits in 0u32..=64, value: u64, tail: Vec<u8>) {
            let value = value.checked_shr(bits).unwrap_or_default();
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            for cut in 0..out.len() {
                prop_assert_eq!(get(&out[..cut]), Ok(None));
            }
            let taken = out.len();
            out.extend(tail);
            prop_assert_eq!(get(&out), Ok(Some((value, taken))));
        }

        /// The protocol's encoding is protobuf's.
        #[test]
        fn what_is_put_is_what_prost_puts(bits in 0u32..=64, value: u64) {
            let value = value.checked_shr(bits).unwrap_or_default();
            let (mut ours, mut theirs) = (vec![1, 2, 3], vec![1, 2, 3]);
            put(&mut ours, value);
            prost::encoding::encode_varint(value, &mut theirs);
            prop_assert_eq!(&ours, &theirs);
            put_behind(&mut ours, 9, value);
            theirs.push(9);
            prost::encoding::encode_varint(value, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }

        /// Short values and long ones are read in different ways.
        #[test]
        fn all_ways_to_read_agree(input in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xffu8], 0..12)) {
            prop_assert_eq!(get(&input), get_long(&input));
        }
    }

    #[test]
    fn eleven_bytes_are_too_long() {
        assert_eq!(get(&[0xff; 10]), Err(TooLong));
    }
}
