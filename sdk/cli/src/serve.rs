//! `macula serve`.

use crate::args::ServeArgs;
use crate::connect::Connection;
use crate::error::Error;
use crate::input::content_type_of;
use crate::output::Output;
use crate::render::Body;
use cortexiq_proto::json;
use macula_proto::limits::PAYLOAD_BYTES;
use macula_sdk::{CallFailure, Code, Reply, ReplySender, Request, Status};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

/// How much of a failed command's complaint the caller gets.
const STDERR_BYTES: u64 = 4 << 10;

pub(crate) async fn run(args: ServeArgs, connection: &Connection, mut output: Output) -> Result<(), Error> {
    let provider = Arc::new(Provider::new(&args));
    let client = connection.connect().await?;
    let register = if args.lines {
        client.register_stream(args.procedure.clone(), move |request, replies| {
            let provider = Arc::clone(&provider);
            async move { provider.answer_by_line(request, replies).await }
        })
    } else {
        client.register(args.procedure.clone(), move |request| {
            let provider = Arc::clone(&provider);
            async move { provider.answer(request).await }
        })
    };
    let _registration = register.policy(args.policy.into()).await?;
    let mut status = client.status();
    if let Status::Connected { gateway } = &*status.borrow() {
        eprintln!("serving {} at {gateway}; Ctrl-C ends", args.procedure);
        if output.is_json() {
            output.object(&json!({"procedure": args.procedure.as_str(), "gateway": gateway}))?;
            output.flush()?;
        }
    }
    let ended = tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = status.wait_for(|status| *status == Status::Closed) => {
            Err(Error::Failed("the connection has ended for good".to_owned()))
        }
    };
    let _ = client.close().await;
    ended
}

/// Answers calls.
#[derive(Debug)]
struct Provider {
    /// Program and arguments; nothing echoes.
    command: Vec<OsString>,
    /// Message that the command's JSON is sent as.
    message: Option<String>,
    content_type: String,
}

impl Provider {
    fn new(args: &ServeArgs) -> Self {
        let content_type = match &args.message {
            Some(message) => content_type_of(message),
            None => args.content_type.clone().unwrap_or_default(),
        };
        Self { command: args.command.clone(), message: args.message.clone(), content_type }
    }

    async fn answer(&self, request: Request) -> Result<Reply, CallFailure> {
        let Some((program, command)) = self.command(&request) else {
            return Ok(Reply::new(request.payload().clone()).with_content_type(request.content_type()));
        };
        // Dropping it, because time is up or the caller has gone, kills the command.
        let run = run_command(command, self.input(&request));
        let result = tokio::time::timeout(request.timeout(), run).await;
        let result = result.map_err(|_| late())?.map_err(|problem| explain(&request, program, &problem))?;
        self.reply(result)
    }

    /// Sends every line as it is written.
    async fn answer_by_line(&self, request: Request, mut replies: ReplySender) -> Result<(), CallFailure> {
        let Some((program, command)) = self.command(&request) else {
            return replies.send(Reply::new(request.payload().clone())).await;
        };
        // What the caller is told rather than that the command was killed for it.
        let mut failure = None;
        let send = async |stdout: ChildStdout| {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                let read = (&mut stdout).take(PAYLOAD_BYTES as u64 + 1).read_until(b'\n', &mut line).await;
                if read.map_err(|error| format!("its output cannot be read: {error}"))? == 0 {
                    return Ok(());
                }
                line.pop_if(|last| *last == b'\n');
                let sent = async { replies.send(self.reply(line)?).await };
                if let Err(error) = sent.await {
                    failure = Some(error);
                    return Err("a line could not be sent".to_owned());
                }
            }
        };
        let run = run_child(command, self.input(&request), send);
        let result = tokio::time::timeout(request.timeout(), run).await.map_err(|_| late())?;
        match failure {
            Some(failure) => Err(failure),
            None => result.map_err(|problem| explain(&request, program, &problem)),
        }
    }

    /// The program, and how it is run for a call; none echoes.
    fn command(&self, request: &Request) -> Option<(&OsStr, Command)> {
        let (program, arguments) = self.command.split_first()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("CALL_PROCEDURE", request.procedure().as_str())
            .env("CALL_CALLER", request.caller().to_string())
            .env("CALL_CONTENT_TYPE", request.content_type());
        Some((program, command))
    }

    fn reply(&self, stdout: Vec<u8>) -> Result<Reply, CallFailure> {
        let payload = self.payload(stdout).map_err(|problem| CallFailure::new(Code::Internal, problem))?;
        Ok(Reply::new(payload).with_content_type(self.content_type.as_str()))
    }

    /// What the command gets on stdin.
    fn input(&self, request: &Request) -> Vec<u8> {
        match Body::of(request.content_type(), request.payload()) {
            Body::Json(value) if self.message.is_some() => value.to_string().into_bytes(),
            _ => request.payload().to_vec(),
        }
    }

    /// What the caller gets of the command's stdout.
    fn payload(&self, stdout: Vec<u8>) -> Result<Vec<u8>, String> {
        let Some(message) = &self.message else { return Ok(stdout) };
        let value =
            serde_json::from_slice(&stdout).map_err(|error| format!("the result is no JSON: {error}"))?;
        json::from_json(message, &value).map_err(|error| format!("the result is no {message}: {error}"))
    }
}

fn late() -> CallFailure {
    CallFailure::new(Code::DeadlineExceeded, "the command took longer than the call may last")
}

fn explain(request: &Request, program: &OsStr, problem: &str) -> CallFailure {
    let problem = format!("{}: {problem}", program.display());
    eprintln!("{}: {problem}", request.procedure());
    CallFailure::new(Code::Internal, problem)
}

/// Runs a command to its end; what it wrote, or why that is no result.
async fn run_command(command: Command, input: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut result = Vec::new();
    let read = async |stdout: ChildStdout| {
        let read = stdout.take(PAYLOAD_BYTES as u64 + 1).read_to_end(&mut result).await;
        match read.map_err(|error| format!("its output cannot be read: {error}"))? {
            // The command is killed rather than heard to its end, which may never come.
            bytes if bytes > PAYLOAD_BYTES => {
                Err(format!("the result is larger than {PAYLOAD_BYTES} bytes, which is the limit"))
            }
            _ => Ok(()),
        }
    };
    run_child(command, input, read).await?;
    Ok(result)
}

/// Runs a command to its end while `read` reads what it writes.
async fn run_child(
    mut command: Command,
    input: Vec<u8>,
    read: impl AsyncFnOnce(ChildStdout) -> Result<(), String>,
) -> Result<(), String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("cannot be run: {error}"))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) = pipes else {
        unreachable!("all three were asked to be pipes")
    };
    let mut complaint = Vec::new();
    let feed = async move {
        // A command need not read its input to the end.
        let _ = stdin.write_all(&input).await;
        Ok(())
    };
    let read_complaint = async {
        let _ = (&mut stderr).take(STDERR_BYTES).read_to_end(&mut complaint).await;
        // The rest, or the command would wait for a reader.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        Ok(())
    };
    tokio::try_join!(feed, read(stdout), read_complaint)?;
    let status = child.wait().await.map_err(|error| format!("its end cannot be awaited: {error}"))?;
    if status.success() { Ok(()) } else { Err(failure(status, &complaint)) }
}

fn failure(status: ExitStatus, complaint: &[u8]) -> String {
    match String::from_utf8_lossy(complaint).trim() {
        "" => status.to_string(),
        complaint => format!("{status}: {complaint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        run_command(command, input.to_vec()).await
    }

    #[tokio::test]
    async fn stdin_is_the_argument_and_stdout_the_result() {
        assert_eq!(shell("tr a-z A-Z", b"hello").await.as_deref(), Ok(&b"HELLO"[..]));
        // More than a pipe holds, both ways.
        let long = vec![b'x'; PAYLOAD_BYTES];
        assert_eq!(shell("cat", &long).await, Ok(long));
    }

    #[tokio::test]
    async fn a_command_need_not_read_its_input() {
        assert_eq!(shell("echo done", &vec![b'x'; PAYLOAD_BYTES]).await.as_deref(), Ok(&b"done\n"[..]));
    }

    #[tokio::test]
    async fn a_failed_command_says_why() {
        assert_eq!(shell("echo no paper >&2; exit 3", b"").await, Err("exit status: 3: no paper".to_owned()));
        assert_eq!(shell("exit 4", b"").await, Err("exit status: 4".to_owned()));
        let error =
            run_command(Command::new("/no/such/program"), Vec::new()).await.expect_err("there is none");
        assert!(error.starts_with("cannot be run: "), "{error}");
    }

    #[tokio::test]
    async fn a_result_that_no_message_can_carry_is_a_failure() {
        let error = shell("yes", b"").await.expect_err("it never ends");
        assert!(error.contains("larger than"), "{error}");
    }
}
