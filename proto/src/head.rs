//! The numbers before the bytes of a message, written into a buffer at once.

use crate::varint;
use crate::wire::{BYTES, VARINT};

/// Room for the fields of any frame on the message path, and for the word that a number is written as.
pub const ROOM: usize = 64;

/// Room for a head at the end of a buffer. Numbers are written where they stay: to put them together elsewhere and copy
/// them costs more, since a processor cannot read at once what several small writes have just left.
#[derive(Debug)]
pub struct Head<'a> {
    room: &'a mut [u8; ROOM],
    length: usize,
}

/// Appends what `write` puts.
#[inline]
pub fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Head<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0; ROOM]);
    let Some(room) = out.last_chunk_mut() else { return };
    let mut head = Head { room, length: 0 };
    write(&mut head);
    let end = start + head.length;
    out.truncate(end);
}

impl Head<'_> {
    /// Length and kind of a frame with a body of so many bytes.
    #[inline]
    pub fn frame(&mut self, kind: u8, body: usize) {
        self.put(body as u64 + 1);
        self.room[self.length] = kind;
        self.length += 1;
    }

    /// A field that is a number.
    #[inline]
    pub(crate) fn number(&mut self, field: u64, value: u64) {
        self.put(field << 3 | VARINT);
        self.put(value);
    }

    /// Tag and length of a field whose bytes follow.
    #[inline]
    pub(crate) fn bytes_follow(&mut self, field: u64, length: usize) {
        self.put(field << 3 | BYTES);
        self.put(length as u64);
    }

    #[inline]
    fn put(&mut self, value: u64) {
        match varint::word(value) {
            Some((word, length)) => {
                self.room[self.length..self.length + size_of::<u64>()].copy_from_slice(&word.to_le_bytes());
                self.length += length;
            }
            None => self.put_long(value),
        }
    }

    #[cold]
    fn put_long(&mut self, value: u64) {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, value);
        self.room[self.length..self.length + bytes.len()].copy_from_slice(&bytes);
        self.length += bytes.len();
    }
}
