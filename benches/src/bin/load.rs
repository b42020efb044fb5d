//! Load generator: `macula bench` with a gateway of its own; every message counted, checked and timed.

use anyhow::Context as _;
use clap::Parser;
use macula_benches::process::{AS_GATEWAY, GatewayProcess, REALM, run_gateway};
use macula_load::Format;
use macula_load::command::{Bench, Target};
use macula_sdk::Client;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Loads a gateway, in a process that it starts itself unless it is given one.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
struct Args {
    #[command(flatten)]
    bench: Bench,
    /// A gateway that runs already
    #[arg(long, global = true)]
    url: Option<String>,
    /// Realm of that gateway
    #[arg(long, global = true, default_value = REALM)]
    realm: String,
    /// How the result is shown
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
}

fn main() -> ExitCode {
    macula_gateway::save_memory();
    if std::env::args().nth(1).as_deref() == Some(AS_GATEWAY) {
        return finish(run_gateway().map(|()| true));
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    finish(runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(args))))
}

fn finish(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<bool> {
    let gateway = if args.url.is_none() { Some(GatewayProcess::start()?) } else { None };
    let url =
        args.url.clone().or(gateway.as_ref().map(|gateway| gateway.url.clone())).context("no gateway")?;
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if args.url.is_none() {
        arguments.extend(["--url".to_owned(), url.clone()]);
    }
    let base = Client::builder().realm(&args.realm).name("load");
    let ran = args.bench.run(&Target { base, urls: vec![url], arguments }, args.output).await;
    drop(gateway);
    ran
}
