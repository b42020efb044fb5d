//! Stdout: lines or bytes, with an end of its own when nobody reads any more.

use crate::args::Format;
use crate::error::Error;
use serde_json::Value;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write as _};

/// Where results go. What is written is seen after [`flush`](Self::flush).
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    writer: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn stdout(format: Format) -> Self {
        Self { format, writer: BufWriter::new(io::stdout()) }
    }

    /// Whether results are JSON objects.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn line(&mut self, line: &str) -> Result<(), Error> {
        writeln!(self.writer, "{line}").map_err(explain)
    }

    pub(crate) fn object(&mut self, object: &Value) -> Result<(), Error> {
        self.line(&object.to_string())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).map_err(explain)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(explain)
    }
}

fn explain(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::ClosedPipe,
        _ => Error::Failed(format!("cannot write to stdout: {error}")),
    }
}
