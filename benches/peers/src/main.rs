//! Macula beside nats-server, zenohd and a bare relay: the same work, in turn, on one machine. Run by `benches/peers/compare`.

mod nats;
mod relay;
mod relay_client;
mod report;
mod rows;
mod servers;
mod trial;
mod zenoh_peer;

use clap::{Parser, Subcommand};
use servers::{Peer, Programs};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do all work with all systems, in turn
    Compare(CompareArgs),
    /// Be the clients of one run
    #[command(hide = true)]
    Client(trial::ClientArgs),
    /// Be the bare relay
    #[command(hide = true)]
    Relay {
        /// Certificate chain, PEM
        certificate: PathBuf,
        /// Its key, PEM
        key: PathBuf,
    },
}

/// What to compare.
#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// Runs of each row with each system; the median of them counts
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Rows, comma-separated: 1-1, 1-4, 1-16, 16-16, 4-4-1k, 1-4-16k, rpc-1, rpc-50, pairs, idle; all by default
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Systems, comma-separated; all by default
    #[arg(long, value_delimiter = ',', value_enum)]
    systems: Vec<Peer>,
    /// How the result is shown
    #[arg(long, value_enum, default_value_t)]
    output: report::Output,
    /// Directory for README.md and results.csv
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Compare(args) => compare(args),
        Command::Client(args) => trial::client(args).map(|()| true),
        Command::Relay { certificate, key } => relay::run(&certificate, &key).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every row reaches what it must.
fn compare(args: CompareArgs) -> anyhow::Result<bool> {
    let mut rows = rows::rows();
    for name in &args.rows {
        let known = rows.iter().any(|row| row.name == name);
        anyhow::ensure!(known, "--rows {name}: there is no such row; --help names them");
    }
    rows.retain(|row| args.rows.is_empty() || args.rows.iter().any(|name| row.name == name));
    let systems = if args.systems.is_empty() { Peer::ALL.to_vec() } else { args.systems };
    let place = servers::Place::new()?;
    let mut results = Vec::new();
    for pair in 0..args.pairs {
        for row in &rows {
            for turn in 0..systems.len() {
                // Each system is first, second, third and last in turn.
                let peer = systems[(pair + turn) % systems.len()];
                if !row.zenoh && peer == Peer::Zenoh {
                    continue;
                }
                let result = trial::run(row, peer, pair, &args.programs, &place)?;
                eprintln!("{}", result.line(row));
                results.push(result);
            }
        }
    }
    let summary = report::Summary::of(&rows, &results, args.pairs);
    summary.print(args.output);
    if let Some(out) = &args.out {
        summary.write(out, &results, &args.programs)?;
    }
    Ok(summary.is_reached())
}
