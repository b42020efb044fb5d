//! Parameters and results of queries, the same for both databases.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Any integer.
    Int(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A row of a result; columns count from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// An integer; 0 when there is nothing.
    pub fn int(&self, column: usize) -> i64 {
        match &self.0[column] {
            Value::Int(value) => *value,
            Value::Real(value) => *value as i64,
            _ => 0,
        }
    }

    /// A number; 0 when there is nothing.
    pub fn real(&self, column: usize) -> f64 {
        match &self.0[column] {
            Value::Int(value) => *value as f64,
            Value::Real(value) => *value,
            _ => 0.0,
        }
    }

    /// A text; empty when there is nothing.
    pub fn text(&self, column: usize) -> &str {
        match &self.0[column] {
            Value::Text(value) => value,
            _ => "",
        }
    }

    /// Bytes; empty when there are none.
    pub fn bytes(&self, column: usize) -> &[u8] {
        match &self.0[column] {
            Value::Bytes(value) => value,
            _ => &[],
        }
    }

    /// Whether there is something.
    pub fn has(&self, column: usize) -> bool {
        self.0[column] != Value::Null
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident($convert:expr);)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let convert: fn($type) -> _ = $convert;
                Self::$variant(convert(value))
            }
        }
    )*};
}

from! {
    i64 => Int(|value| value);
    i32 => Int(i64::from);
    u32 => Int(i64::from);
    // Runs and seeds keep their bits; nothing else comes near the sign.
    u64 => Int(|value| value as i64);
    f64 => Real(|value| value);
    String => Text(|value| value);
    &str => Text(str::to_owned);
    &String => Text(Clone::clone);
    Vec<u8> => Bytes(|value| value);
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *ty == Type::INT2 => i16::try_from(*value)?.to_sql(ty, out),
            Self::Int(value) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Self::Int(value) => value.to_sql(ty, out),
            Self::Real(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Bytes(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT2, Type::INT4, Type::INT8, Type::FLOAT8, Type::TEXT, Type::VARCHAR, Type::BYTEA]
            .contains(ty)
    }

    to_sql_checked!();
}
