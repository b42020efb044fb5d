//! Offers a procedure that answers in parts, and takes them slowly: `cargo run -p macula-sdk --example streaming_call`.
//!
//! The provider waits whenever as many bytes as the caller's window are under way, so that neither side, nor a gateway
//! between them, ever holds more.

use macula_sdk::{Builder, CallFailure, Code, Reply};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Builder::from_vars(|name| std::env::var(name).ok())?.connect().await?;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let count = client.register_stream("example.count", move |request, mut replies| {
        let counter = Arc::clone(&counter);
        async move {
            let text = String::from_utf8_lossy(request.payload());
            let last: u64 = text
                .parse()
                .map_err(|error| CallFailure::new(Code::InvalidArgument, format!("`{text}`: {error}")))?;
            for number in 1..=last {
                replies.send(Reply::new(format!("{number:>1000}"))).await?;
                counter.store(number, Ordering::Relaxed);
            }
            Ok(())
        }
    });
    let _registration = count.await?;

    let mut replies = client.call("example.count", "1000").window(50_000).stream().await?;
    let mut taken = 0;
    while let Some(reply) = replies.next().await {
        let text = String::from_utf8(reply?.payload().to_vec())?;
        taken += 1;
        if taken % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            println!("took {}, the provider has sent {}", text.trim(), sent.load(Ordering::Relaxed));
        }
    }
    client.close().await?;
    Ok(())
}
