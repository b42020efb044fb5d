//! A simulated year through the whole chain: homes, gateways, mesh, projections, database, on this machine.

mod questions;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use cortexiq::duration::Length;
use cortexiq::ledger::Sizes;
use cortexiq::mesh::{Place, Ports};
use cortexiq::outcome::{Meant, Outcome};
use cortexiq::world::{Config, Replicas, World};
use cortexiq_domain::region::Region;
use cortexiq_projections::fixtures::Postgres;
use cortexiq_projections::{Database, Keep, Reader};
use hdrhistogram::Histogram;
use macula_benches::usage;
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lets four gateways, all bots and a database live through simulated time at a fixed speed, and tells how far behind the
/// clock the database was, what every part took, and whether anything is missing.
///
/// Fails when something is lost or differs from what must be.
#[derive(Debug, Parser)]
#[command(name = "year", version)]
struct Args {
    /// Homes of all regions
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    homes: u32,
    /// Where the read models are: a PostgreSQL server or a SQLite file made for this run
    #[arg(long, value_enum, default_value_t = Kind::Postgres)]
    database: Kind,
    /// How much time to simulate: 12h, 7d, 1y
    #[arg(long = "for", value_name = "LENGTH", default_value = "1y")]
    length: Length,
    /// Simulated seconds per real second; the default is a year in five minutes
    #[arg(long, default_value_t = 105_120, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    speed: u32,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Projections that share the homes; more than one need PostgreSQL
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    projections: u8,
    /// Newest months of which quarter-hours are kept while the year goes on; all unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    keep_months: Option<u32>,
    /// Queries that share the questions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    queries: u8,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Postgres,
    Sqlite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Result {
    homes: u32,
    database: Kind,
    simulated: String,
    speed: u32,
    seed: u64,
    projections: u8,
    queries: u8,
    keep_months: Option<u32>,
    /// Real seconds from the clock's first tick to its last.
    clock_s: f64,
    /// Real seconds from the last tick until the last row was committed.
    last_row_after_s: f64,
    /// Real seconds that the newest committed quarter-hour was behind the clock.
    newest_row_behind_s: Quantiles,
    /// The same of the home that is furthest behind.
    slowest_home_behind_s: Quantiles,
    measured: u64,
    measured_per_s: f64,
    lost: u64,
    equal: bool,
    /// CPU time from the first tick to the last row, in seconds and in microseconds of each measurement.
    cpu: Vec<Cpu>,
    /// Seconds of processors that the machine's host gave to others meanwhile.
    stolen_s: f64,
    peak_resident_bytes: u64,
    /// Of a server; none where the database is a part of this process.
    database_peak_bytes: Option<u64>,
    /// How long queries take when all is stored, asked one after the other over the mesh.
    answers: Vec<questions::Answered>,
    /// Pages of homes that are answered in a second when 32 are asked for at once.
    pages_per_s: f64,
    differences: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Cpu {
    part: String,
    seconds: f64,
    us_per_measurement: f64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(&args)));
    match result {
        Ok(result) => {
            match args.output {
                Output::Text => print!("{}", text(&result)),
                Output::Json => {
                    println!("{}", serde_json::to_string_pretty(&result).expect("numbers and texts"));
                }
            }
            ExitCode::from(u8::from(!(result.equal && result.lost == 0)))
        }
        Err(error) => {
            eprintln!("year: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Args {
    fn replicas(&self) -> Replicas {
        Replicas { projections: self.projections.into(), queries: self.queries.into() }
    }
}

async fn run(args: &Args) -> anyhow::Result<Result> {
    ensure!(
        args.projections == 1 || args.database == Kind::Postgres,
        "--projections {}: one process writes a SQLite file; use --database postgres",
        args.projections
    );
    let sizes = Sizes { seed: args.seed, homes: Some(args.homes as usize), ..Sizes::default() };
    let until = sizes.start_time + args.length.seconds();
    let directory = tempfile::tempdir()?;
    let server = match args.database {
        Kind::Postgres => Some(Postgres::start().map_err(anyhow::Error::msg)?),
        Kind::Sqlite => None,
    };
    let database = match &server {
        Some(server) => server.database().await.map_err(anyhow::Error::msg)?,
        None => Database::Sqlite(directory.path().join("year.db")),
    };
    let reader = Reader::new(&database);
    let config = Config {
        sizes,
        speed: args.speed,
        until: Some(until),
        ports: Ports { base: 0 },
        database,
        keep: Keep { months: args.keep_months.unwrap_or(0), runs: 0 },
        page: None,
        replicas: args.replicas(),
    };
    let mut world = World::start(config).await?;
    let mut watch = Watch::new(args, sizes.start_time, server.as_ref())?;
    watch.until_stored(&mut world, &reader, until).await?;
    let counted = watch.finish()?;
    eprintln!("computing everything again");
    let run = world.seen().run;
    let counts = world.reader().counts(run).await?;
    let meant = Meant {
        length: args.length,
        start_time: sizes.start_time,
        seed: args.seed,
        elapsed_s: watch.clock_s(),
    };
    let outcome = Outcome::read(world.reader(), run, meant, &counts).await?;
    eprintln!("asking every query over the mesh");
    // Queries answer at the hub.
    let url = world.mesh().url(Place::Region(Region::Antwerp));
    let (answers, pages_per_s) = questions::ask(&url, sizes.start_time, until).await?;
    world.stop().await;
    Ok(Result {
        homes: args.homes,
        database: args.database,
        simulated: args.length.to_string(),
        speed: args.speed,
        seed: args.seed,
        projections: args.projections,
        queries: args.queries,
        keep_months: args.keep_months,
        clock_s: watch.clock_s(),
        last_row_after_s: watch.last_row_after_s(),
        newest_row_behind_s: quantiles(&watch.newest),
        slowest_home_behind_s: quantiles(&watch.slowest),
        measured: outcome.measured,
        measured_per_s: outcome.measured as f64 / watch.clock_s(),
        lost: outcome.lost,
        equal: outcome.equal,
        cpu: counted
            .into_iter()
            .map(|(part, cpu)| Cpu {
                part,
                seconds: cpu.as_secs_f64(),
                us_per_measurement: cpu.as_secs_f64() * 1e6 / outcome.measured as f64,
            })
            .collect(),
        stolen_s: watch.stolen_s,
        peak_resident_bytes: watch.peak_resident,
        database_peak_bytes: server.as_ref().map(|_| watch.database_peak),
        answers,
        pages_per_s,
        differences: outcome.differences,
    })
}

/// Looks at the world from the first tick until the last row.
struct Watch<'a> {
    speed: f64,
    server: Option<&'a Postgres>,
    /// The clock's first instant, and when it was seen to move.
    start_time: i64,
    first_tick: Option<Instant>,
    last_tick: Option<Instant>,
    last_row: Option<Instant>,
    before: BTreeMap<String, Duration>,
    stolen_before: Duration,
    stolen_s: f64,
    /// Milliseconds.
    newest: Histogram<u64>,
    slowest: Histogram<u64>,
    peak_resident: u64,
    database_peak: u64,
}

impl<'a> Watch<'a> {
    fn new(args: &Args, start_time: i64, server: Option<&'a Postgres>) -> anyhow::Result<Self> {
        Ok(Self {
            speed: args.speed.into(),
            server,
            start_time,
            first_tick: None,
            last_tick: None,
            last_row: None,
            before: cpu_by_part(server)?,
            stolen_before: usage::stolen()?,
            stolen_s: 0.0,
            newest: Histogram::new(3)?,
            slowest: Histogram::new(3)?,
            peak_resident: 0,
            database_peak: 0,
        })
    }

    async fn until_stored(&mut self, world: &mut World, reader: &Reader, until: i64) -> anyhow::Result<()> {
        let (mut look, mut told) = (tokio::time::interval(LOOK), Instant::now());
        let mut moved = (Instant::now(), 0);
        loop {
            look.tick().await;
            if let Some(failed) = world.failure() {
                return Err(failed.into());
            }
            let (seen, written) = (world.seen(), world.written());
            if seen.run == 0 {
                continue;
            }
            let now = Instant::now();
            let clock = seen.computed_until + seen.lag;
            self.first_tick.get_or_insert(now);
            if clock + QUARTER > until {
                self.last_tick.get_or_insert(now);
            }
            let done = (written, seen.measured + seen.traded);
            if world.is_lived() && done.0 == done.1 {
                self.last_row = Some(now);
                return Ok(());
            }
            if done.0 != moved.1 {
                moved = (now, done.0);
            }
            ensure!(
                moved.0.elapsed() < STALLED,
                "nothing has been stored for {STALLED:?}: {} of {} rows are",
                done.0,
                done.1
            );
            if self.last_tick.is_none() {
                self.compare(reader, seen.run, clock).await?;
            }
            if told.elapsed() > TELL {
                told = now;
                self.remember_usage()?;
                let days = (clock - self.start_time) / 86_400;
                eprintln!(
                    "day {days}: {} of {} rows stored, homes {:.2} s behind, database {:.2} s at 99 of 100, \
                     {:.1} s of processors stolen by the host",
                    done.0,
                    done.1,
                    seen.lag as f64 / self.speed,
                    quantiles(&self.newest).p99,
                    self.stolen_s,
                );
            }
        }
    }

    /// How far the database is behind the clock, in real time.
    async fn compare(&mut self, reader: &Reader, run: u64, clock: i64) -> anyhow::Result<()> {
        let rows = reader.query(NEWEST, [run.into()]).await?;
        let Some(row) = rows.first().filter(|row| row.has(0)) else { return Ok(()) };
        for (column, times) in [&mut self.newest, &mut self.slowest].into_iter().enumerate() {
            let end = (row.int(column) + 1) * QUARTER;
            // Rows may have come after the clock was read.
            let behind = (clock - end).max(0) as f64 / self.speed;
            times.record((behind * 1000.0) as u64)?;
        }
        Ok(())
    }

    fn remember_usage(&mut self) -> anyhow::Result<()> {
        self.stolen_s = usage::stolen()?.saturating_sub(self.stolen_before).as_secs_f64();
        if let Some(server) = self.server {
            let process = server.process().map_err(anyhow::Error::msg)?;
            self.database_peak = self.database_peak.max(usage::family(process)?.memory);
        }
        self.peak_resident = usage::peak_resident()?;
        Ok(())
    }

    /// CPU time since the beginning, by part.
    fn finish(&mut self) -> anyhow::Result<Vec<(String, Duration)>> {
        self.remember_usage()?;
        let after = cpu_by_part(self.server)?;
        let taken = after.into_iter().map(|(part, cpu)| {
            let before = self.before.get(&part).copied().unwrap_or_default();
            (part, cpu.saturating_sub(before))
        });
        let mut taken: Vec<_> = taken.collect();
        taken.sort_by_key(|(_, cpu)| std::cmp::Reverse(*cpu));
        Ok(taken)
    }

    fn clock_s(&self) -> f64 {
        seconds_between(self.first_tick, self.last_tick)
    }

    fn last_row_after_s(&self) -> f64 {
        seconds_between(self.last_tick, self.last_row)
    }
}

/// Parts of the world by the names of their threads.
fn cpu_by_part(server: Option<&Postgres>) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut parts = BTreeMap::new();
    for (thread, cpu) in usage::threads()? {
        let part = match thread.as_str() {
            "macula-data" => "four gateways",
            "macula-io" => "clients of the bots",
            "projections" | "queries" | "simulation" => thread.as_str(),
            name if name.starts_with("homes ") => "homes",
            name if name.starts_with("utilities ") => "utilities",
            name if name.starts_with("sqlite") => "database",
            _ => "the rest, this watch among it",
        };
        *parts.entry(part.to_owned()).or_default() += cpu;
    }
    if let Some(server) = server {
        let process = server.process().map_err(anyhow::Error::msg)?;
        *parts.entry("database".to_owned()).or_default() += usage::family(process)?.cpu;
    }
    Ok(parts)
}

fn seconds_between(first: Option<Instant>, last: Option<Instant>) -> f64 {
    match (first, last) {
        (Some(first), Some(last)) => last.saturating_duration_since(first).as_secs_f64(),
        _ => 0.0,
    }
}

fn quantiles(times: &Histogram<u64>) -> Quantiles {
    let at = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1000.0;
    Quantiles { p50: at(0.5), p99: at(0.99), max: times.max() as f64 / 1000.0 }
}

fn text(result: &Result) -> String {
    let Result { homes, simulated, speed, clock_s, measured, measured_per_s, .. } = result;
    let mut text = format!(
        "{simulated} of {homes} homes at {speed}x: {measured} quarter-hours in {clock_s:.1} s of clock, \
         {measured_per_s:.0} a second\n\
         last row {:.2} s after the last tick; newest row behind the clock {:.2} s in the middle, {:.2} s at 99 of 100, \
         {:.2} s at most\n\
         memory {} MiB\n\n",
        result.last_row_after_s,
        result.newest_row_behind_s.p50,
        result.newest_row_behind_s.p99,
        result.newest_row_behind_s.max,
        result.peak_resident_bytes >> 20,
    );
    text += &format!("{:.1} s of processors stolen by the host meanwhile\n", result.stolen_s);
    if let Some(bytes) = result.database_peak_bytes {
        text += &format!("memory of the database server {} MiB\n\n", bytes >> 20);
    }
    for Cpu { part, seconds, us_per_measurement } in &result.cpu {
        text += &format!("{part:<30} {seconds:>8.1} s of CPU {us_per_measurement:>7.2} µs a quarter-hour\n");
    }
    text += &format!("\n{}", questions::Answered::HEAD);
    result.answers.iter().for_each(|answered| text += &answered.line());
    text += &format!("\n32 pages of homes asked for at once: {:.0} a second\n", result.pages_per_s);
    text + &match (result.equal, result.lost) {
        (true, 0) => "\nequal to the watt-hour and the nano-euro; nothing is lost\n".to_owned(),
        (_, lost) => {
            format!("\nNOT equal: {lost} quarter-hours are lost\n{}\n", result.differences.join("\n"))
        }
    }
}

/// The newest quarter-hour of all homes, and that of the home which is furthest behind.
const NEWEST: &str = "SELECT max(quarter), min(quarter) FROM home_states WHERE run = $1";
const QUARTER: i64 = 900;
const LOOK: Duration = Duration::from_millis(50);
const TELL: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(60);
