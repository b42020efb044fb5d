//! What large events cost small ones of another publisher that go to the same subscriber: they share its event stream.

use anyhow::Context as _;
use clap::Parser;
use hdrhistogram::Histogram;
use macula_benches::process::{AS_GATEWAY, GatewayProcess, REALM, run_gateway};
use macula_sdk::{Client, Topic};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times small events of one publisher while another sends large ones, one after the other, to the same subscriber.
#[derive(Debug, Parser)]
#[command(name = "large", version)]
struct Args {
    /// Payload of the large events, in KiB, at most 16384; 0 for none
    #[arg(long, value_delimiter = ',', default_values_t = [0, 64, 1024, 4096, 16_384],
          value_parser = clap::value_parser!(u32).range(..=16_384))]
    sizes: Vec<u32>,
    /// Small events, one each five milliseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
}

/// Time between small events.
const EVERY: Duration = Duration::from_millis(5);
/// Nothing takes longer; then something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(AS_GATEWAY) {
        return report(run_gateway());
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    report(runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&args))))
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    println!("| large events | small: median | 99 of 100 | longest | large a second |");
    println!("|---|---|---|---|---|");
    for &size in &args.sizes {
        let gateway = GatewayProcess::start()?;
        let (times, large) = measure(&gateway.url, (size as usize) << 10, args.events).await?;
        let ms = |micros: u64| micros as f64 / 1_000.0;
        let name = if size == 0 { "none".to_owned() } else { format!("{size} KiB") };
        println!(
            "| {name} | {:.2} ms | {:.2} ms | {:.2} ms | {large:.0} |",
            ms(times.value_at_quantile(0.5)),
            ms(times.value_at_quantile(0.99)),
            ms(times.max())
        );
    }
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    Client::builder().url(url).realm(REALM).connect().await.context("connecting")
}

/// Times from publish to receipt in microseconds, and how many large events a second came beside.
async fn measure(url: &str, size: usize, events: u64) -> anyhow::Result<(Histogram<u64>, f64)> {
    let (reader, small, large) = (connect(url).await?, connect(url).await?, connect(url).await?);
    let mut small_ones = reader.subscribe("bench.small").await?;
    let mut large_ones = reader.subscribe("bench.large").await?;
    let begun = Instant::now();
    let flood = tokio::spawn(async move {
        let (topic, payload) = (Topic::from_static("bench.large"), vec![7; size]);
        while size > 0 && large.publish(&topic, payload.clone()).await.is_ok() {}
    });
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let sink = tokio::spawn(async move {
        while large_ones.next_message().await.is_some() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let steady = tokio::spawn(async move {
        let topic = Topic::from_static("bench.small");
        let mut interval = tokio::time::interval(EVERY);
        for _ in 0..events {
            interval.tick().await;
            let sent = begun.elapsed().as_micros() as u64;
            small.publish(&topic, sent.to_be_bytes().to_vec()).send().await?;
        }
        small.flush().await?;
        anyhow::Ok(())
    });
    let mut times = Histogram::new(3)?;
    for _ in 0..events {
        let message = tokio::time::timeout(PATIENCE, small_ones.next_message()).await?.context("closed")?;
        let sent = u64::from_be_bytes(message.payload().try_into().context("eight bytes")?);
        times.record((begun.elapsed().as_micros() as u64).saturating_sub(sent))?;
    }
    let rate = count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    steady.await??;
    flood.abort();
    sink.abort();
    Ok((times, rate))
}
