//! JSON for any protobuf message, from its descriptors alone.
//!
//! The command line, the HTTP endpoints and the dashboard show payloads they were not compiled with. Names are the
//! proto field names; numbers are JSON numbers, 64 bit ones too; enums are their short lower-case names (`fixed` for
//! `CONTRACT_TYPE_FIXED`); fields without presence always appear; bytes are base64. An integer field with the option
//! `(macula.v1.decimals)` is shown shifted by that many places: exact up to 15 significant digits, the nearest double
//! beyond, as JSON readers would make of it anyway.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value,
};
use serde_json::{Map, Number, Value as Json};

/// The messages that one set of descriptors knows.
#[derive(Debug, Clone)]
pub struct Schema {
    pool: DescriptorPool,
    /// Decimal places by full field name; options are decoded anew on every look, so they are looked at once.
    decimals: HashMap<String, u32>,
}

/// Why a payload could not be shown, or a JSON text not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no `FileDescriptorSet`.
    #[error("bad descriptors: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// No such message in these descriptors.
    #[error("no message {0:?} in this schema")]
    UnknownMessage(String),
    /// The payload is not a message of this type.
    #[error("not a {message}: {source}")]
    Payload {
        /// Full name of the message.
        message: String,
        /// What the decoder said.
        source: prost::DecodeError,
    },
    /// A field of the JSON value does not fit.
    #[error("{path}: {problem}")]
    Field {
        /// Where, as in `prices[3]`.
        path: String,
        /// What is wrong there.
        problem: String,
    },
}

/// Full name of the option that shifts integers.
pub const DECIMALS_OPTION: &str = "macula.v1.decimals";

impl Schema {
    /// Reads an encoded `FileDescriptorSet`, imports included.
    pub fn decode(descriptors: &[u8]) -> Result<Self, Error> {
        Ok(Self::new(DescriptorPool::decode(descriptors)?))
    }

    /// Takes a pool as it is.
    pub fn new(pool: DescriptorPool) -> Self {
        let mut decimals = HashMap::new();
        if let Some(option) = pool.get_extension_by_name(DECIMALS_OPTION) {
            for field in pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
                if let Value::U32(places @ 1..) = &*field.options().get_extension(&option) {
                    decimals.insert(field.full_name().to_owned(), *places);
                }
            }
        }
        Self { pool, decimals }
    }

    /// Whether a message of this name or content type is known.
    pub fn knows(&self, message: &str) -> bool {
        self.pool.get_message_by_name(message_name(message)).is_some()
    }

    /// Shows a payload; `message` is a full name or a content type that carries one.
    pub fn to_json(&self, message: &str, payload: &[u8]) -> Result<Json, Error> {
        let descriptor = self.descriptor(message)?;
        let name = descriptor.full_name().to_owned();
        let decoded = DynamicMessage::decode(descriptor, payload)
            .map_err(|source| Error::Payload { message: name, source })?;
        Ok(self.message_to_json(&decoded))
    }

    /// Encodes a JSON object; an unknown field is an error that names it, an absent field its default.
    pub fn from_json(&self, message: &str, value: &Json) -> Result<Vec<u8>, Error> {
        Ok(self.message_from_json(self.descriptor(message)?, value, "")?.encode_to_vec())
    }

    fn descriptor(&self, message: &str) -> Result<prost_reflect::MessageDescriptor, Error> {
        let name = message_name(message);
        self.pool.get_message_by_name(name).ok_or_else(|| Error::UnknownMessage(name.to_owned()))
    }

    fn message_to_json(&self, message: &DynamicMessage) -> Json {
        let mut object = Map::new();
        for field in message.descriptor().fields() {
            if field.supports_presence() && !message.has_field(&field) {
                continue;
            }
            let shown = self.value_to_json(&message.get_field(&field), &field, field.kind());
            object.insert(field.name().to_owned(), shown);
        }
        Json::Object(object)
    }

    fn value_to_json(&self, value: &Value, field: &FieldDescriptor, kind: Kind) -> Json {
        match value {
            Value::Bool(value) => Json::Bool(*value),
            Value::I32(value) => self.shift((*value).into(), field),
            Value::I64(value) => self.shift((*value).into(), field),
            Value::U32(value) => self.shift((*value).into(), field),
            Value::U64(value) => self.shift((*value).into(), field),
            // The shortest decimal that means this f32, not its exact binary value.
            Value::F32(value) => value.to_string().parse::<f64>().ok().and_then(Number::from_f64).into(),
            Value::F64(value) => Number::from_f64(*value).into(),
            Value::String(value) => value.as_str().into(),
            Value::Bytes(value) => BASE64.encode(value).into(),
            Value::EnumNumber(number) => match kind.as_enum().and_then(|kind| kind.get_value(*number)) {
                Some(value) => short_name(value.parent_enum().name(), value.name()).into(),
                None => (*number).into(),
            },
            Value::Message(message) => self.message_to_json(message),
            Value::List(values) => {
                values.iter().map(|value| self.value_to_json(value, field, kind.clone())).collect()
            }
            Value::Map(entries) => {
                let kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
                let mut shown: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| {
                        (
                            key_text(key),
                            self.value_to_json(value, field, kind.clone().unwrap_or(Kind::String)),
                        )
                    })
                    .collect();
                shown.sort_by(|left, right| left.0.cmp(&right.0));
                Json::Object(shown.into_iter().collect())
            }
        }
    }

    fn shift(&self, value: i128, field: &FieldDescriptor) -> Json {
        let Some(&places) = self.decimals.get(field.full_name()) else {
            return match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => value.into(),
                (_, Ok(value)) => value.into(),
                _ => Json::Null,
            };
        };
        // Written as text and read back, the double is the nearest one, so it prints as it was written.
        let number = decimal_text(value, places).parse::<f64>().ok();
        match number.filter(|number| number.fract() == 0.0 && number.abs() < 9e15) {
            Some(whole) => (whole as i64).into(),
            None => number.and_then(Number::from_f64).into(),
        }
    }

    fn message_from_json(
        &self,
        descriptor: prost_reflect::MessageDescriptor,
        value: &Json,
        path: &str,
    ) -> Result<DynamicMessage, Error> {
        let Json::Object(object) = value else { return Err(wrong(path, "an object is needed")) };
        let mut message = DynamicMessage::new(descriptor.clone());
        for (name, value) in object {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let field = descriptor
                .get_field_by_name(name)
                .ok_or_else(|| wrong(&path, &format!("{} has no such field", descriptor.full_name())))?;
            if !value.is_null() {
                message.set_field(&field, self.field_from_json(&field, value, &path)?);
            }
        }
        Ok(message)
    }

    fn field_from_json(&self, field: &FieldDescriptor, value: &Json, path: &str) -> Result<Value, Error> {
        if field.is_map() {
            let Json::Object(object) = value else { return Err(wrong(path, "an object is needed")) };
            let kind = field.kind();
            let entry = kind.as_message().expect("a map field's kind is its entry message");
            let (key_kind, value_field) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field());
            let entries = object.iter().map(|(key, value)| {
                let path = format!("{path}[{key:?}]");
                let parsed = map_key(&key_kind, key).ok_or_else(|| wrong(&path, "this key does not fit"))?;
                Ok((parsed, self.scalar_from_json(&value_field, value, &path)?))
            });
            return Ok(Value::Map(entries.collect::<Result<_, Error>>()?));
        }
        if field.is_list() {
            let Json::Array(values) = value else { return Err(wrong(path, "an array is needed")) };
            let values = values
                .iter()
                .enumerate()
                .map(|(index, value)| self.scalar_from_json(field, value, &format!("{path}[{index}]")));
            return Ok(Value::List(values.collect::<Result<_, Error>>()?));
        }
        self.scalar_from_json(field, value, path)
    }

    fn scalar_from_json(&self, field: &FieldDescriptor, value: &Json, path: &str) -> Result<Value, Error> {
        let integer = || {
            let places = self.decimals.get(field.full_name()).copied().unwrap_or(0);
            let Json::Number(number) = value else { return Err(wrong(path, "a number is needed")) };
            parse_decimal(&number.to_string(), places).ok_or_else(|| {
                wrong(path, &format!("{number} is no number with at most {places} decimal places"))
            })
        };
        let range = |fits: Option<Value>| fits.ok_or_else(|| wrong(path, "this number is out of range"));
        match field.kind() {
            Kind::Bool => {
                value.as_bool().map(Value::Bool).ok_or_else(|| wrong(path, "true or false is needed"))
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                range(i32::try_from(integer()?).ok().map(Value::I32))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                range(i64::try_from(integer()?).ok().map(Value::I64))
            }
            Kind::Uint32 | Kind::Fixed32 => range(u32::try_from(integer()?).ok().map(Value::U32)),
            Kind::Uint64 | Kind::Fixed64 => range(u64::try_from(integer()?).ok().map(Value::U64)),
            Kind::Float => {
                value.as_f64().map(|v| Value::F32(v as f32)).ok_or_else(|| wrong(path, "a number is needed"))
            }
            Kind::Double => value.as_f64().map(Value::F64).ok_or_else(|| wrong(path, "a number is needed")),
            Kind::String => value
                .as_str()
                .map(|v| Value::String(v.to_owned()))
                .ok_or_else(|| wrong(path, "a text is needed")),
            Kind::Bytes => value
                .as_str()
                .and_then(|text| BASE64.decode(text).ok())
                .map(|bytes| Value::Bytes(bytes.into()))
                .ok_or_else(|| wrong(path, "base64 is needed")),
            Kind::Message(descriptor) => Ok(Value::Message(self.message_from_json(descriptor, value, path)?)),
            Kind::Enum(descriptor) => {
                let number = match value {
                    Json::Number(number) => number.as_i64().and_then(|number| i32::try_from(number).ok()),
                    Json::String(text) => descriptor
                        .values()
                        .find(|value| {
                            value.name() == text || short_name(descriptor.name(), value.name()) == *text
                        })
                        .map(|value| value.number()),
                    _ => None,
                };
                number.map(Value::EnumNumber).ok_or_else(|| {
                    let names: Vec<_> = descriptor
                        .values()
                        .map(|value| short_name(descriptor.name(), value.name()))
                        .collect();
                    wrong(path, &format!("one of {} is needed", names.join(", ")))
                })
            }
        }
    }
}

/// The message's full name out of `application/x-protobuf; type=macula.v1.Hello`, or the text itself.
pub fn message_name(name_or_content_type: &str) -> &str {
    match name_or_content_type.split_once("type=") {
        Some((_, rest)) => rest.split(';').next().unwrap_or(rest).trim().trim_matches('"'),
        None => name_or_content_type.trim(),
    }
}

/// `CONTRACT_TYPE_FIXED` of `ContractType` is `fixed`.
fn short_name(kind: &str, value: &str) -> String {
    let mut prefix = String::new();
    for (index, letter) in kind.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    value.strip_prefix(&prefix).unwrap_or(value).to_ascii_lowercase()
}

fn decimal_text(value: i128, places: u32) -> String {
    let scale = 10_i128.pow(places.min(30));
    let (whole, part) = (value.abs() / scale, value.abs() % scale);
    let mut text = String::from(if value < 0 { "-" } else { "" });
    let _ = write!(text, "{whole}.{part:0width$}", width = places as usize);
    text
}

/// `"-0.15"` with 6 places is -150000; more places than that, unless zeros, is `None`.
fn parse_decimal(text: &str, places: u32) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{part}");
    let shift = places as i32 + exponent - part.len() as i32;
    if shift >= 0 {
        digits.extend(std::iter::repeat_n('0', usize::try_from(shift).ok().filter(|shift| *shift < 40)?));
    } else {
        let keep = digits.len().saturating_sub(shift.unsigned_abs() as usize);
        if digits[keep..].bytes().any(|digit| digit != b'0') {
            return None;
        }
        digits.truncate(keep);
    }
    let value = if digits.is_empty() { 0 } else { digits.parse::<i128>().ok()? };
    Some(if negative { -value } else { value })
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn map_key(kind: &Kind, text: &str) -> Option<MapKey> {
    Some(match kind {
        Kind::Bool => MapKey::Bool(text.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(text.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(text.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(text.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(text.parse().ok()?),
        Kind::String => MapKey::String(text.to_owned()),
        _ => return None,
    })
}

fn wrong(path: &str, problem: &str) -> Error {
    let path = if path.is_empty() { "the message" } else { path };
    Error::Field { path: path.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::{Schema, decimal_text, message_name, parse_decimal, short_name};

    /// A schema with every shape of field.
    fn schema() -> Schema {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = std::fs::File::create(folder.path().join("shapes.proto")).expect("a file");
        file.write_all(
            br#"syntax = "proto3"; package t.v1; import "macula/v1/options.proto";
            enum Kind { KIND_UNSPECIFIED = 0; KIND_SMALL = 1; }
            message Inner { sint64 amount = 1 [(macula.v1.decimals) = 9]; }
            message Shapes {
              uint64 large = 1; bytes raw = 2; map<string, int32> counts = 3; map<uint64, Inner> inner = 4;
              repeated Kind kinds = 5; oneof one { string text = 6; Inner nested = 7; } float third = 8;
              optional bool maybe = 9;
            }"#,
        )
        .expect("the file is written");
        let root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut compiler = protox::Compiler::new([folder.path().to_path_buf(), root]).expect("two folders");
        compiler.include_imports(true);
        compiler.open_file("shapes.proto").expect("the file is right");
        Schema::decode(&compiler.encode_file_descriptor_set()).expect("descriptors decode")
    }

    #[test]
    fn every_shape_of_field_goes_there_and_back() {
        let schema = schema();
        let value = json!({
            "large": u64::MAX, "raw": "AAH/", "counts": {"a": -1, "b": 2}, "inner": {"7": {"amount": -0.000000001}},
            "kinds": ["small", "unspecified"], "nested": {"amount": 12.5}, "third": 0.1, "maybe": false
        });
        let bytes = schema.from_json("t.v1.Shapes", &value).expect("the value fits");
        assert_eq!(schema.to_json("x; type=t.v1.Shapes", &bytes).expect("its own bytes"), value);
        let empty = schema.to_json("t.v1.Shapes", &[]).expect("no bytes are the defaults");
        assert_eq!(
            empty,
            json!({"large": 0, "raw": "", "counts": {}, "inner": {}, "kinds": [], "third": 0.0})
        );
        let error = schema.from_json("t.v1.Shapes", &json!({"inner": {"7": {"amount": 0.5e-9}}}));
        assert!(error.expect_err("too fine").to_string().starts_with("inner[\"7\"].amount: "));
        assert!(schema.to_json("t.v1.Shapes", &[0xff]).is_err());
        assert!(schema.to_json("t.v1.Nothing", &[]).is_err() && !schema.knows("t.v1.Nothing"));
    }

    #[test]
    fn decimals_shift_exactly_both_ways() {
        for (value, places, text) in
            [(150_000, 6, "0.150000"), (-1, 9, "-0.000000001"), (505, 1, "50.5"), (0, 6, "0.000000")]
        {
            assert_eq!(decimal_text(value, places), text);
            assert_eq!(parse_decimal(text, places), Some(value));
        }
        assert_eq!(parse_decimal("1e-9", 9), Some(1));
        assert_eq!(parse_decimal("2.5e3", 0), Some(2500));
        assert_eq!(parse_decimal("0.15", 1), None);
        assert_eq!(parse_decimal("1e300", 0), None);
    }

    #[test]
    fn names_are_found_in_content_types() {
        assert_eq!(message_name("application/x-protobuf; type=a.v1.B; charset=x"), "a.v1.B");
        assert_eq!(message_name("a.v1.B"), "a.v1.B");
        assert_eq!(short_name("ContractType", "CONTRACT_TYPE_FIXED"), "fixed");
    }
}
