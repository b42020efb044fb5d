//! `cortex-iq-projections`: the read models of the energy market.

use std::process::ExitCode;

use cortexiq_projections::{Config, SETTINGS, run};
use cortexiq_shell::{Program, merged};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-projections",
        version: env!("CARGO_PKG_VERSION"),
        about: "Stores everything that is said in the energy market in PostgreSQL or SQLite",
    };
    program.run(merged(SETTINGS), Config::read, run)
}
