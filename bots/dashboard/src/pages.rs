//! All routes, and what every answer says to browsers.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use macula_sdk::Code;

use crate::assets::{self, Asset};
use crate::problem::Problem;
use crate::state::App;
use crate::visitor::{Visitor, is_loopback_name};
use crate::{api, control, csv, live, series, transport};

/// What the dashboard answers.
pub(crate) fn router(app: App) -> Router {
    let session = get(control::session).post(control::sign_in).delete(control::sign_out);
    Router::new()
        .route("/api/transport", get(transport::serve))
        .route("/api/session", session)
        .route("/api/control/{command}", post(control::control))
        .route("/api/live", get(live::serve))
        .route("/api/series", get(series::serve))
        .route("/api/home_history.csv", get(csv::serve))
        .route("/api/{query}", get(api::serve))
        .fallback(page)
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(app.clone(), protect))
        .with_state(app)
}

/// A file of the page; every place of the application is the page itself.
async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") {
        return Problem::new(Code::NotFound, "there is no such resource").into_response();
    }
    match assets::find(path) {
        Some(asset) => send(asset, StatusCode::OK, &headers),
        None => {
            let place = path.split('/').next().unwrap_or_default();
            let status = if PLACES.contains(&place) { StatusCode::OK } else { StatusCode::NOT_FOUND };
            let index = assets::find("index.html").expect("build.rs sees to it that there is a page");
            send(index, status, &headers)
        }
    }
}

fn send(asset: &'static Asset, status: StatusCode, request: &HeaderMap) -> Response {
    let has = |name: HeaderName, wanted: &str| {
        let values = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|item| item.split(';').next().map(str::trim) == Some(wanted))
    };
    // Names in `assets/` change with their content.
    let lasts =
        if asset.path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, assets::media_type(asset.path)),
        (header::CACHE_CONTROL, lasts),
        (header::ETAG, asset.tag),
        (header::VARY, "accept-encoding"),
    ];
    if status == StatusCode::OK && has(header::IF_NONE_MATCH, asset.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    match asset.gzip.filter(|_| has(header::ACCEPT_ENCODING, "gzip")) {
        Some(gzip) => (status, headers, [(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
        None => (status, headers, asset.bytes).into_response(),
    }
}

/// Tells browsers what this page never does.
async fn protect(State(app): State<App>, visitor: Visitor, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in NEVER {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // Browsers take it from origins that they trust, and complain of it elsewhere.
    if app.secure || is_loopback_name(visitor.host_name()) {
        let name = HeaderName::from_static("cross-origin-opener-policy");
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    let gateway = app.transport.url_for(visitor.host_name());
    let policy = format!("{POLICY}; connect-src 'self' {gateway}");
    // A host name that is no header's value gets the strictest.
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

const NEVER: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Where the application has pages.
const PLACES: [&str; 6] = ["", "homes", "providers", "mesh", "control", "about"];
/// Bodies are a password or a speed.
const MOST_BODY: usize = 4096;
