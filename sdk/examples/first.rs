//! The first steps, as in the README: `cargo run -p macula-sdk --example first`.

use macula_sdk::{Client, Reply};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect("https://localhost:9443").await?;

    // `.echo()`: this client's own messages too.
    let mut readings = client.subscribe("home.*").echo().await?;
    client.publish("home.measured", "3500 W").key("ant_001").await?;
    println!("{:?}", readings.next_message().await);

    let double =
        client.register("math.double", |request| async move { Ok(Reply::new(request.payload().repeat(2))) });
    let _double = double.await?;
    let reply = client.call("math.double", "ab").await?;
    println!("{:?}", reply.payload());

    // Says goodbye, so that the procedure is free at once.
    client.close().await?;
    Ok(())
}
