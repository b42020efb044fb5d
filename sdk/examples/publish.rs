//! Publishes ten readings: `cargo run -p macula-sdk --example publish`.

use macula_sdk::Builder;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Builder::from_vars(|name| std::env::var(name).ok())?.connect().await?;
    for reading in 0..10 {
        let payload = format!("{}.5", 20 + reading);
        let publish = client.publish("example.room.temperature", payload).key("kitchen");
        publish.content_type("text/plain").retain().await?;
    }
    client.close().await?;
    Ok(())
}
