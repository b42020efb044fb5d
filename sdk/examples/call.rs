//! Offers a procedure and calls it: `cargo run -p macula-sdk --example call`.

use macula_sdk::{Builder, CallFailure, Code, Reply};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Builder::from_vars(|name| std::env::var(name).ok())?.connect().await?;
    let shout = client.register("example.shout", |request| async move {
        let text = std::str::from_utf8(request.payload())
            .map_err(|error| CallFailure::new(Code::InvalidArgument, error.to_string()))?;
        Ok(Reply::new(text.to_uppercase()))
    });
    let _registration = shout.await?;
    let reply = client.call("example.shout", "hello").timeout(Duration::from_secs(5)).await?;
    println!("{}", String::from_utf8_lossy(reply.payload()));
    client.close().await?;
    Ok(())
}
