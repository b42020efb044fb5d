//! `cortexiq verify`: computes a stored run again and prints every difference.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cortexiq_domain::totals::RegionTotals;
use cortexiq_domain::verify::Report;
use cortexiq_projections::{Database, Reader};
use serde::Serialize;

use crate::cli::{Output, file_of, print_json};
use crate::outcome::{report_text, stored_totals};

#[derive(Debug, Serialize)]
struct Verified {
    run: u64,
    #[serde(flatten)]
    report: Report,
    stored_totals: RegionTotals,
}

pub(crate) fn run(database: &Database, run: Option<u64>, output: Output) -> ExitCode {
    match verified(database, run) {
        Ok(verified) => {
            match output {
                Output::Text => print!("{}", report_text(&verified.report, &verified.stored_totals)),
                Output::Json => print_json(&verified),
            }
            ExitCode::from(u8::from(!verified.report.equal))
        }
        Err(error) => {
            eprintln!("cortexiq verify: {}: {error:#}", database.shown());
            ExitCode::FAILURE
        }
    }
}

/// Up to the newest tick that is stored. A world that is stopped computes all its clock has brought.
fn verified(database: &Database, run: Option<u64>) -> anyhow::Result<Verified> {
    if let Some(path) = file_of(database).filter(|path| !path.exists()) {
        bail!("there is no file {}", path.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let reader = Reader::new(database);
        let run = match run {
            Some(run) => run,
            None => reader.newest_run().await?.context("no run is stored")?,
        };
        let end_time = reader.recorded(run).await?.end_time;
        let report = reader.verify(run, end_time).await?;
        let stored_totals = stored_totals(&reader, run).await?;
        Ok(Verified { run, report, stored_totals })
    })
}
