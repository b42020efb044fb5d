//! `cortex-iq-simulation`: the clock and the market of the simulated energy world.

use std::process::ExitCode;

use cortexiq_shell::{Program, merged};
use cortexiq_simulation::{Config, SETTINGS, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-simulation",
        version: env!("CARGO_PKG_VERSION"),
        about: "The clock and the market of the simulated energy world",
    };
    program.run(merged(SETTINGS), Config::read, run)
}
