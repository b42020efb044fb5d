//! `cortex-iq-utilities`: the energy providers of one region.

use std::process::ExitCode;

use cortexiq_shell::{Program, merged};
use cortexiq_utilities::{Config, SETTINGS, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-utilities",
        version: env!("CARGO_PKG_VERSION"),
        about: "The energy providers of one region: they price daily and take customers everywhere",
    };
    program.run(merged(SETTINGS), Config::read, run)
}
