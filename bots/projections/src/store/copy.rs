//! PostgreSQL's binary COPY format.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::record::{Name, Record, Sink, Table};

/// The rows of a table, ready for `COPY … FROM STDIN (FORMAT binary)`.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) table: Table,
    pub(super) bytes: Bytes,
}

/// Encodes rows; `keys` are those of the names by place.
pub(super) fn encode<R: Record>(rows: &[&R], keys: &[i32]) -> Copy {
    let table = R::TABLE;
    let columns = table.columns.len();
    let mut encoder = Encoder { bytes: BytesMut::with_capacity(64 + rows.len() * columns * 8), keys };
    encoder.bytes.put_slice(b"PGCOPY\n\xff\r\n\0");
    // No flags, no header extension.
    encoder.bytes.put_u64(0);
    for row in rows {
        encoder.bytes.put_i16(columns as i16);
        row.put(&mut encoder);
    }
    encoder.bytes.put_i16(-1);
    Copy { table, bytes: encoder.bytes.freeze() }
}

struct Encoder<'a> {
    bytes: BytesMut,
    keys: &'a [i32],
}

impl Sink for Encoder<'_> {
    fn int2(&mut self, value: i16) {
        self.bytes.put_i32(2);
        self.bytes.put_i16(value);
    }

    fn int4(&mut self, value: i32) {
        self.bytes.put_i32(4);
        self.bytes.put_i32(value);
    }

    fn int8(&mut self, value: i64) {
        self.bytes.put_i32(8);
        self.bytes.put_i64(value);
    }

    fn real(&mut self, value: f64) {
        self.bytes.put_i32(8);
        self.bytes.put_f64(value);
    }

    fn text(&mut self, value: &str) {
        // PostgreSQL has no NUL in texts.
        match value.contains('\0') {
            true => self.bytes(value.replace('\0', "").as_bytes()),
            false => self.bytes(value.as_bytes()),
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        self.bytes.put_i32(value.len() as i32);
        self.bytes.put_slice(value);
    }

    fn name(&mut self, value: Name) {
        self.int4(self.keys[value.0 as usize]);
    }
}
