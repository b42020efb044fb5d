//! Network namespaces, and a switch between them that delays and loses frames.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

pub(crate) struct Network {
    names: Vec<String>,
    switch: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Network {
    pub(crate) fn new(count: usize, delay_ms: u32, jitter_ms: u32, loss_percent: f32) -> Self {
        crate::support::tools::debian_program("ip", "iproute2");
        crate::support::tools::debian_program("python3", "python3");
        let names: Vec<String> =
            (0..count).map(|index| format!("macula-{}-{index}", std::process::id())).collect();
        for name in &names {
            ip(&["netns", "add", name]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/netns/switch.py");
        let places = names.iter().enumerate().map(|(index, name)| format!("{name}={}/24", address(index)));
        let mut switch = Command::new("python3")
            .arg(script)
            .args([delay_ms.to_string(), jitter_ms.to_string(), loss_percent.to_string()])
            .args(places)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let commands = switch.stdin.take().expect("a pipe");
        let answers = BufReader::new(switch.stdout.take().expect("a pipe"));
        let mut network = Self { names, switch, commands, answers };
        network.expect("ready");
        network
    }

    /// From now on nothing passes between these two sides.
    pub(crate) fn cut(&mut self, left: &[usize], right: &[usize]) {
        let list = |side: &[usize]| side.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        self.command(&format!("cut {} {}", list(left), list(right)));
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self) {
        self.command("heal");
    }

    /// A program that runs in a namespace once it is spawned.
    pub(crate) fn program(&self, index: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[index], program]);
        command
    }

    /// Runs this in a thread of its own in a namespace; threads that it starts are there too.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        index: usize,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.names[index]);
        std::thread::spawn(move || {
            let namespace = File::open(&path).expect("the namespace is there");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
            run()
        })
    }

    fn command(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the switch listens");
        self.expect("ok");
    }

    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("text");
        let status = self.switch.try_wait();
        assert_eq!(line.trim(), answer, "the switch between network namespaces does not work: {status:?}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.switch.kill();
        let _ = self.switch.wait();
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Address of a namespace on the switch.
pub(crate) fn address(index: usize) -> String {
    format!("198.51.100.{}", index + 1)
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip runs");
    assert!(output.status.success(), "ip {}: {output:?}", arguments.join(" "));
}
