//! Publishes ten readings: `cargo run -p macula-sdk --example publish`.

use macula_sdk::{Builder, Topic};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Builder::from_vars(|name| std::env::var(name).ok())?.connect().await?;
    let topic: Topic = "example.room.temperature".parse()?;
    for reading in 0..10 {
        let payload = format!("{}.5", 20 + reading);
        client.publish(&topic, payload).key("kitchen").content_type("text/plain").retain().await?;
    }
    client.close().await?;
    Ok(())
}
