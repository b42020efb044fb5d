//! `cortex-iq-queries`: answers to questions about the energy market.

use std::process::ExitCode;

use cortexiq_queries::{Config, SETTINGS, run};
use cortexiq_shell::{Program, merged};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-queries",
        version: env!("CARGO_PKG_VERSION"),
        about: "Answers questions about the energy market from its read models",
    };
    program.run(merged(SETTINGS), Config::read, run)
}
