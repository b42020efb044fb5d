//! The Macula gateway: applications connect to it over HTTP/3, gateways connect to each other, and together they
//! are one realm of publish/subscribe and RPC.
//!
//! This is the half that acts: QUIC, TLS, timers, HTTP. What goes where is decided by `macula-core`.

mod accept;
mod admin;
mod admin_token;
mod command;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod http;
mod hub;
mod identity;
mod links;
mod local;
mod mesh;
mod origins;
mod schemas;
mod server;
mod sessions;
mod settings;
mod streams;
mod trust;

pub use command::{main, save_memory};
pub use hub::Status;
pub use macula_core::{Counters, Gauges, Identity, NodeId, Peer};
pub use origins::{OriginError, Origins};
pub use schemas::{SchemaError, Schemas};
pub use server::{Gateway, StartError};
pub use settings::{CertificateFiles, DEFAULT_REALM, PeerAddress, PeerAddressError, SETTINGS, Settings};

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
