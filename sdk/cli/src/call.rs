//! `macula call`.

use crate::args::{CallArgs, Source};
use crate::connect::Connection;
use crate::error::Error;
use crate::input::{self, Encoding};
use crate::output::Output;
use crate::render::{self, Body};
use macula_sdk::{Answer, Client, PublisherId, Reply, Topic};
use serde_json::{Map, Value, json};

pub(crate) async fn run(args: CallArgs, connection: &Connection, mut output: Output) -> Result<(), Error> {
    input::check_headers(&args.headers)?;
    let encoding = Encoding::new(args.encoding.clone());
    let text = input::read(Source::of(args.payload.clone()))?;
    let payload = encoding.encode(text).map_err(Error::Usage)?;
    let client = connection.connect().await?;
    let result = make(&args, &client, payload, encoding.content_type(), &mut output).await;
    // Nothing was published that could have been refused.
    let _ = client.close().await;
    result
}

async fn make(
    args: &CallArgs,
    client: &Client,
    payload: Vec<u8>,
    content_type: &str,
    output: &mut Output,
) -> Result<(), Error> {
    if args.all {
        let mut call =
            client.call_all(&args.procedure, payload).timeout(args.timeout).content_type(content_type);
        for (name, value) in &args.headers {
            call = call.header(name, value);
        }
        let mut answers = call.stream().await?;
        let mut failed = false;
        while let Some(answer) = answers.next().await {
            failed |= show_answer(args, output, answer?)?;
        }
        return if failed { Err(Error::Failed("some providers failed".to_owned())) } else { Ok(()) };
    }
    let mut call = client.call(&args.procedure, payload).timeout(args.timeout).content_type(content_type);
    for (name, value) in &args.headers {
        call = call.header(name, value);
    }
    if !args.stream {
        return show(args, output, None, &call.await?);
    }
    let mut replies = call.window(STREAM_BYTES).stream().await?;
    while let Some(reply) = replies.next().await {
        show(args, output, None, &reply?)?;
    }
    Ok(())
}

/// Shows one provider's answer; true when it is an error, which goes to stderr among lines for people.
fn show_answer(args: &CallArgs, output: &mut Output, answer: Answer) -> Result<bool, Error> {
    let error = match answer.result {
        Ok(reply) => return show(args, output, Some(answer.provider), &reply).map(|()| false),
        Err(error) => error,
    };
    if output.is_json() {
        let (code, message) = (error.code.as_str_name(), &error.message);
        output
            .object(&json!({ "provider": answer.provider.to_string(), "code": code, "message": message }))?;
        output.flush()?;
    } else {
        eprintln!("{}: {}: {}", answer.provider, error.code.as_str_name(), error.message);
    }
    Ok(true)
}

fn show(
    args: &CallArgs,
    output: &mut Output,
    provider: Option<PublisherId>,
    reply: &Reply,
) -> Result<(), Error> {
    if args.raw {
        output.bytes(reply.payload())?;
    } else if output.is_json() {
        output.object(&object(&args.procedure, provider, reply))?;
    } else {
        let text = match Body::of(reply.content_type(), reply.payload()) {
            // A result is alone on stdout, or in a row of its own kind: its lines may stay lines.
            Body::Text(text) => text.strip_suffix('\n').unwrap_or(&text).to_owned(),
            body => body.line().into_owned(),
        };
        match provider {
            Some(provider) => output.line(&format!("{provider}  {text}"))?,
            None => output.line(&text)?,
        }
    }
    output.flush()
}

fn object(procedure: &Topic, provider: Option<PublisherId>, reply: &Reply) -> Value {
    let mut object = Map::new();
    object.insert("procedure".to_owned(), procedure.as_str().into());
    if let Some(provider) = provider {
        object.insert("provider".to_owned(), provider.to_string().into());
    }
    object.insert("content_type".to_owned(), reply.content_type().into());
    let headers = render::headers(reply.headers());
    if !headers.is_empty() {
        object.insert("headers".to_owned(), headers.into());
    }
    Body::of(reply.content_type(), reply.payload()).insert_into(&mut object);
    Value::Object(object)
}

/// What may wait here of a stream: the largest part that there can be.
const STREAM_BYTES: u64 = macula_proto::limits::PAYLOAD_BYTES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_what_it_is() {
        let reply = Reply::new(&b"{\"a\":1}"[..]).with_content_type("application/json").with_header("x", "1");
        let procedure = Topic::from_static("example.count");
        let mut expected = json!({
            "procedure": "example.count", "content_type": "application/json", "headers": {"x": "1"}, "json": {"a": 1},
        });
        assert_eq!(object(&procedure, None, &reply), expected);
        expected["provider"] = "05".repeat(16).into();
        assert_eq!(object(&procedure, Some(PublisherId([5; 16])), &reply), expected);
    }
}
