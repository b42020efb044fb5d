//! `macula call`.

use crate::args::{CallArgs, Source};
use crate::connect::Connection;
use crate::error::Error;
use crate::input::{self, Encoding};
use crate::output::Output;
use crate::render::{self, Body};
use macula_sdk::{Client, Reply, Topic};
use serde_json::{Map, Value};

pub(crate) async fn run(args: CallArgs, connection: &Connection, mut output: Output) -> Result<(), Error> {
    input::check_headers(&args.headers)?;
    let encoding = Encoding::new(args.encoding.clone());
    let text = input::read(Source::of(args.payload.clone()))?;
    let payload = encoding.encode(text).map_err(Error::Usage)?;
    let client = connection.connect().await?;
    let result = make(&args, &client, payload, encoding.content_type()).await;
    // Nothing was published that could have been refused.
    let _ = client.close().await;
    let reply = result?;
    if args.raw {
        output.bytes(reply.payload())?;
    } else if output.is_json() {
        output.object(&object(&args.procedure, &reply))?;
    } else {
        match Body::of(reply.content_type(), reply.payload()) {
            // A result is alone on stdout: its lines may stay lines.
            Body::Text(text) => output.line(text.strip_suffix('\n').unwrap_or(&text))?,
            body => output.line(&body.line())?,
        }
    }
    output.flush()
}

async fn make(
    args: &CallArgs,
    client: &Client,
    payload: Vec<u8>,
    content_type: &str,
) -> Result<Reply, Error> {
    let mut call = client.call(&args.procedure, payload).timeout(args.timeout).content_type(content_type);
    for (name, value) in &args.headers {
        call = call.header(name, value);
    }
    Ok(call.await?)
}

fn object(procedure: &Topic, reply: &Reply) -> Value {
    let mut object = Map::new();
    object.insert("procedure".to_owned(), procedure.as_str().into());
    object.insert("content_type".to_owned(), reply.content_type().into());
    let headers = render::headers(reply.headers());
    if !headers.is_empty() {
        object.insert("headers".to_owned(), headers.into());
    }
    Body::of(reply.content_type(), reply.payload()).insert_into(&mut object);
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_result_says_what_it_is() {
        let reply = Reply::new(&b"{\"a\":1}"[..]).with_content_type("application/json").with_header("x", "1");
        let shown = object(&Topic::from_static("example.count"), &reply);
        let expected = json!({
            "procedure": "example.count", "content_type": "application/json", "headers": {"x": "1"}, "json": {"a": 1},
        });
        assert_eq!(shown, expected);
    }
}
