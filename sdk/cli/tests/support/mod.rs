//! A gateway on a free port, and the command run against it.

#![allow(dead_code, reason = "each test file uses its own part")]

use macula_gateway::{Gateway, Settings};
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const REALM: &str = "test.realm";
/// No command of these tests takes longer on any machine; then something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway.
pub(crate) struct World {
    gateway: Gateway,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that runs until it is told to stop; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    stderr: BufReader<ChildStderr>,
}

impl World {
    pub(crate) fn start(name: &str) -> Self {
        let settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            realm: REALM.to_owned(),
            advertise: vec!["localhost:1".to_owned()],
            name: Some(name.to_owned()),
            ..Settings::default()
        };
        // The gateway lives on a thread of its own; the runtime only starts it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let gateway = runtime.block_on(async {
            let gateway = Gateway::start(settings).await.expect("a gateway starts on a free port");
            gateway.ready().await;
            gateway
        });
        Self { gateway }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.gateway.local_addr().port())
    }

    /// Sessions of the gateway, those included whose client may come back.
    pub(crate) fn sessions(&self) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.gateway.status()).expect("the gateway runs").gauges.sessions
    }

    /// The command, connected to this gateway.
    pub(crate) fn macula(&self, args: &[&str]) -> Command {
        let mut command = macula(args);
        command.env("MACULA_URL", self.url()).env("MACULA_REALM", REALM);
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        finish(self.macula(args), b"")
    }

    /// Runs it to its end with this on stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Done {
        finish(self.macula(args), stdin)
    }

    /// Starts `sub` or `serve` and waits until the gateway knows.
    pub(crate) fn begin(&self, args: &[&str]) -> Running {
        let mut child = self
            .macula(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let stdout = Some(BufReader::new(child.stdout.take().expect("piped")).lines());
        let mut running =
            Running { stdout, stderr: BufReader::new(child.stderr.take().expect("piped")), child };
        let mut line = String::new();
        running.stderr.read_line(&mut line).expect("stderr is text");
        assert!(line.contains("; Ctrl-C ends"), "{line}");
        running
    }
}

impl Running {
    /// The next line of stdout.
    pub(crate) fn line(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("it was not closed");
        stdout.next().expect("the command has not ended").expect("stdout is text")
    }

    /// The next line of stdout as JSON.
    pub(crate) fn object(&mut self) -> serde_json::Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Waits for the end; the rest of what was written.
    pub(crate) fn end(mut self) -> Done {
        let code = wait(&mut self.child);
        let stdout = self
            .stdout
            .take()
            .into_iter()
            .flatten()
            .map(|line| line.expect("stdout is text") + "\n")
            .collect();
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).expect("stderr is text");
        Done { code, stdout, stderr }
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    }

    /// Closes the reading end of stdout, as `head` does when it has enough.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command with nothing of the environment that would change what it does.
pub(crate) fn macula(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_macula"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MACULA_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command, stdin: &[u8]) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut input = child.stdin.take().expect("piped");
    let bytes = stdin.to_vec();
    // What is written may be more than a pipe holds, or more than the command reads.
    let feed = std::thread::spawn(move || {
        let _ = input.write_all(&bytes);
    });
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let read_stdout = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let read_stderr = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let code = wait(&mut child);
    feed.join().expect("no panic");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done {
        code,
        stdout: text(read_stdout.join().expect("no panic").expect("a pipe")),
        stderr: text(read_stderr.join().expect("no panic").expect("a pipe")),
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code();
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the command did not end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
