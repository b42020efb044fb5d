//! From what the user typed to the payload that is sent.

use crate::args::{EncodingArgs, Source};
use crate::error::Error;
use cortexiq_proto::json;
use macula_proto::limits::{self, PAYLOAD_BYTES};
use serde_json::Value;
use std::io::{BufRead as _, Read as _};
use tokio::sync::mpsc;

/// Package of the messages that the command knows, which may be left out of their names.
const PACKAGE: &str = "cortexiq.v1.";
/// Most that is read of stdin as one payload: JSON may be some times larger than what it encodes to.
const STDIN_BYTES: u64 = 8 * PAYLOAD_BYTES as u64;
/// Lines read ahead; enough to keep the client busy. A guess, not measured.
const LINES_AHEAD: usize = 64;

/// How payloads are made of text, and what they are sent as.
#[derive(Clone, Debug)]
pub(crate) struct Encoding {
    json: bool,
    message: Option<String>,
    content_type: String,
}

impl Encoding {
    /// What the flags ask for; `--type` means JSON, too.
    pub(crate) fn new(args: EncodingArgs) -> Self {
        let json = args.json || args.message.is_some();
        let content_type = match &args.message {
            Some(message) => content_type_of(message),
            None => {
                args.content_type.unwrap_or(if json { "application/json".to_owned() } else { String::new() })
            }
        };
        Self { json, message: args.message, content_type }
    }

    /// Media type of the payloads, empty for none.
    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The payload.
    pub(crate) fn encode(&self, text: Vec<u8>) -> Result<Vec<u8>, String> {
        let payload = if self.json { self.encode_json(text)? } else { text };
        let bytes = payload.len();
        if bytes > PAYLOAD_BYTES {
            return Err(format!(
                "the payload has {bytes} bytes, at most {PAYLOAD_BYTES} are allowed; split it"
            ));
        }
        Ok(payload)
    }

    fn encode_json(&self, text: Vec<u8>) -> Result<Vec<u8>, String> {
        let value: Value =
            serde_json::from_slice(&text).map_err(|error| format!("the payload is no JSON: {error}"))?;
        match &self.message {
            Some(message) => json::from_json(message, &value)
                .map_err(|error| format!("the payload is no {message}: {error}")),
            None => Ok(text),
        }
    }
}

/// Content type of a protobuf message.
pub(crate) fn content_type_of(message: &str) -> String {
    format!("application/x-protobuf; type={message}")
}

/// Full name of a message that the command knows.
pub(crate) fn message_type(text: &str) -> Result<String, String> {
    let full = [text.to_owned(), format!("{PACKAGE}{text}")];
    full.into_iter().find(|name| json::schema().knows(name)).ok_or_else(|| {
        format!("no such message is known; write it as in {PACKAGE}ContractOffered, or send bytes with --content-type")
    })
}

/// Reads a payload as it was written.
pub(crate) fn read(source: Source) -> Result<Vec<u8>, Error> {
    match source {
        Source::Text(text) => Ok(text.into_bytes()),
        Source::Stdin => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(STDIN_BYTES + 1).read_to_end(&mut bytes);
            read.map_err(|error| Error::Failed(format!("cannot read stdin: {error}")))?;
            if bytes.len() as u64 > STDIN_BYTES {
                return Err(Error::Usage(format!(
                    "stdin has more than {STDIN_BYTES} bytes, a payload at most {PAYLOAD_BYTES}; split it, or use --lines"
                )));
            }
            Ok(bytes)
        }
    }
}

/// Lines of stdin without their ends, read by a thread of its own. Ends after an error.
pub(crate) fn lines() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line
            });
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    lines
}

/// Whether the headers of a message are few and small enough.
pub(crate) fn check_headers(headers: &[(String, String)]) -> Result<(), Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > limits::HEADERS {
        let (count, limit) = (headers.len(), limits::HEADERS);
        return Err(Error::Usage(format!("there are {count} headers, at most {limit} are allowed")));
    }
    if bytes > limits::HEADER_BYTES {
        let limit = limits::HEADER_BYTES;
        return Err(Error::Usage(format!("the headers have {bytes} bytes, at most {limit} are allowed")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortexiq_proto::{ContractOffered, Payload as _};
    use prost::Message as _;

    fn typed(message: &str) -> Encoding {
        let message = Some(message_type(message).expect("known"));
        Encoding::new(EncodingArgs { message, ..Default::default() })
    }

    #[test]
    fn a_type_may_be_named_without_its_package() {
        assert_eq!(message_type("ContractOffered").as_deref(), Ok(ContractOffered::TYPE));
        assert_eq!(message_type(ContractOffered::TYPE).as_deref(), Ok(ContractOffered::TYPE));
        assert!(message_type("Contract").is_err());
    }

    #[test]
    fn an_offer_is_encoded_with_its_content_type() {
        let encoding = typed("ContractOffered");
        assert_eq!(encoding.content_type(), ContractOffered::CONTENT_TYPE);
        let text = br#"{"provider_id": "bra_p01", "day_price": 0.15, "contract_type": "fixed"}"#;
        let payload = encoding.encode(text.to_vec()).expect("an offer");
        let offer = ContractOffered::decode(&payload[..]).expect("an offer");
        assert_eq!((offer.provider_id.as_str(), offer.day_price), ("bra_p01", 150_000));
    }

    #[test]
    fn a_mistake_names_type_and_field() {
        let error = typed("ContractOffered").encode(br#"{"day_prize": 1}"#.to_vec()).expect_err("a slip");
        assert!(error.starts_with("the payload is no cortexiq.v1.ContractOffered: day_prize: "), "{error}");
        let error = typed("ContractOffered").encode(b"{".to_vec()).expect_err("half of it");
        assert!(error.starts_with("the payload is no JSON: "), "{error}");
    }

    #[test]
    fn json_is_checked_and_sent_as_it_was_written() {
        let encoding = Encoding::new(EncodingArgs { json: true, ..Default::default() });
        assert_eq!(encoding.content_type(), "application/json");
        assert_eq!(encoding.encode(b"{ \"a\": 1.0 }".to_vec()).as_deref(), Ok(&b"{ \"a\": 1.0 }"[..]));
        assert!(encoding.encode(b"{a: 1}".to_vec()).is_err());
    }

    #[test]
    fn text_is_sent_as_it_is_up_to_the_limit() {
        let encoding = Encoding::new(EncodingArgs::default());
        assert_eq!(encoding.content_type(), "");
        assert!(encoding.encode(vec![b'x'; PAYLOAD_BYTES]).is_ok());
        assert!(encoding.encode(vec![b'x'; PAYLOAD_BYTES + 1]).is_err());
    }
}
