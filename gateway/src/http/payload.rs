//! The body of a request as the payload of a message or call, and payloads as JSON.

use super::exchange::Exchange;
use super::problem::Problem;
use super::request::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use macula_proto::{limits, schema};
use serde_json::{Map, Value};

/// Bytes with their media type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) content_type: String,
    pub(super) bytes: Bytes,
}

impl Request<'_> {
    /// Reads the body. JSON of a described type, `application/json; type=<message>`, becomes its protobuf form.
    pub(super) async fn payload(&self, exchange: &mut Exchange) -> Result<Payload, Problem> {
        let encoding = self.header("content-encoding");
        if !matches!(encoding, "" | "identity") {
            return Err(unsupported(format!(
                "content-encoding `{encoding}` is not undone; send the body as it is"
            )));
        }
        let content_type = self.header("content-type").trim();
        check_media_type(content_type)?;
        let named = self.described_json(content_type)?.map(str::to_owned);
        let bytes = exchange.body(self.payload_limit()).await?;
        match named {
            None => Ok(Payload { content_type: content_type.to_owned(), bytes }),
            Some(message) => self.encoded(&message, &bytes),
        }
    }

    /// The message type that a JSON body stands for, if it names one.
    fn described_json<'t>(&self, content_type: &'t str) -> Result<Option<&'t str>, Problem> {
        if !is_json(content_type) || !content_type.contains("type=") {
            return Ok(None);
        }
        let message = schema::message_name(content_type);
        if self.schemas().know(message) {
            return Ok(Some(message));
        }
        Err(unsupported(format!(
            "`{message}` is not described here; give the gateway its descriptors by MACULA_SCHEMAS, or send the \
             encoded message as `application/x-protobuf; type={message}`"
        )))
    }

    fn encoded(&self, message: &str, json: &[u8]) -> Result<Payload, Problem> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| Problem::invalid(format!("the body is no JSON: {error}")))?;
        let bytes = self
            .schemas()
            .encode(message, &value)
            .ok_or_else(|| unsupported(format!("`{message}` is not described here")))?
            .map_err(|error| Problem::invalid(format!("no {message}: {error}")))?;
        Ok(Payload { content_type: format!("application/x-protobuf; type={message}"), bytes: bytes.into() })
    }

    /// Adds a payload to a JSON object: as `json` when that is what it is or its type is described, else as `base64`.
    pub(super) fn show(&self, object: &mut Map<String, Value>, content_type: &str, payload: &[u8]) {
        let json = if is_json(content_type) {
            serde_json::from_slice(payload).ok()
        } else {
            self.schemas().show(content_type, payload)
        };
        match json {
            Some(value) => object.insert("json".to_owned(), value),
            None => object.insert("base64".to_owned(), STANDARD.encode(payload).into()),
        };
    }
}

fn unsupported(detail: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "INVALID_ARGUMENT", detail)
}

/// Whether a media type is JSON by its name (RFC 6839).
fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}

/// Refuses what could not be told to subscribers as a media type.
fn check_media_type(content_type: &str) -> Result<(), Problem> {
    if content_type.len() > limits::CONTENT_TYPE_BYTES {
        let text = format!("content-type has at most {} bytes", limits::CONTENT_TYPE_BYTES);
        return Err(unsupported(text));
    }
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let legal = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match media.split_once('/') {
        _ if content_type.is_empty() => Ok(()),
        Some((kind, subtype)) if legal(kind) && legal(subtype) => Ok(()),
        _ => Err(unsupported(format!("`{media}` is no media type; write it as `type/subtype`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_apart() {
        assert!(is_json("application/json; charset=utf-8") && is_json("application/problem+JSON"));
        assert!(!is_json("text/json-like") && !is_json(""));
        for legal in ["", "text/plain", "application/x-protobuf; type=a.B", "application/vnd.x+json"] {
            assert!(check_media_type(legal).is_ok(), "{legal}");
        }
        for illegal in ["text", "text/", "/plain", "text/pl ain", "a/b/c"] {
            assert_eq!(check_media_type(illegal).unwrap_err().status(), 415, "{illegal}");
        }
    }
}
