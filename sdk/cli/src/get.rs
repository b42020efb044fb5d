//! `macula get`.

use crate::args::GetArgs;
use crate::connect::Connection;
use crate::error::Error;
use crate::output::Output;
use crate::render;
use macula_sdk::Client;

pub(crate) async fn run(args: GetArgs, connection: &Connection, mut output: Output) -> Result<(), Error> {
    let client = connection.connect().await?;
    let result = print(&args, &client, &mut output).await;
    // Nothing was published that could have been refused.
    let _ = client.close().await;
    result
}

async fn print(args: &GetArgs, client: &Client, output: &mut Output) -> Result<(), Error> {
    let mut values = client.last(args.pattern.clone()).await?;
    let mut found = false;
    while let Some(value) = values.next().await {
        let value = value?;
        found = true;
        if args.raw {
            output.bytes(value.payload())?;
        } else if output.is_json() {
            output.object(&render::object(&value))?;
        } else {
            output.line(&render::line(&value))?;
        }
    }
    output.flush()?;
    if found { Ok(()) } else { Err(Error::Failed(format!("no value is kept for `{}`", args.pattern))) }
}
