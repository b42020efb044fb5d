//! Shares work among processes: `cargo run -p macula-sdk --example work_queue`, in several terminals.
//!
//! Every job goes to one worker, jobs of one key always to the same one. A worker that ends gives what it has not
//! acknowledged to the others. Give them jobs by `macula pub example.job paint --key door --count 100 --rate 10`.

use macula_sdk::{Builder, Share};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = Builder::from_vars(|name| std::env::var(name).ok())?;
    // A worker that dies is not waited for: its jobs go on at once.
    let client = builder.resume_window(Duration::from_secs(2)).wait_for_gateway().connect().await?;
    let jobs = client.subscribe("example.job").group("workers").share(Share::Hash);
    let mut jobs = jobs.manual_ack().await?;
    println!("waiting for jobs");
    loop {
        let job = tokio::select! {
            job = jobs.next_delivery() => job,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(job) = job else { break };
        println!("{} {}", job.key(), String::from_utf8_lossy(job.payload()));
        job.ack();
    }
    drop(jobs);
    client.close().await?;
    Ok(())
}
