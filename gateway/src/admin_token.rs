//! Who may read more of the admin port than health and metrics: this machine, and who has the admin token.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The file with the token, if there is one. It is read for each request: a mounted Secret changes while we run.
#[derive(Clone, Debug)]
pub(crate) struct AdminToken(pub(crate) Option<Arc<PathBuf>>);

/// Lets a request pass that comes from this machine or has the token.
pub(crate) async fn require(
    State(AdminToken(file)): State<AdminToken>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if from.ip().to_canonical().is_loopback() {
        return next.run(request).await;
    }
    let Some(file) = file else {
        let text = "only from this machine: the gateway has no MACULA_ADMIN_TOKEN_FILE\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, given)) = given else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let text = "the admin token is missing: send authorization: Bearer TOKEN\n";
        return (StatusCode::UNAUTHORIZED, challenge, text).into_response();
    };
    // A few bytes of memory, where Secrets are; no thread is worth them.
    match std::fs::read_to_string(&*file) {
        Ok(token) if is_same(token.trim(), given.trim()) => next.run(request).await,
        Ok(_) => (StatusCode::FORBIDDEN, "this is not the admin token\n").into_response(),
        Err(error) => {
            tracing::error!(%error, file = %file.display(), "the admin token cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the admin token cannot be read\n").into_response()
        }
    }
}

/// In a time that does not tell how much of it is right. An empty token is nobody's.
fn is_same(token: &str, given: &str) -> bool {
    !token.is_empty() && verify_slices_are_equal(token.as_bytes(), given.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::connect_info::MockConnectInfo;
    use axum::routing::get;
    use axum::{Router, middleware};
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// The status that a page behind the guard answers with to who seems to come from an address.
    async fn ask(from: [u8; 4], file: Option<&std::path::Path>, authorization: &str) -> String {
        let token = AdminToken(file.map(|file| Arc::new(file.to_owned())));
        let router: Router = Router::new()
            .route("/", get(|| async { "told" }))
            .layer(middleware::from_fn_with_state(token, require))
            .layer(MockConnectInfo(SocketAddr::from((from, 1))));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        server.abort();
        answer.split(' ').nth(1).expect("a status").to_owned()
    }

    #[tokio::test]
    async fn another_machine_needs_the_token_and_this_one_does_not() {
        const THERE: [u8; 4] = [10, 0, 0, 7];
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        std::fs::write(&path, "secret\n").expect("written");
        let file = Some(&*path);
        assert_eq!(ask([127, 0, 0, 1], file, "").await, "200");
        assert_eq!(ask(THERE, None, "authorization: Bearer secret\r\n").await, "403", "there is no token");
        assert_eq!(ask(THERE, file, "").await, "401");
        assert_eq!(ask(THERE, file, "authorization: Basic secret\r\n").await, "401");
        assert_eq!(ask(THERE, file, "authorization: Bearer secre\r\n").await, "403");
        assert_eq!(ask(THERE, file, "authorization: bearer secret\r\n").await, "200");

        // A Secret that has changed, and one that is empty.
        std::fs::write(&path, "other").expect("written");
        assert_eq!(ask(THERE, file, "authorization: Bearer secret\r\n").await, "403");
        assert_eq!(ask(THERE, file, "authorization: Bearer other\r\n").await, "200");
        std::fs::write(&path, "\n").expect("written");
        assert_eq!(ask(THERE, file, "authorization: Bearer other\r\n").await, "403");
    }
}
