//! `cortex-iq-projections`: the read models of the energy market.

use std::process::ExitCode;

use cortexiq_projections::{Config, SETTINGS, migrate, rebuild, run, verify};
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
    let which = clap::Arg::new("run")
        .long("run")
        .value_name("N")
        .value_parser(clap::value_parser!(u64).range(1..))
        .help("Which run; the newest unless given");
    let again = clap::Command::new("rebuild").arg(which.clone()).about(
        "Makes days, months, registers of money and the sums of regions and providers again from the quarter-hours and hours \
         that are stored, month by month, and ends; meanwhile nothing else should write",
    );
    let compare = clap::Command::new("verify").arg(which).about(
        "Computes a run again from its recorded prices and contracts, prints the first differences of what is stored, and ends; \
         exit code 1 if there are any",
    );
    let command = with_flags(command, settings).subcommands([only_tables, again, compare]);
    let matches = command.get_matches();
    let vars = Vars::from_matches(&matches, settings);
    let which = |matches: &clap::ArgMatches| matches.get_one::<u64>("run").copied();
    match matches.subcommand() {
        Some(("rebuild", matches)) => {
            program.run_with(vars, Config::read, |config, shutdown| rebuild(config, which(matches), shutdown))
        }
        Some(("verify", matches)) => {
            program.run_with(vars, Config::read, |config, shutdown| verify(config, which(matches), shutdown))
        }
        Some(_) => program.run_with(vars, Config::read, migrate),
        None => program.run_with(vars, Config::read, run),
    }
}
