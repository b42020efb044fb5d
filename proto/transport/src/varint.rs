//! Variable-length integers of QUIC (RFC 9000, section 16): two bits of the first byte tell the length.
//!
//! Used by HTTP/3 frames, stream prefixes and capsules. Macula's own frames use those of protobuf.

/// Longest encoding.
pub const MAX_BYTES: usize = 8;

/// Largest value that can be encoded.
pub const MAX: u64 = (1 << 62) - 1;

/// Length of the encoding that starts with this byte.
#[inline]
pub fn len_from_first(first: u8) -> usize {
    1 << (first >> 6)
}

/// The value at the start of `input` and the bytes it takes; `None` when `input` ends within it.
#[inline]
pub fn get(input: &[u8]) -> Option<(u64, usize)> {
    let len = len_from_first(*input.first()?);
    let bytes = input.get(..len)?;
    let first = u64::from(bytes[0] & 0x3f);
    Some((bytes[1..].iter().fold(first, |value, &byte| value << 8 | u64::from(byte)), len))
}

/// Appends `value` in its shortest encoding.
///
/// # Panics
/// If `value` is above [`MAX`].
pub fn put(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        0x4000_0000..=MAX => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
        _ => panic!("{value} does not fit a QUIC integer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_got(value in 0..=MAX, shift in 0u32..62, tail: Vec<u8>) {
            let value = value >> shift;
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len_from_first(out[0]));
            for cut in 0..out.len() {
                prop_assert_eq!(get(&out[..cut]), None);
            }
            let taken = out.len();
            out.extend(tail);
            prop_assert_eq!(get(&out), Some((value, taken)));
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(
            get(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            Some((151_288_809_941_952_652, 8))
        );
        assert_eq!(get(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
        assert_eq!(get(&[0x7b, 0xbd]), Some((15_293, 2)));
        assert_eq!(get(&[0x40, 0x25]), Some((37, 2)), "a longer encoding than needed is legal");
    }
}
