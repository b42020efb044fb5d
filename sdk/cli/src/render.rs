//! Payloads and messages as people and programs read them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cortexiq_proto::json;
use macula_sdk::{Class, Message};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A payload as it can be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// It was JSON, or a protobuf message that the command knows.
    Json(Value),
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64(String),
}

impl Body {
    /// What a payload of this content type is. One that is not what its content type says is shown by its bytes.
    pub(crate) fn of(content_type: &str, payload: &[u8]) -> Self {
        if json::schema().knows(content_type)
            && let Ok(value) = json::to_json(content_type, payload)
        {
            return Self::Json(value);
        }
        if is_json(content_type)
            && let Ok(value) = serde_json::from_slice(payload)
        {
            return Self::Json(value);
        }
        match std::str::from_utf8(payload) {
            // Protobuf is often UTF-8 by chance, and no text all the same.
            Ok(text) if !is_protobuf(content_type) => Self::Text(text.to_owned()),
            _ => Self::Base64(BASE64.encode(payload)),
        }
    }

    /// On one line, without what would move a terminal's cursor.
    pub(crate) fn line(&self) -> Cow<'_, str> {
        match self {
            Self::Json(value) => value.to_string().into(),
            Self::Text(text) => plain(text),
            Self::Base64(text) => text.into(),
        }
    }

    /// Adds the member `json`, `text` or `base64`.
    pub(crate) fn insert_into(self, object: &mut Map<String, Value>) {
        let (name, value) = match self {
            Self::Json(value) => ("json", value),
            Self::Text(text) => ("text", text.into()),
            Self::Base64(text) => ("base64", text.into()),
        };
        object.insert(name.to_owned(), value);
    }
}

/// A message as one line: topic, key, payload.
pub(crate) fn line(message: &Message) -> String {
    let (topic, key) = (message.topic(), key(message.key()));
    let body = Body::of(message.content_type(), message.payload());
    match (message.is_removal(), message.payload()) {
        (true, []) => format!("{topic} {key} (removed)"),
        (true, _) => format!("{topic} {key} (removed) {}", body.line()),
        (false, _) => format!("{topic} {key} {}", body.line()),
    }
}

/// A message as an object, with the members that the gateway's event streams have.
pub(crate) fn object(message: &Message) -> Value {
    let mut object = Map::new();
    let mut insert = |name: &str, value: Value| object.insert(name.to_owned(), value);
    insert("topic", message.topic().as_str().into());
    insert("key", message.key().into());
    insert("class", class(message.class()).into());
    insert("publisher", message.publisher().to_string().into());
    insert("epoch", message.epoch().into());
    insert("sequence", message.sequence().into());
    insert("content_type", message.content_type().into());
    if message.retained() {
        insert("retained", true.into());
    }
    if message.is_removal() {
        insert("remove", true.into());
    }
    let headers = headers(message.headers());
    if !headers.is_empty() {
        insert("headers", headers.into());
    }
    Body::of(message.content_type(), message.payload()).insert_into(&mut object);
    Value::Object(object)
}

/// Headers as an object; of several of one name, the first.
pub(crate) fn headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in headers {
        object.entry(name).or_insert_with(|| value.into());
    }
    object
}

pub(crate) fn class(class: Class) -> &'static str {
    match class {
        Class::Event => "event",
        Class::Telemetry => "telemetry",
    }
}

/// A key that stays one word of its line; none is a hyphen.
fn key(key: &str) -> Cow<'_, str> {
    match key {
        "" => "-".into(),
        "-" => quoted(key),
        _ if key.starts_with('"')
            || key.contains(|letter: char| letter.is_whitespace() || letter.is_control()) =>
        {
            quoted(key)
        }
        _ => key.into(),
    }
}

/// Text that has control characters, line breaks among them, becomes a JSON string.
fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) { quoted(text) } else { text.into() }
}

fn quoted(text: &str) -> Cow<'static, str> {
    let mut out = String::new();
    for letter in Value::from(text).to_string().chars() {
        // JSON leaves these as they are, and terminals obey some of them.
        if ('\u{7f}'..='\u{9f}').contains(&letter) {
            out += &format!("\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out.into()
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

fn is_protobuf(content_type: &str) -> bool {
    content_type.contains("protobuf")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortexiq_proto::{ContractOffered, Payload as _};
    use prost::Message as _;
    use serde_json::json;

    #[test]
    fn an_offer_is_shown_with_its_price_in_euro() {
        let offer = ContractOffered {
            provider_id: "bra_p01".into(),
            day_price: 150_000,
            ..ContractOffered::default()
        };
        let body = Body::of(ContractOffered::CONTENT_TYPE, &offer.encode_to_vec());
        let line = body.line();
        assert!(
            line.contains(r#""provider_id":"bra_p01""#) && line.contains(r#""day_price":0.15"#),
            "{line}"
        );
    }

    #[test]
    fn json_is_json_where_the_content_type_says_so() {
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"]
        {
            assert_eq!(
                Body::of(content_type, b"{ \"a\": 1 }"),
                Body::Json(json!({"a": 1})),
                "{content_type}"
            );
        }
        assert_eq!(Body::of("", b"{\"a\":1}"), Body::Text("{\"a\":1}".to_owned()));
    }

    #[test]
    fn what_is_not_as_its_content_type_says_is_shown_all_the_same() {
        assert_eq!(Body::of("application/json", b"{a"), Body::Text("{a".to_owned()));
        assert_eq!(Body::of(ContractOffered::CONTENT_TYPE, b"\xff"), Body::Base64("/w==".to_owned()));
        assert_eq!(Body::of("application/x-protobuf; type=a.B", b"ab"), Body::Base64("YWI=".to_owned()));
        assert_eq!(Body::of("text/plain", b"\xff\xfe"), Body::Base64("//4=".to_owned()));
    }

    #[test]
    fn a_payload_stays_on_its_line_and_moves_no_cursor() {
        let line = |text: &str| Body::of("", text.as_bytes()).line().into_owned();
        assert_eq!(line("21.5 °C"), "21.5 °C");
        assert_eq!(line("a\nb"), r#""a\nb""#);
        assert_eq!(line("\u{1b}[2J"), r#""\u001b[2J""#);
        assert_eq!(line("\u{9b}2J"), r#""\u009b2J""#);
    }

    #[test]
    fn a_key_is_one_word() {
        assert_eq!(key(""), "-");
        assert_eq!(key("-"), r#""-""#);
        assert_eq!(key("ant_001"), "ant_001");
        assert_eq!(key("two words"), r#""two words""#);
    }

    #[test]
    fn of_headers_of_one_name_the_first_counts() {
        assert_eq!(Value::Object(headers([("a", "1"), ("a", "2"), ("b", "3")])), json!({"a": "1", "b": "3"}));
    }
}
