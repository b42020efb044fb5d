//! The `macula` command: publish, subscribe, call and serve from a shell, and find out why something does not work.
//!
//! `args` says what can be asked for, one module each does it, and `render` shows payloads. Everything that can be
//! checked without a gateway is checked before one is dialled. Results go to stdout, all else to stderr.

mod args;
#[cfg(feature = "bench")]
mod bench;
mod call;
mod cert;
mod connect;
mod doctor;
mod error;
mod get;
mod input;
mod mesh;
mod output;
mod probe;
mod publish;
mod render;
mod serve;
mod subscribe;

use args::{Args, Command};
use clap::Parser as _;
use clap::error::ErrorKind;
use connect::Connection;
use error::Error;
use output::Output;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Runs the command that the process was started with, to its end.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return explain(&error),
    };
    start_log();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(args));
    // A thread may still wait for stdin; nobody waits for it.
    runtime.shutdown_background();
    match result {
        // Who closed the pipe has seen enough, and who reads a report has read what failed.
        Ok(()) | Err(Error::ClosedPipe) => ExitCode::SUCCESS,
        Err(Error::Reported) => ExitCode::FAILURE,
        Err(error @ Error::Call(_)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    // Certificates are made without a gateway, and whatever is wrong with the way to one.
    if let Command::Cert(cert) = &args.command {
        return cert::run(cert, &args.connection, process_environment(), Output::stdout(args.output));
    }
    let connection = Connection::new(&args.connection, process_environment())?;
    for warning in connection.warnings() {
        eprintln!("warning: {warning}");
    }
    let output = Output::stdout(args.output);
    match args.command {
        Command::Pub(args) => publish::run(args, &connection, output).await,
        Command::Sub(args) => subscribe::run(args, &connection, output).await,
        Command::Get(args) => get::run(args, &connection, output).await,
        Command::Call(args) => call::run(args, &connection, output).await,
        Command::Serve(args) => serve::run(args, &connection, output).await,
        #[cfg(feature = "bench")]
        Command::Bench(bench) => bench::run(&bench, &connection, &output).await,
        Command::Mesh => mesh::run(&connection, output).await,
        Command::Cert(_) => Ok(()),
        Command::Doctor => doctor::run(&connection, output).await,
    }
}

/// A value that cannot be used is told in one line, which names the argument; other mistakes as clap tells them.
fn explain(error: &clap::Error) -> ExitCode {
    if error.kind() != ErrorKind::ValueValidation {
        error.exit();
    }
    let text = error.to_string();
    eprintln!("{}", text.lines().next().unwrap_or_default());
    ExitCode::from(error::USAGE)
}

fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn start_log() {
    let filter = std::env::var("MACULA_LOG").unwrap_or_else(|_| "warn".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
