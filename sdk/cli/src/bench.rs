//! `macula bench`: the load of `macula_load`, at the gateway that all commands talk to.

use crate::connect::Connection;
use crate::error::Error;
use crate::output::Output;
use macula_load::Format;
use macula_load::command::{Bench, Target};

pub(crate) async fn run(bench: &Bench, connection: &Connection, output: &Output) -> Result<(), Error> {
    let target = Target {
        base: connection.base()?,
        urls: connection.urls().to_vec(),
        arguments: std::env::args().skip(1).collect(),
    };
    let format = if output.is_json() { Format::Json } else { Format::Text };
    match bench.run(&target, format).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Reported),
        Err(error) => Err(Error::Failed(format!("{error:#}"))),
    }
}
