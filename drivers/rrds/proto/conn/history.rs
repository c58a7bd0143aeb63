// SPDX-License-Identifier: GPL-2.0

//! What has become of a path's connections, for who looks at it from outside.
//!
//! Nothing here decides anything. The state machine does not tell its changes: whoever calls it looks
//! afterwards, which is enough as no call makes more than one change.

use super::State;
use crate::error::DropReason;
use crate::time::Instant;

/// How long it is tried to connect before it is worth a word, in nanoseconds. A race that is lost, or a
/// peer that has just restarted, is over sooner.
pub const OVERDUE_NS: u64 = 1_000_000_000;

/// Why a connection, or an attempt at one, was given up, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub reason: DropReason,
    /// When.
    pub at: Instant,
    /// Whether it had been up.
    pub was_up: bool,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Attempts since a connection was up last, with the one that has come up if one has.
    pub attempts: u32,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct History {
    state: State,
    since: Instant,
    /// Attempts since a connection was up last, and when the first of them began.
    attempts: u32,
    began: Instant,
    /// The failure of these attempts was told.
    told: bool,
    /// Attempts that it took to make the last connection that came up.
    took: u32,
    initiator: bool,
    lost: Option<Lost>,
}

impl History {
    /// That of a path that was made at `now`.
    pub const fn new(now: Instant) -> Self {
        Self {
            state: State::Down,
            since: now,
            attempts: 0,
            began: now,
            told: false,
            took: 0,
            initiator: false,
            lost: None,
        }
    }

    /// The state, as it was noted last.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it is the state.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Attempts to connect since a connection was up last.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Attempts that it took to make the last connection that came up.
    pub const fn took(&self) -> u32 {
        self.took
    }

    /// Whether the request of the last connection or attempt was ours.
    pub const fn is_initiator(&self) -> bool {
        self.initiator
    }

    /// How the last connection or attempt ended.
    pub const fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Notes the state at `now`; `reason` is why the connection is given up if it is being closed.
    /// Returns the change, if there is one.
    pub fn note(&mut self, state: State, reason: DropReason, now: Instant) -> Option<Change> {
        let from = self.state;
        if from == state {
            return None;
        }
        self.state = state;
        self.since = now;
        match state {
            State::Dialing | State::Accepting => {
                if self.attempts == 0 {
                    self.began = now;
                }
                self.attempts = self.attempts.saturating_add(1);
                self.initiator = state == State::Dialing;
            }
            State::Closing => {
                self.lost = Some(Lost {
                    reason,
                    at: now,
                    was_up: from == State::Up,
                });
            }
            State::Up | State::Down => {}
        }
        let attempts = self.attempts;
        if state == State::Up {
            self.took = attempts;
            self.attempts = 0;
            self.told = false;
        }
        Some(Change {
            from,
            to: state,
            attempts,
        })
    }

    /// Whether it is time to tell that it can't be connected: true once in each series of attempts,
    /// when it has lasted for [`OVERDUE_NS`].
    pub fn is_overdue(&mut self, now: Instant) -> bool {
        let overdue = self.attempts > 0 && !self.told && now >= self.began.after(OVERDUE_NS);
        self.told |= overdue;
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Accepting, Closing, Dialing, Down, Up};

    const NO: DropReason = DropReason::Local;

    #[test]
    fn changes_are_told_once() {
        let mut h = History::new(Instant(5));
        assert_eq!((h.state(), h.since(), h.lost()), (Down, Instant(5), None));
        assert_eq!(h.note(Down, NO, Instant(6)), None);
        assert_eq!(h.since(), Instant(5));
        let change = h.note(Dialing, NO, Instant(7)).unwrap();
        assert_eq!(
            (change.from, change.to, change.attempts),
            (Down, Dialing, 1)
        );
        assert_eq!(h.note(Dialing, NO, Instant(8)), None);
        assert_eq!(h.since(), Instant(7));
    }

    #[test]
    fn attempts_are_counted_until_one_comes_up() {
        let mut h = History::new(Instant(0));
        for at in 1..4 {
            h.note(Dialing, NO, Instant(at));
            h.note(Closing, DropReason::Rejected, Instant(at));
            h.note(Down, NO, Instant(at));
        }
        assert_eq!((h.attempts(), h.is_initiator()), (3, true));
        let lost = h.lost().unwrap();
        assert_eq!(
            (lost.reason, lost.at, lost.was_up),
            (DropReason::Rejected, Instant(3), false)
        );
        h.note(Accepting, NO, Instant(9));
        let up = h.note(Up, NO, Instant(10)).unwrap();
        assert_eq!((up.attempts, h.took(), h.attempts()), (4, 4, 0));
        assert!(!h.is_initiator());
        h.note(Closing, DropReason::Transport, Instant(20));
        let lost = h.lost().unwrap();
        assert_eq!(
            (lost.reason, lost.at, lost.was_up),
            (DropReason::Transport, Instant(20), true)
        );
    }

    #[test]
    fn failure_is_overdue_once_in_a_series() {
        let mut h = History::new(Instant(0));
        assert!(!h.is_overdue(Instant(u64::MAX)), "nobody tries");
        h.note(Dialing, NO, Instant(10));
        h.note(Closing, NO, Instant(11));
        assert!(!h.is_overdue(Instant(9 + OVERDUE_NS)));
        h.note(Dialing, NO, Instant(20));
        assert!(h.is_overdue(Instant(10 + OVERDUE_NS)));
        assert!(!h.is_overdue(Instant(11 + OVERDUE_NS)));
        h.note(Up, NO, Instant(30));
        h.note(Closing, NO, Instant(31));
        h.note(Dialing, NO, Instant(40));
        assert!(!h.is_overdue(Instant(39 + OVERDUE_NS)));
        assert!(h.is_overdue(Instant(40 + OVERDUE_NS)));
    }
}
