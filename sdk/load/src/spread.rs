//! Several client processes for one work: this program again, each with a share of the clients.
//!
//! A child says `ready` on its standard output when its clients are connected, begins when it reads `go`, and says what came
//! of it as one line of JSON. Before that it says `ended`, when its work is done and its clients are still there.

use crate::report::Part;
use anyhow::{Context as _, ensure};
use std::io::Write as _;
use std::process::Stdio;
use std::str::FromStr;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Which of the clients a process has: those whose number modulo `count` is `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of the process.
    pub index: usize,
    /// Number of processes.
    pub count: usize,
}

impl Share {
    /// All of it.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// Numbers of its clients, of so many.
    pub fn of(self, clients: usize) -> impl Iterator<Item = usize> {
        (self.index..clients).step_by(self.count)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let share = Self { index: index.parse().ok()?, count: count.parse().ok()? };
            (share.index < share.count).then_some(share)
        });
        parsed.ok_or_else(|| format!("`{text}` is no share, as in 0/2"))
    }
}

/// The work of a child lasts until this is dropped.
#[derive(Debug)]
pub struct Working(());

impl Drop for Working {
    fn drop(&mut self) {
        // Who does not hear it finds the end of the output.
        let _ = say("ended");
    }
}

/// In a child: says that it is ready, and waits for the word.
///
/// # Errors
/// When the parent is gone.
pub async fn await_word() -> anyhow::Result<Working> {
    say("ready")?;
    let mut line = String::new();
    let read = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line).map(|_| line));
    ensure!(read.await??.trim() == "go", "the process that started this one is gone");
    Ok(Working(()))
}

/// In a child: says what came of its share.
///
/// # Errors
/// When the parent is gone.
pub fn tell(part: &Part) -> anyhow::Result<()> {
    say(&serde_json::to_string(part)?)
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Children that have their clients ready.
#[derive(Debug)]
pub struct Children {
    children: Vec<(Child, ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Children {
    /// Starts the commands, and waits until all are ready. They end with this value.
    ///
    /// # Errors
    /// When one does not get ready; what it says on its standard error is seen.
    pub async fn start(commands: Vec<Command>) -> anyhow::Result<Self> {
        let mut children = Vec::new();
        for mut command in commands {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn().context("starting a process of clients")?;
            let input = child.stdin.take().context("the input of a process of clients")?;
            let output = child.stdout.take().context("the output of a process of clients")?;
            children.push((child, input, BufReader::new(output).lines()));
        }
        for (_, _, lines) in &mut children {
            let line = lines.next_line().await?;
            ensure!(line.as_deref() == Some("ready"), "a process of clients did not get ready");
        }
        Ok(Self { children })
    }

    /// Gives the word, and puts together what comes of it. `ended` is called when all work is done, before clients leave.
    ///
    /// # Errors
    /// When a child fails.
    pub async fn run(mut self, ended: impl FnOnce()) -> anyhow::Result<Part> {
        for (_, input, _) in &mut self.children {
            input.write_all(b"go\n").await?;
        }
        for (_, _, lines) in &mut self.children {
            let line = lines.next_line().await?;
            ensure!(line.as_deref() == Some("ended"), "a process of clients ended before its work");
        }
        ended();
        let mut whole = Part::default();
        for (child, _, lines) in &mut self.children {
            let line = lines.next_line().await?.context("a process of clients ended without a result")?;
            whole.add(serde_json::from_str(&line).context("the result of a process of clients")?);
            let _ = child.wait().await;
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_disjoint_and_whole() {
        let mut all: Vec<_> =
            (0..3).flat_map(|index| Share { index, count: 3 }.of(10).collect::<Vec<_>>()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert!("3/3".parse::<Share>().is_err() && "1/2".parse::<Share>().is_ok());
    }
}
