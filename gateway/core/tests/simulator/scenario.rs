//! Faults as data: what happens to a mesh, in words that a failing run prints as its story.

use crate::network::{Event, Network};
use crate::rng::Rng;
use std::fmt;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Every client is told to publish up to so many messages, and to call somebody.
    Publish(usize),
    /// So many milliseconds pass.
    Wait(u64),
    /// The link of a pair breaks, and its ends learn of it at once.
    Break(usize, usize),
    /// The same, but they learn of it by waiting.
    Silence(usize, usize),
    /// A pair cannot reach each other any more.
    Cut(usize, usize),
    /// The first so many gateways cannot reach the others.
    Split(usize),
    /// Everybody can reach everybody.
    Heal,
    /// A gateway opens a link although there is one.
    Dial(usize, usize),
    /// A gateway's process is stopped, as by SIGSTOP.
    Pause(usize),
    /// It goes on.
    Continue(usize),
    /// The connection of a client breaks.
    Drop(usize),
    /// A client that nobody has met before connects to a gateway.
    Come(usize),
    /// A client goes to another gateway.
    Move(usize, usize),
    /// A gateway is killed.
    Kill(usize),
    /// A gateway is asked to stop, and does.
    Stop(usize),
    /// It starts again.
    Start(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(count) => write!(f, "every client publishes up to {count} messages, and calls"),
            Self::Wait(ms) => write!(f, "{ms} ms pass"),
            Self::Break(a, b) => write!(f, "the link of {a} and {b} breaks"),
            Self::Silence(a, b) => write!(f, "the link of {a} and {b} goes silent"),
            Self::Cut(a, b) => write!(f, "{a} and {b} cannot reach each other"),
            Self::Split(first) => write!(f, "the first {first} gateways cannot reach the others"),
            Self::Heal => write!(f, "everybody can reach everybody"),
            Self::Dial(from, to) => write!(f, "{from} dials {to}"),
            Self::Pause(gateway) => write!(f, "gateway {gateway} is stopped for a while"),
            Self::Continue(gateway) => write!(f, "gateway {gateway} goes on"),
            Self::Drop(client) => write!(f, "client {client} loses its connection"),
            Self::Come(gateway) => write!(f, "a new client connects to gateway {gateway}"),
            Self::Move(client, gateway) => write!(f, "client {client} goes to gateway {gateway}"),
            Self::Kill(gateway) => write!(f, "gateway {gateway} is killed"),
            Self::Stop(gateway) => write!(f, "gateway {gateway} stops orderly"),
            Self::Start(gateway) => write!(f, "gateway {gateway} starts again"),
        }
    }
}

/// What a story may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A mesh gets over it without losing an event: everybody lives, and is back while things are held for it.
    Gentle,
    /// Gateways die and start again, too.
    Harsh,
    /// And clients go from one to the other.
    Stormy,
}

/// A story of a mesh of so many gateways and clients.
pub(crate) fn story(rng: &mut Rng, kind: Kind, gateways: usize, clients: usize) -> Vec<Step> {
    let mut story = Vec::new();
    // How long somebody has been cut off for: with what follows less than the minute for which events are held.
    let mut apart_ms = None;
    for _ in 0..rng.between(1, 5) {
        story.push(Step::Publish(rng.between(1, 12)));
        story.push(Step::Wait(rng.below(400) as u64));
        let (a, b, client) = (rng.below(gateways), rng.below(gateways), rng.below(clients));
        let worst = match kind {
            Kind::Gentle => 8,
            Kind::Harsh => 11,
            Kind::Stormy => 13,
        };
        match rng.below(worst) {
            0 if a != b => story.push(Step::Break(a, b)),
            1 if a != b => story.push(Step::Silence(a, b)),
            2 if a != b => {
                story.push(Step::Cut(a, b));
                apart_ms.get_or_insert(0);
            }
            3 | 4 if gateways > 1 => {
                story.push(Step::Split(rng.between(1, gateways - 1)));
                apart_ms.get_or_insert(0);
            }
            5 if a != b => story.push(Step::Dial(a, b)),
            6 => {
                story.extend([Step::Pause(a), Step::Publish(rng.between(1, 5))]);
                story.extend([Step::Wait(rng.below(10_000) as u64), Step::Continue(a)]);
            }
            7 => story.push(Step::Drop(client)),
            8 | 9 => {
                story.push(Step::Kill(a));
                story.extend([Step::Wait(rng.pick(&[100, 1_000, 6_000])), Step::Start(a)]);
            }
            10 => {
                story.extend([Step::Stop(a), Step::Wait(rng.pick(&[1_000, 6_000])), Step::Start(a)]);
            }
            11 | 12 => story.push(Step::Move(client, a)),
            _ => {}
        }
        let wait_ms = rng.pick(&[100, 1_000, 6_000, 12_000]);
        story.extend([Step::Publish(rng.between(0, 5)), Step::Wait(wait_ms)]);
        if let Some(ms) = &mut apart_ms {
            *ms += wait_ms + 10_000;
            if *ms > 20_000 || rng.percent(50) {
                story.push(Step::Heal);
                story.push(Step::Wait(rng.pick(&[100, 10_000])));
                apart_ms = None;
            }
        }
    }
    story.push(Step::Heal);
    story
}

impl Network {
    pub(crate) fn perform(&mut self, step: Step) {
        match step {
            Step::Publish(count) => {
                crate::plan_messages(self, count, 2_000);
                crate::plan_calls(self);
            }
            Step::Wait(ms) => {
                self.watch.hindered_ms += ms;
                self.pass(ms);
            }
            Step::Break(a, b) => self.break_links(a, b, false),
            Step::Silence(a, b) => self.break_links(a, b, true),
            Step::Cut(a, b) => self.paths.cut(a, b),
            Step::Split(first) => self.paths.split(first),
            Step::Heal => self.heal(),
            Step::Dial(from, to) => {
                if self.gateways[from].up && !self.is_asleep(from) {
                    self.try_link(from, to);
                }
            }
            Step::Pause(gateway) => self.pause(gateway),
            Step::Continue(gateway) => self.go_on(gateway),
            Step::Drop(client) => self.drop_client(client),
            Step::Come(gateway) => {
                let client = self.add_client(gateway, 50_000, false);
                let known = &mut self.model.clients[client];
                (known.keeps, known.resume_ms) = (true, 30_000);
            }
            Step::Move(client, gateway) => {
                self.drop_client(client);
                self.model.clients[client].move_to(gateway);
            }
            Step::Kill(gateway) => self.kill(gateway),
            Step::Stop(gateway) => self.stop(gateway),
            Step::Start(gateway) => self.start(gateway),
        }
    }

    fn drop_client(&mut self, client: usize) {
        if let Some(pipe) = self.model.clients[client].pipe.filter(|pipe| self.pipes[*pipe].alive) {
            self.break_pipe(pipe, true);
            // The client knows at once, its gateway finds out.
            self.after(0, Event::Closed { pipe, end: 1 });
            let in_ms = self.rng.below(3_000) as u64;
            self.after(in_ms, Event::Closed { pipe, end: 0 });
        }
    }

    fn break_links(&mut self, a: usize, b: usize, silently: bool) {
        for pipe in 0..self.pipes.len() {
            let pair = self.pipes[pipe].pair();
            if self.pipes[pipe].alive && (pair == Some((a, b)) || pair == Some((b, a))) {
                self.break_pipe(pipe, silently);
            }
        }
    }
}
