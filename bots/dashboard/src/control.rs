//! Signing in, and control of the simulation's clock.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cortexiq_domain::topics::{self, Procedure};
use cortexiq_proto::{
    ControlResult, PauseRequest, Payload, ResetRequest, ResumeRequest, SetSpeedRequest, json,
};
use macula_sdk::Code;
use serde::Deserialize;
use serde_json::Value;

use crate::api::call_typed;
use crate::problem::Problem;
use crate::sessions::Refused;
use crate::state::App;
use crate::visitor::Visitor;

/// What somebody signs in with.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    password: String,
}

/// `GET /api/session`: whether control is allowed, and why not.
pub(crate) async fn session(State(app): State<App>, visitor: Visitor) -> impl IntoResponse {
    let signed_in = visitor.is_signed_in(&app);
    let reason = visitor.may_control(&app).err().map(|problem| problem.detail().to_owned());
    Json(serde_json::json!({
        "needs_password": app.sessions.needs_password(),
        "signed_in": signed_in,
        "may_control": reason.is_none(),
        "reason": reason,
    }))
}

/// `POST /api/session`.
pub(crate) async fn sign_in(
    State(app): State<App>,
    visitor: Visitor,
    body: Result<Json<Credentials>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Problem> {
    visitor.comes_from_our_page(&app)?;
    let Json(Credentials { password }) = body.map_err(|error| invalid(&error.body_text()))?;
    let cookie = app.sessions.sign_in(&password, visitor.address()).map_err(|refused| match refused {
        Refused::NoPassword => Problem::new(
            Code::InvalidArgument,
            "there is no password to sign in with; DASHBOARD_PASSWORD_FILE names one",
        ),
        Refused::Wrong => Problem::new(Code::Unauthenticated, "that is not the password"),
        Refused::TooMany(seconds) => Problem::later(
            Code::ResourceExhausted,
            format!("too many wrong passwords; try again in {seconds} s"),
            seconds,
        ),
    })?;
    tracing::info!(from = %visitor.address(), "signed in");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// `DELETE /api/session`.
pub(crate) async fn sign_out(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    visitor.comes_from_our_page(&app)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.sessions.sign_out())]).into_response())
}

/// `POST /api/control/{command}`.
pub(crate) async fn control(
    State(app): State<App>,
    visitor: Visitor,
    Path(command): Path<String>,
    body: Result<Json<Value>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<Value>, Problem> {
    visitor.comes_from_our_page(&app)?;
    visitor.may_control(&app)?;
    let Json(argument) = body.map_err(|error| invalid(&error.body_text()))?;
    let outcome = match command.as_str() {
        "pause" => order::<PauseRequest>(&app, &topics::PAUSE, &argument).await,
        "resume" => order::<ResumeRequest>(&app, &topics::RESUME, &argument).await,
        "reset" => order::<ResetRequest>(&app, &topics::RESET_SIMULATION, &argument).await,
        "set_speed" => order::<SetSpeedRequest>(&app, &topics::SET_SPEED, &argument).await,
        _ => Err(Problem::new(Code::NotFound, "there is pause, resume, reset and set_speed")),
    };
    app.gauges.count(&outcome);
    let outcome = outcome?;
    tracing::info!(command, from = %visitor.address(), "{}", outcome.message);
    Ok(Json(json::show(&outcome)))
}

async fn order<T: Payload>(
    app: &App,
    procedure: &Procedure<T, ControlResult>,
    argument: &Value,
) -> Result<ControlResult, Problem> {
    let bytes = json::from_json(T::CONTENT_TYPE, argument).map_err(|error| invalid(&error.to_string()))?;
    let request = T::decode(&bytes[..]).map_err(|error| invalid(&error.to_string()))?;
    call_typed(app, procedure, &request).await
}

fn invalid(text: &str) -> Problem {
    Problem::new(Code::InvalidArgument, text)
}
