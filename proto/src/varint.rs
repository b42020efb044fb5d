//! Protobuf variable-length integers: seven bits a byte, least significant group first.

/// Longest encoding of a 64-bit value.
pub const MAX_BYTES: usize = 10;

/// Longest encoding that is written and read as one word, and the values that it has.
const WORD_BYTES: usize = 8;
const WORD_VALUES: u64 = 1 << (7 * WORD_BYTES);
/// The bit of each byte of a word that says that another one follows.
const FOLLOWED: u64 = 0x8080_8080_8080_8080;

/// Appends `value`.
#[inline]
pub fn put(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if let Some((word, length)) = word(value) {
        let end = out.len() + length;
        out.extend_from_slice(&word.to_le_bytes());
        out.truncate(end);
    } else {
        put_long(out, value);
    }
}

#[cold]
fn put_long(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The encoding of a value, its first byte the least significant, and how long it is; `None` when it is no word.
#[inline]
pub(crate) fn word(value: u64) -> Option<(u64, usize)> {
    if value >= WORD_VALUES {
        return None;
    }
    let length = len(value);
    // Halves apart, then quarters, then single bytes of seven bits.
    let halves = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let quarters = halves & 0x0000_3fff_0000_3fff | (halves & 0x0fff_c000_0fff_c000) << 2;
    let bytes = quarters & 0x007f_007f_007f_007f | (quarters & 0x3f80_3f80_3f80_3f80) << 1;
    let followed = FOLLOWED & ((1 << (8 * (length - 1))) - 1);
    Some((bytes | followed, length))
}

/// The value of an encoding that [`word`] has made, whatever comes behind it; `None` when it does not end in the word.
#[inline]
fn value(word: u64) -> Option<(u64, usize)> {
    let ends = !word & FOLLOWED;
    if ends == 0 {
        return None;
    }
    let bits = ends.trailing_zeros() + 1;
    let bytes = word & (u64::MAX >> (64 - bits)) & !FOLLOWED;
    let quarters = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = quarters & 0x0000_3fff_0000_3fff | (quarters & 0x3fff_0000_3fff_0000) >> 2;
    let value = halves & 0x0fff_ffff | (halves & 0x0fff_ffff_0000_0000) >> 4;
    Some((value, bits as usize / 8))
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
#[inline(always)]
pub fn get(input: &[u8]) -> Result<Option<(u64, usize)>, TooLong> {
    match input.first() {
        Some(&byte) if byte < 0x80 => return Ok(Some((u64::from(byte), 1))),
        None => return Ok(None),
        Some(_) => {}
    }
    match input.first_chunk().and_then(|word| value(u64::from_le_bytes(*word))) {
        Some(got) => Ok(Some(got)),
        None => get_long(input),
    }
}

/// Byte by byte: near the end of the input, and for the largest values.
#[cold]
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
        fn what_is_put_is_got(bits in 0..64u32, value: u64, tail: Vec<u8>) {
            // As many small values as large ones.
            let value = value >> bits;
            let mut out = Vec::new();
            put(&mut out, value);
            let mut expected = Vec::new();
            put_long(&mut expected, value);
            prop_assert_eq!(&out, &expected);
            prop_assert_eq!(out.len(), len(value));
            for cut in 0..out.len() {
                prop_assert_eq!(get(&out[..cut]), Ok(None));
            }
            let taken = out.len();
            out.extend(tail);
            prop_assert_eq!(get(&out), Ok(Some((value, taken))));
        }

        #[test]
        fn any_bytes_read_alike_at_once_and_byte_by_byte(input in prop::collection::vec(any::<u8>(), 1..12)) {
            prop_assert_eq!(get(&input), get_long(&input));
        }
    }

    #[test]
    fn eleven_bytes_are_too_long() {
        assert_eq!(get(&[0xff; 10]), Err(TooLong));
    }
}
