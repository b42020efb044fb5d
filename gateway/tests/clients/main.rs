//! The SDK and real gateways: what is easy, what holds when readers do not read, and what happens when gateways go.

#[path = "../support/mod.rs"]
mod support;

mod conveniences;
mod departures;
mod isolation;

use macula_gateway::Gateway;
use macula_sdk::{Builder, Client};
use std::time::Duration;
use support::url;

fn builder(url: impl Into<String>) -> Builder {
    Client::builder().url(url).realm("test.realm")
}

async fn client(gateway: &Gateway) -> Client {
    builder(url(gateway)).connect().await.expect("the gateway accepts clients")
}

/// What comes next, long before anybody would give up.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), future).await.expect("it comes soon")
}
