//! `cortex-iq-dashboard`: the energy market on a page.

use std::process::ExitCode;

use cortexiq_dashboard::{Config, SETTINGS, run};
use cortexiq_shell::{Program, merged};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-dashboard",
        version: env!("CARGO_PKG_VERSION"),
        about: "Shows the energy market on a page: read models, live data, control of the clock",
    };
    program.run(merged(SETTINGS), Config::read, run)
}
