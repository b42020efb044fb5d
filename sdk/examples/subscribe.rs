//! Prints what is published: `cargo run -p macula-sdk --example subscribe`.

use macula_sdk::{Builder, Notification};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Builder::from_vars(|name| std::env::var(name).ok())?.wait_for_gateway().connect().await?;
    let mut readings = client.subscribe("example.#").retained().await?;
    while let Some(notification) = readings.next().await {
        match notification {
            Notification::Message(message) => {
                let text = String::from_utf8_lossy(message.payload());
                println!("{} {} {text}", message.topic(), message.key());
            }
            Notification::RetainedEnd => println!("-- live from here"),
            loss => println!("-- {loss:?}"),
        }
    }
    Ok(())
}
