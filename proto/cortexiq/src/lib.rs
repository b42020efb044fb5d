//! Messages of the CortexIQ energy market, generated from `cortexiq/v1/*.proto`, and their JSON form.
//!
//! Which message travels on which topic is decided in `cortexiq-domain`; here is only what they look like.

pub mod json;
mod payload;

/// The messages of package `cortexiq.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod v1 {
    include!("gen/cortexiq.v1.rs");
}

pub use payload::Payload;
pub use v1::*;

/// The encoded `FileDescriptorSet` of this package with its imports.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");
