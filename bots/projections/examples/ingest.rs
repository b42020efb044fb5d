//! How many rows a second a database takes: `cargo run --release -p cortexiq-projections --features fixtures --example
//! ingest -- [sqlite|postgres] [homes] [days] [rows in a batch]`.
//!
//! A whole run of the ledger is put into batches first; then only the writing is timed, one batch after the other.

use std::time::Instant;

use cortexiq_domain::ledger::RUN;
use cortexiq_projections::fixtures::{Postgres, World};
use cortexiq_projections::{Database, Store};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (homes, days, rows) = (number(1, 300), number(2, 30), number(3, 20_000));
    let directory = tempfile::tempdir().expect("a directory");
    let server;
    let database = match arguments.first().map(String::as_str) {
        Some("postgres") => {
            server = Postgres::start().expect("a server");
            server.database().await.expect("a database")
        }
        _ => Database::Sqlite(directory.path().join("ingest.db")),
    };
    let mut world = World::new(days as i64, homes / 3);
    world.by_time();
    let begun = Instant::now();
    let batches = world.batches(rows);
    let decoded = begun.elapsed();
    let store = Store::open(&database).await.expect("opens");
    let begun = Instant::now();
    for batch in &batches {
        store.write(batch.clone()).await.expect("written");
    }
    let elapsed = begun.elapsed();
    let counts = store.reader().counts(RUN).await.expect("counted");
    let written = counts.measurements + counts.trades;
    let begun = Instant::now();
    let report = store.reader().verify(RUN, world.plan.end_time).await.expect("compared");
    println!(
        "{}: {} measurements and {} trades in {} batches: {:.0} rows/s, {:.2} µs a row; decoding {:.2} µs a message; \
        verify equal {} in {:.1} s",
        database.shown(),
        counts.measurements,
        counts.trades,
        batches.len(),
        written as f64 / elapsed.as_secs_f64(),
        elapsed.as_secs_f64() * 1e6 / written as f64,
        decoded.as_secs_f64() * 1e6 / world.said.len() as f64,
        report.equal,
        begun.elapsed().as_secs_f64(),
    );
}
