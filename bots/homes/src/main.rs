//! `cortex-iq-homes`: the homes of one region.

use std::process::ExitCode;

use cortexiq_homes::{Config, SETTINGS, run};
use cortexiq_shell::{Program, merged};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-homes",
        version: env!("CARGO_PKG_VERSION"),
        about: "The homes of one region: they measure, trade, and choose their provider",
    };
    program.run(merged(SETTINGS), Config::read, run)
}
