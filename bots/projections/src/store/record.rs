//! What a table's row is made of: its columns once, for both databases.

/// A table that rows are written to.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    /// The columns that identify a row.
    pub(crate) key: &'static str,
    pub(crate) repeat: Repeat,
}

/// What happens to a row whose key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It is the same row: nothing. In bulk these come far more often new than repeated.
    Bulk,
    /// It is the same row: nothing.
    Same,
    /// It takes the place of the other one where this holds; a batch holds at most one row of a key.
    Renew(&'static str),
}

/// A row.
pub(crate) trait Record {
    const TABLE: Table;

    /// Gives all columns in order.
    fn put(&self, sink: &mut impl Sink);
}

/// Takes the columns of a row.
pub(crate) trait Sink {
    fn int2(&mut self, value: i16);
    fn int4(&mut self, value: i32);
    fn int8(&mut self, value: i64);
    fn real(&mut self, value: f64);
    fn text(&mut self, value: &str);
    fn bytes(&mut self, value: &[u8]);
    fn name(&mut self, value: Name);
}

/// A name of a batch by its place there; the database has a key of its own for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(pub(super) u32);

/// A type that columns have.
pub(crate) trait Column {
    fn put(&self, sink: &mut impl Sink);
}

macro_rules! columns {
    ($($type:ty: $method:ident($convert:expr);)*) => {$(
        impl Column for $type {
            fn put(&self, sink: &mut impl Sink) {
                let convert: fn(&$type) -> _ = $convert;
                sink.$method(convert(self));
            }
        }
    )*};
}

columns! {
    i16: int2(|value| *value);
    i32: int4(|value| *value);
    i64: int8(|value| *value);
    u64: int8(|value| *value as i64);
    f64: real(|value| *value);
    Name: name(|value| *value);
}

impl Column for String {
    fn put(&self, sink: &mut impl Sink) {
        sink.text(self);
    }
}

impl Column for Vec<u8> {
    fn put(&self, sink: &mut impl Sink) {
        sink.bytes(self);
    }
}

impl Table {
    pub(crate) fn columns(&self) -> String {
        self.columns.join(", ")
    }

    /// What is said behind `INSERT` about rows that are there.
    pub(crate) fn on_conflict(&self) -> String {
        let Self { name, columns, key, repeat } = self;
        let Repeat::Renew(condition) = repeat else { return format!("ON CONFLICT ({key}) DO NOTHING") };
        let keys: Vec<&str> = key.split(", ").collect();
        let renewed: Vec<String> = columns
            .iter()
            .filter(|column| !keys.contains(*column))
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let condition = condition.replace("old.", &format!("{name}.")).replace("new.", "excluded.");
        format!("ON CONFLICT ({key}) DO UPDATE SET {} WHERE {condition}", renewed.join(", "))
    }
}

/// Rows with their tables.
macro_rules! records {
    ($($(#[$doc:meta])* $row:ident in $table:ident ($key:literal, $repeat:expr) { $($column:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct $row {
            $(pub(crate) $column: $type,)*
        }

        impl $crate::store::record::Record for $row {
            const TABLE: $crate::store::record::Table = $crate::store::record::Table {
                name: stringify!($table),
                columns: &[$(stringify!($column)),*],
                key: $key,
                repeat: $repeat,
            };

            fn put(&self, sink: &mut impl $crate::store::record::Sink) {
                $($crate::store::record::Column::put(&self.$column, sink);)*
            }
        }
    )*};
}
pub(crate) use records;
