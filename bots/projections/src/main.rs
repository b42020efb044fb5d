//! `cortex-iq-projections`: the read models of the energy market.

use std::process::ExitCode;

use cortexiq_projections::{Config, SETTINGS, migrate, run};
use cortexiq_shell::{Program, merged};
use macula_proto::vars::{Vars, with_flags};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "cortex-iq-projections",
        version: env!("CARGO_PKG_VERSION"),
        about: "Stores everything that is said in the energy market in PostgreSQL or SQLite",
    };
    let settings = merged(SETTINGS);
    let only_tables = clap::Command::new("migrate").about(
        "Makes the tables as this version wants them, and ends; a start does the same before anything else",
    );
    let command = clap::Command::new(program.name).version(program.version).about(program.about);
    let matches = with_flags(command, settings).subcommand(only_tables).get_matches();
    let vars = Vars::from_matches(&matches, settings);
    match matches.subcommand_name() {
        Some(_) => program.run_with(vars, Config::read, migrate),
        None => program.run_with(vars, Config::read, run),
    }
}
