//! Load generator: publishers and subscribers against one gateway; every message counted, checked and timed.

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use macula_benches::process::{AS_GATEWAY, GatewayProcess, REALM, run_gateway};
use macula_sdk::{Class, Client, Notification, Overflow, Pattern, Subscription, Topic};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Publishes messages through a gateway process and counts what arrives.
///
/// A message that is missing, doubled or out of order fails the run.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
struct Args {
    /// Publishers, each a client of its own
    #[arg(long, default_value_t = 1)]
    pubs: usize,
    /// Subscribers, each a client of its own
    #[arg(long, default_value_t = 4)]
    subs: usize,
    /// Topics; publisher and subscriber number n use topic n modulo this
    #[arg(long, default_value_t = 1)]
    topics: usize,
    /// Bytes of payload, at least 20
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Messages of each publisher
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
    /// Delivery class; telemetry is taken with `block`, so that none may be dropped
    #[arg(long, value_enum, default_value_t = LoadClass::Event)]
    class: LoadClass,
    /// Messages a second of each publisher; as fast as it goes when not given
    #[arg(long)]
    rate: Option<f64>,
    /// Longest wait for the last messages, in seconds
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// A gateway that runs already; its CPU time is not measured then
    #[arg(long)]
    url: Option<String>,
    /// Realm of that gateway
    #[arg(long, default_value = REALM)]
    realm: String,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoadClass {
    Event,
    Telemetry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Head of a payload: publisher, sequence, and nanoseconds since the run began.
const HEAD: usize = 20;

fn main() -> ExitCode {
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
    anyhow::ensure!(args.size >= HEAD, "--size {}: a payload has at least {HEAD} bytes", args.size);
    anyhow::ensure!(
        args.topics > 0 && args.pubs > 0 && args.subs > 0,
        "--pubs, --subs and --topics are at least 1"
    );
    let gateway = if args.url.is_none() { Some(GatewayProcess::start()?) } else { None };
    let url =
        args.url.clone().or(gateway.as_ref().map(|gateway| gateway.url.clone())).context("no gateway")?;
    let connect = || Client::builder().url(&url).realm(&args.realm).name("load").connect();

    let began = Instant::now();
    let seen = Arc::new(AtomicU64::new(0));
    let mut subscribers = Vec::new();
    let mut expected = 0;
    for number in 0..args.subs {
        let client = connect().await?;
        let pattern: Pattern = format!("load.topic.{}", number % args.topics).parse()?;
        let subscription = client
            .subscribe(pattern)
            .overflow_telemetry(Overflow::Block)
            .overflow_events(Overflow::Block)
            .await?;
        let publishers =
            (0..args.pubs).filter(|publisher| publisher % args.topics == number % args.topics).count();
        expected += publishers as u64 * args.messages;
        let receiver = Receiver::new(&args, publishers as u64 * args.messages, seen.clone(), began);
        subscribers.push(tokio::spawn(receiver.run(client, subscription)));
    }
    let mut publishers = Vec::new();
    for number in 0..args.pubs {
        publishers.push(connect().await?);
        anyhow::ensure!(number < u32::MAX as usize, "too many publishers");
    }

    let cpu_before = gateway.as_ref().map(GatewayProcess::cpu).transpose()?;
    let started = Instant::now();
    let sending: Vec<_> = publishers
        .into_iter()
        .enumerate()
        .map(|(number, client)| tokio::spawn(send(client, number, Plan::of(&args), began)))
        .collect();
    let bar = progress(&args, expected, seen.clone());
    for task in sending {
        task.await??;
    }
    let mut latency = Histogram::<u64>::new(3)?;
    let (mut received, mut faults, mut last) = (0, Vec::new(), started);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(args.patience);
    for task in subscribers {
        let abort = task.abort_handle();
        match tokio::time::timeout_at(deadline, task).await {
            Ok(result) => {
                let report = result?;
                received += report.received;
                latency.add(&report.latency)?;
                last = last.max(report.last);
                faults.extend(report.faults);
            }
            Err(_) => {
                abort.abort();
                faults.push(format!("a subscriber did not get all messages within {} s", args.patience));
            }
        }
    }
    bar.finish_and_clear();
    let elapsed = last - started;
    let cpu = match (&gateway, cpu_before) {
        (Some(gateway), Some(before)) => Some(gateway.cpu()? - before),
        _ => None,
    };
    let resident = gateway.as_ref().map(GatewayProcess::resident).transpose()?;
    let result = Outcome {
        expected,
        received: received.max(seen.load(Ordering::Relaxed)),
        elapsed,
        cpu,
        resident,
        latency,
        faults,
    };
    result.print(&args);
    Ok(result.complete())
}

/// What one publisher does.
#[derive(Clone, Copy)]
struct Plan {
    messages: u64,
    size: usize,
    topics: usize,
    class: Class,
    rate: Option<f64>,
}

impl Plan {
    fn of(args: &Args) -> Self {
        let class = match args.class {
            LoadClass::Event => Class::Event,
            LoadClass::Telemetry => Class::Telemetry,
        };
        Self { messages: args.messages, size: args.size, topics: args.topics, class, rate: args.rate }
    }
}

async fn send(client: Client, number: usize, plan: Plan, began: Instant) -> anyhow::Result<()> {
    let topic: Topic = format!("load.topic.{}", number % plan.topics).parse()?;
    let publisher = client.publisher(&topic).class(plan.class).build()?;
    let mut payload = vec![0; plan.size];
    payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
    let started = Instant::now();
    let mut time = began.elapsed();
    for sequence in 0..plan.messages {
        if let Some(rate) = plan.rate {
            // The time at which it should leave counts, so that a stall is seen by all that it delays.
            let due = started + Duration::from_secs_f64(sequence as f64 / rate);
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
            time = due - began;
        } else if sequence % 16 == 0 {
            time = began.elapsed();
        }
        payload[4..12].copy_from_slice(&sequence.to_be_bytes());
        payload[12..20].copy_from_slice(&(time.as_nanos() as u64).to_be_bytes());
        publisher.send(&payload, "").await?;
    }
    client.flush().await?;
    Ok(())
}

/// One subscriber: checks that every message of every publisher comes once and in order.
struct Receiver {
    expected: u64,
    next: Vec<u64>,
    size: usize,
    seen: Arc<AtomicU64>,
    began: Instant,
    report: Report,
}

struct Report {
    received: u64,
    latency: Histogram<u64>,
    last: Instant,
    faults: Vec<String>,
}

impl Receiver {
    fn new(args: &Args, expected: u64, seen: Arc<AtomicU64>, began: Instant) -> Self {
        let latency = Histogram::new(3).expect("three digits are allowed");
        let report = Report { received: 0, latency, last: began, faults: Vec::new() };
        Self { expected, next: vec![0; args.pubs], size: args.size, seen, began, report }
    }

    async fn run(mut self, client: Client, mut subscription: Subscription) -> Report {
        while self.report.received < self.expected && self.report.faults.is_empty() {
            let Some(batch) = subscription.next_batch().await else {
                self.report.faults.push("the subscription ended".to_owned());
                break;
            };
            let now = self.began.elapsed().as_nanos() as u64;
            let before = self.report.received;
            batch.for_each(|notification| self.take(notification, now));
            self.seen.fetch_add(self.report.received - before, Ordering::Relaxed);
        }
        self.report.last = Instant::now();
        drop(subscription);
        drop(client);
        self.report
    }

    fn take(&mut self, notification: Notification, now: u64) {
        let message = match notification {
            Notification::Message(message) => message,
            other => return self.report.faults.push(format!("{other:?}")),
        };
        let payload = message.payload();
        let Some((head, _)) = payload.split_first_chunk::<HEAD>().filter(|_| payload.len() == self.size)
        else {
            return self.report.faults.push(format!("a payload of {} bytes", payload.len()));
        };
        let publisher = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let sequence = head[4..12].iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let sent = head[12..20].iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
        match self.next.get_mut(publisher) {
            Some(next) if *next == sequence => *next += 1,
            expected => {
                self.report.faults.push(format!("message {sequence} of {publisher}, expected {expected:?}"))
            }
        }
        self.report.received += 1;
        let _ = self.report.latency.record(now.saturating_sub(sent) / 1000);
    }
}

fn progress(args: &Args, expected: u64, seen: Arc<AtomicU64>) -> ProgressBar {
    if args.output == Output::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} deliveries  {per_sec}  {eta}");
    let bar = ProgressBar::new(expected).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let shown = bar.clone();
    tokio::spawn(async move {
        while !shown.is_finished() {
            shown.set_position(seen.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    bar
}

/// What a run gave.
struct Outcome {
    expected: u64,
    received: u64,
    elapsed: Duration,
    cpu: Option<Duration>,
    resident: Option<u64>,
    latency: Histogram<u64>,
    faults: Vec<String>,
}

impl Outcome {
    fn complete(&self) -> bool {
        self.faults.is_empty() && self.received == self.expected
    }

    fn print(&self, args: &Args) {
        let rate = self.received as f64 / self.elapsed.as_secs_f64();
        let cpu = self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.received.max(1) as f64);
        let quantile = |q| self.latency.value_at_quantile(q);
        if args.output == Output::Json {
            let object = serde_json::json!({
                "pubs": args.pubs,
                "subs": args.subs,
                "topics": args.topics,
                "size": args.size,
                "messages": args.messages,
                "class": format!("{:?}", args.class).to_lowercase(),
                "expected": self.expected,
                "received": self.received,
                "missing": self.expected - self.received.min(self.expected),
                "faults": self.faults,
                "elapsed_s": self.elapsed.as_secs_f64(),
                "deliveries_per_s": rate,
                "server_cpu_us_per_delivery": cpu,
                "server_resident_bytes": self.resident,
                "latency_us": { "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "p999": quantile(0.999), "max": self.latency.max() },
            });
            println!("{object:#}");
            return;
        }
        println!("deliveries      {} of {}", self.received, self.expected);
        println!("deliveries/s    {rate:.0}");
        if let Some(cpu) = cpu {
            println!("server CPU      {cpu:.2} µs a delivery");
        }
        if let Some(resident) = self.resident {
            println!("server memory   {:.1} MB", resident as f64 / 1e6);
        }
        println!(
            "latency         p50 {} µs, p90 {} µs, p99 {} µs, p99.9 {} µs, max {} µs",
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            quantile(0.999),
            self.latency.max()
        );
        for fault in self.faults.iter().take(5) {
            println!("FAULT           {fault}");
        }
        if !self.complete() {
            println!(
                "INVALID         {} deliveries are missing",
                self.expected.saturating_sub(self.received)
            );
        }
    }
}
