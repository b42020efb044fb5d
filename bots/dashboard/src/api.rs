//! `GET /api/{query}`: every `be.cortexiq.queries.*` as JSON, its argument in the query string.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cortexiq_domain::topics::{PROCEDURES, Procedure};
use cortexiq_proto::{Payload, json};
use cortexiq_shell::topic;
use macula_sdk::{Code, Topic};
use serde_json::{Map, Number, Value};

use crate::problem::Problem;
use crate::state::App;

/// `GET /api/{query}`.
pub(crate) async fn serve(
    State(app): State<App>,
    Path(query): Path<String>,
    Query(arguments): Query<Vec<(String, String)>>,
) -> Response {
    let answer = answer(&app, &query, arguments).await;
    app.gauges.count(&answer);
    match answer {
        Ok(value) => {
            let fresh = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            (fresh, Json(value)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn answer(app: &App, query: &str, arguments: Vec<(String, String)>) -> Result<Value, Problem> {
    let name = format!("{QUERIES}{query}");
    let known = PROCEDURES.iter().find(|(procedure, _, _)| *procedure == name);
    let (procedure, request_type, result_type) = known.ok_or_else(|| {
        let names = PROCEDURES.iter().filter_map(|(name, _, _)| name.strip_prefix(QUERIES));
        Problem::new(Code::NotFound, format!("there is {}", names.collect::<Vec<_>>().join(", ")))
    })?;
    let argument = encode(request_type, arguments)?;
    let reply = call(app, &topic(procedure), request_type, argument).await?;
    json::to_json(result_type, &reply).map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// Calls a procedure of the application with a message.
pub(crate) async fn call_typed<Req: Payload, Res: Payload>(
    app: &App,
    procedure: &Procedure<Req, Res>,
    request: &Req,
) -> Result<Res, Problem> {
    let payload = request.encode_to_vec();
    let reply = call(app, &topic(&procedure.name), procedure.request_type(), payload).await?;
    Res::decode(&reply[..]).map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

async fn call(app: &App, procedure: &Topic, kind: &str, payload: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let reply = app.client().call(procedure, payload).content_type(kind).timeout(PATIENCE).await?;
    Ok(reply.payload().to_vec())
}

/// The argument of a query from texts; its own fields, as JSON would have them.
fn encode(request_type: &str, arguments: Vec<(String, String)>) -> Result<Vec<u8>, Problem> {
    let mut object = Map::new();
    for (name, text) in arguments {
        // An empty field of a form is a field that says nothing.
        if text.is_empty() {
            continue;
        }
        let value = match NUMBERS.contains(&name.as_str()) {
            false => Value::String(text),
            true => Value::Number(text.parse::<Number>().map_err(|_| {
                Problem::new(Code::InvalidArgument, format!("{name}: {text:?} is no number"))
            })?),
        };
        object.insert(name, value);
    }
    json::from_json(request_type, &Value::Object(object))
        .map_err(|error| Problem::new(Code::InvalidArgument, error.to_string()))
}

const QUERIES: &str = "be.cortexiq.queries.";
/// The fields of arguments that are no texts.
const NUMBERS: [&str; 3] = ["page_size", "from_time", "until_time"];
/// Far past any answer; what takes longer is no use to a page.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use cortexiq_proto::{GetHomeHistoryRequest, Payload as _, Resolution};
    use prost::Message as _;

    use super::*;

    fn encoded(arguments: &[(&str, &str)]) -> Result<GetHomeHistoryRequest, Problem> {
        let arguments = arguments.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let bytes = encode(GetHomeHistoryRequest::CONTENT_TYPE, arguments.collect())?;
        Ok(GetHomeHistoryRequest::decode(&bytes[..]).expect("it was encoded as one"))
    }

    #[test]
    fn texts_become_the_fields_of_an_argument() {
        let request = encoded(&[
            ("home_id", "ant_001"),
            ("resolution", "hour"),
            ("page_size", "100"),
            ("from_time", "1735689600"),
            ("cursor", ""),
        ])
        .expect("a legal argument");
        assert_eq!((request.home_id.as_str(), request.page_size), ("ant_001", 100));
        assert_eq!((request.from_time, request.resolution()), (1_735_689_600, Resolution::Hour));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (name, text) in
            [("page_size", "many"), ("page_size", "-1"), ("resolution", "decade"), ("sort", "up")]
        {
            let problem = encoded(&[(name, text)]).expect_err("wrong");
            assert!(format!("{problem:?}").contains(&format!("{name}:")), "{problem:?}");
        }
    }
}
