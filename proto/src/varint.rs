//! Protobuf variable-length integers: seven bits a byte, least significant group first.

/// Longest encoding of a 64-bit value.
pub const MAX_BYTES: usize = 10;

/// Appends `value`.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
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
    match input.first() {
        Some(&byte) if byte < 0x80 => return Ok(Some((u64::from(byte), 1))),
        None => return Ok(None),
        Some(_) => {}
    }
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
        fn what_is_put_is_got(value: u64, tail: Vec<u8>) {
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
    }

    #[test]
    fn eleven_bytes_are_too_long() {
        assert_eq!(get(&[0xff; 10]), Err(TooLong));
    }
}
