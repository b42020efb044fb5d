//! Message types whose payloads are shown and taken as JSON over plain HTTP.
//!
//! The gateway routes payloads without a look at them and is built without anybody's messages. Whoever wants to
//! read theirs with curl gives it the descriptors, as `protoc --include_imports --descriptor_set_out=FILE` writes
//! them.

use macula_proto::schema::{self, Schema};
use std::path::PathBuf;
use std::sync::Arc;

/// What the files of `MACULA_SCHEMAS` describe. Each file by itself, so that two that were made with different
/// versions of a common import get along; of a type that is in several, the first counts.
#[derive(Clone, Debug, Default)]
pub struct Schemas(Arc<[Schema]>);

impl Schemas {
    /// Reads FileDescriptorSet files.
    ///
    /// # Errors
    /// Each file that cannot be used, with the reason.
    pub fn load(files: &[PathBuf]) -> Result<Self, Vec<SchemaError>> {
        let (mut schemas, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            let wrong = |reason: &dyn std::error::Error| SchemaError {
                file: file.clone(),
                reason: crate::chain(reason),
            };
            match std::fs::read(file) {
                Err(error) => errors.push(wrong(&error)),
                Ok(bytes) => match Schema::decode(&bytes) {
                    Ok(schema) => schemas.push(schema),
                    Err(error) => errors.push(wrong(&error)),
                },
            }
        }
        if errors.is_empty() { Ok(Self(schemas.into())) } else { Err(errors) }
    }

    /// Whether this type, or the type that this content type names, is described.
    pub(crate) fn know(&self, message: &str) -> bool {
        self.of(message).is_some()
    }

    /// The payload as JSON; `None` when its type is not described, or it is not what it says.
    pub(crate) fn show(&self, content_type: &str, payload: &[u8]) -> Option<serde_json::Value> {
        self.of(content_type)?.to_json(content_type, payload).ok()
    }

    /// The payload that a JSON object stands for; `None` when the type is not described.
    pub(crate) fn encode(
        &self,
        message: &str,
        value: &serde_json::Value,
    ) -> Option<Result<Vec<u8>, schema::Error>> {
        Some(self.of(message)?.from_json(message, value))
    }

    fn of(&self, message: &str) -> Option<&Schema> {
        self.0.iter().find(|schema| schema.knows(message))
    }
}

/// A file of descriptors that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .file.display())]
pub struct SchemaError {
    file: PathBuf,
    reason: String,
}
