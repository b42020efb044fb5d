//! The gateway and the `macula` command in one file. Called `macula` it is the command, by any other name the gateway.
//!
//! Most of either is QUIC, TLS and a runtime, which both have; in an image they are there once.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&called).file_name().is_some_and(|name| name == "macula") {
        macula_cli::main()
    } else {
        macula_gateway::main()
    }
}
