//! What goes on from one connection to the next: the session, if its gateway still has it.

use macula_proto::v1::{Resumption, Welcome};

/// The session that was served last.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Name of its gateway; empty before the first connection.
    gateway: String,
    /// Its number and its gateway's epoch; none when it is not to go on.
    resumable: Option<(u64, u64)>,
}

/// How a connection stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The session goes on: its subscriptions stand.
    Resumed,
    /// Everything has to be made anew.
    Anew {
        /// Nobody there holds what was missed: the gateway is another one.
        moved: bool,
    },
}

impl Session {
    /// What to say in Hello. `position` counts the frames that have come on the event stream.
    pub(crate) fn resumption(&self, position: u64) -> Option<Resumption> {
        self.resumable.map(|(session, gateway_epoch)| Resumption { session, gateway_epoch, position })
    }

    /// Takes note of the gateway's answer.
    pub(crate) fn open(&mut self, welcome: &Welcome) -> Opening {
        let told = (welcome.session, welcome.gateway_epoch);
        let same_run = self.resumable.is_some_and(|(_, epoch)| epoch == welcome.gateway_epoch);
        // A session that was taken over by its name is not the one that we had.
        let goes_on = welcome.resumed && welcome.inherited.is_empty() && same_run;
        let moved = !self.gateway.is_empty() && self.gateway != welcome.gateway;
        *self = Self { gateway: welcome.gateway.clone(), resumable: Some(told) };
        if goes_on { Opening::Resumed } else { Opening::Anew { moved } }
    }

    /// The session is not to go on: something in it cannot be understood.
    pub(crate) fn forget(&mut self) {
        self.resumable = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use macula_proto::v1::Inherited;

    fn welcome(session: u64, gateway: &str, gateway_epoch: u64, resumed: bool) -> Welcome {
        Welcome { session, gateway: gateway.into(), gateway_epoch, resumed, ..Welcome::default() }
    }

    #[test]
    fn a_session_goes_on_only_where_the_gateway_says_so() {
        let mut session = Session::default();
        assert_eq!(session.resumption(3), None);
        assert_eq!(session.open(&welcome(7, "a", 1, false)), Opening::Anew { moved: false });
        assert_eq!(session.resumption(3), Some(Resumption { session: 7, gateway_epoch: 1, position: 3 }));
        assert_eq!(session.open(&welcome(8, "a", 1, true)), Opening::Resumed);
        assert_eq!(session.resumption(9).map(|resume| resume.session), Some(8), "it has a number of its own");
        assert_eq!(session.open(&welcome(9, "a", 1, false)), Opening::Anew { moved: false });
        assert_eq!(session.open(&welcome(1, "a", 2, true)), Opening::Anew { moved: false }, "another run");
        assert_eq!(session.open(&welcome(1, "b", 2, false)), Opening::Anew { moved: true });
    }

    #[test]
    fn what_was_taken_over_by_name_is_not_our_own_session() {
        let mut session = Session::default();
        session.open(&welcome(7, "a", 1, false));
        let inherited = vec![Inherited { subscription: 1, ..Inherited::default() }];
        let taken_over = Welcome { inherited, ..welcome(7, "a", 1, true) };
        assert_eq!(session.open(&taken_over), Opening::Anew { moved: false });
        session.forget();
        assert_eq!(session.resumption(0), None);
        assert_eq!(session.open(&welcome(7, "a", 1, true)), Opening::Anew { moved: false });
    }
}
