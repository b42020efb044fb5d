//! A web service that stands on Macula: `cargo run -p macula-sdk --example axum`.
//!
//! `GET /rooms` answers from a procedure that anybody in the mesh may offer, `POST /rooms/{room}` publishes. One client is
//! shared by all requests; its clones are cheap. Offer the procedure by `macula serve example.rooms -- echo kitchen hall`.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use macula_sdk::{Builder, CallError, Client, Code, PublishError};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Builder::from_vars(|name| std::env::var(name).ok())?.wait_for_gateway().connect().await?;
    let app = Router::new()
        .route("/rooms", get(rooms))
        .route("/rooms/{room}", post(set))
        .with_state(client.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{}/rooms", listener.local_addr()?);
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // What was published is accepted before the process ends.
    client.close().await?;
    Ok(())
}

async fn rooms(State(client): State<Client>) -> Result<Vec<u8>, (StatusCode, String)> {
    let call = client.call("example.rooms", "").timeout(Duration::from_secs(2));
    call.await.map(|reply| reply.payload().to_vec()).map_err(told)
}

async fn set(
    State(client): State<Client>,
    Path(room): Path<String>,
    body: String,
) -> Result<String, (StatusCode, String)> {
    match client.publish(format!("example.room.{room}"), body).retain().await {
        Err(error @ PublishError::Topic { .. }) => Err((StatusCode::BAD_REQUEST, error.to_string())),
        Ok(receipt) => Ok(format!("{} receivers\n", receipt.matches().unwrap_or_default())),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

fn told(error: CallError) -> (StatusCode, String) {
    let status = match error.code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    (status, error.to_string())
}
