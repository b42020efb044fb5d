//! Credit for what the gateway sends on one class stream: as much as is received and no longer waits for the
//! application, and a window on top.

use std::sync::{Mutex, MutexGuard};

/// Bytes after which it is looked for readers that are behind, even if little waits for them.
const ASK_BYTES: u64 = 1 << 20;

/// The credit of one class stream.
#[derive(Debug)]
pub(crate) struct Inflow {
    window: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    received: u64,
    /// Received, on this connection or an earlier one, and waiting for the application.
    waiting: u64,
    granted: u64,
    /// Received in all, over all connections.
    total: u64,
    /// Received since somebody asked whether this is pressed.
    unasked: u64,
}

/// How reading stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Bytes received in all, over all connections.
    pub(crate) total: u64,
    /// It is time to see who does not read.
    pub(crate) pressed: bool,
}

impl Inflow {
    pub(crate) fn new(window: u64) -> Self {
        Self { window, state: Mutex::default() }
    }

    /// A new connection, which was granted the window.
    pub(crate) fn restart(&self) {
        let mut state = self.lock();
        state.received = 0;
        state.granted = self.window;
    }

    /// Bytes have come, and so many of them wait for the application. `grant` is told the total to grant, if it is time.
    pub(crate) fn receive(&self, received: u64, waiting: u64, grant: impl FnOnce(u64)) -> Received {
        let mut state = self.lock();
        state.received += received;
        state.waiting += waiting;
        state.total += received;
        state.unasked += received;
        self.advance(&mut state, grant);
        let pressed = state.waiting > self.window / 2 || state.unasked >= ASK_BYTES;
        Received { total: state.total, pressed }
    }

    /// Whether so much waits that somebody may be held up, and the bytes received in all.
    pub(crate) fn ask(&self) -> Received {
        let mut state = self.lock();
        state.unasked = 0;
        Received { total: state.total, pressed: state.waiting > self.window / 2 }
    }

    /// The application has taken so many bytes. `grant` is told the total to grant, if it is time.
    pub(crate) fn release(&self, taken: u64, grant: impl FnOnce(u64)) {
        let mut state = self.lock();
        state.waiting = state.waiting.saturating_sub(taken);
        self.advance(&mut state, grant);
    }

    /// Grants while the lock is held, so that no total of one connection is granted to another.
    fn advance(&self, state: &mut State, grant: impl FnOnce(u64)) {
        let total = (state.received + self.window).saturating_sub(state.waiting);
        if total >= state.granted + self.window / 4 {
            state.granted = total;
            grant(total);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(inflow: &Inflow, received: u64, waiting: u64) -> Option<u64> {
        let mut granted = None;
        inflow.receive(received, waiting, |total| granted = Some(total));
        granted
    }

    fn released(inflow: &Inflow, taken: u64) -> Option<u64> {
        let mut granted = None;
        inflow.release(taken, |total| granted = Some(total));
        granted
    }

    #[test]
    fn credit_follows_the_application_not_the_network() {
        let inflow = Inflow::new(100);
        inflow.restart();
        assert_eq!(received(&inflow, 80, 80), None, "all of it waits");
        assert_eq!(released(&inflow, 20), None, "less than a quarter of the window");
        assert_eq!(released(&inflow, 10), Some(130));
        assert_eq!(released(&inflow, 50), Some(180));
    }

    #[test]
    fn what_waits_from_an_earlier_connection_counts() {
        let inflow = Inflow::new(100);
        inflow.restart();
        received(&inflow, 100, 100);
        inflow.restart();
        assert_eq!(received(&inflow, 100, 0), None);
        assert_eq!(released(&inflow, 100), Some(200));
    }
}
