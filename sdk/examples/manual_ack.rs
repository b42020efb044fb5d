//! Stores what it hears and acknowledges it then: `cargo run -p macula-sdk --example manual_ack`.
//!
//! The session has a name. Kill this process and start it again: what it had not stored comes again, what it had stored
//! does not. `cargo run -p macula-sdk --example publish` gives it something to do.

use macula_sdk::{Builder, Notification};
use std::error::Error;
use std::io::Write as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = Builder::from_vars(|name| std::env::var(name).ok())?;
    let client = builder.session_name("example-ledger").wait_for_gateway().connect().await?;
    let path = std::env::temp_dir().join("macula-example-ledger.txt");
    let mut ledger = std::fs::File::options().create(true).append(true).open(&path)?;
    println!("writing to {}", path.display());

    let mut entries = client.subscribe("example.#").manual_ack().await?;
    while let Some(mut batch) = entries.next_batch().await {
        for notification in &mut batch {
            match notification {
                Notification::Message(entry) => {
                    writeln!(ledger, "{} {}", entry.topic(), String::from_utf8_lossy(entry.payload()))?;
                }
                Notification::RetainedEnd => {}
                loss => eprintln!("{loss:?}"),
            }
        }
        // As a database commits: only what is safe is acknowledged.
        ledger.sync_data()?;
        batch.ack();
    }
    Ok(())
}
