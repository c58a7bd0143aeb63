// SPDX-License-Identifier: GPL-2.0

//! Congestion maps that come by several lanes.

use crate::time::Instant;

/// What a lane has sent comes after what another one has sent later by this, in nanoseconds, unless it had to wait: for
/// one who does not receive, say.
const OVERTAKING_NS: u64 = 10_000_000_000;

/// How long a port may be congested by a map in doubt before the peer is asked, in nanoseconds.
const FIRST_NS: u64 = 250_000_000;

/// The same, if the older of the maps would have had to wait.
const FIRST_LATE_NS: u64 = 5_000_000_000;

/// The same, at most. Each time it is twice as long, as the port may be of a program that does not receive.
const MOST_NS: u64 = 320_000_000_000;

/// Whether the map that was taken in last is the newest one.
///
/// spec-tcp-lanes: C sends its map on whichever lane sends next. An older one can be taken in after a newer one, and C
/// sends no other one before something changes: then a port stays congested that is free, for ever.
///
/// Whether a port is congested has to be looked at under the lock of this one: maps are taken in by several lanes at a
/// time.
#[derive(Debug, Default)]
pub struct Doubt {
    /// The lane of the last map, and when it was taken in, or asked for.
    last: Option<(u8, Instant)>,
    /// How long the map may stay in doubt, while it is.
    wait: Option<u64>,
}

/// What is to be done about a map in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Fine,
    /// To look again then, if no other map comes.
    Later(Instant),
    /// To have the peer send its map anew.
    Ask,
}

impl Doubt {
    /// Notes that a map was taken in. Returns whether it may be older than one from another lane. `is_clear`: no port is
    /// congested by the maps so far, so that it does not matter.
    pub fn on_map(&mut self, lane: u8, is_clear: bool, now: Instant) -> bool {
        let before = self.last.replace((lane, now));

        if is_clear {
            self.wait = None;
            return false;
        }
        let Some((_, at)) = before.filter(|(other, _)| *other != lane) else {
            return false;
        };
        let first = if now.since(at) < OVERTAKING_NS {
            FIRST_NS
        } else {
            FIRST_LATE_NS
        };
        self.wait.get_or_insert(first);
        true
    }

    /// Says what is to be done. `is_clear`: no port is congested.
    pub fn look(&self, is_clear: bool, now: Instant) -> Look {
        let due = self
            .wait
            .zip(self.last)
            .filter(|_| !is_clear)
            .map(|(wait, (_, at))| at.after(wait));

        match due {
            None => Look::Fine,
            Some(due) if now < due => Look::Later(due),
            Some(_) => Look::Ask,
        }
    }

    /// Notes that the peer was asked for its map. Returns when to look again.
    pub fn on_asked(&mut self, now: Instant) -> Instant {
        let wait = self.wait.unwrap_or(FIRST_NS).saturating_mul(2).min(MOST_NS);
        let lane = self.last.map_or(0, |(lane, _)| lane);

        self.wait = Some(wait);
        self.last = Some((lane, now));
        now.after(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    /// The map of one lane soon after that of another one.
    fn doubtful() -> Doubt {
        let mut doubt = Doubt::default();
        assert!(!doubt.on_map(0, true, at(100)));
        assert!(doubt.on_map(3, false, at(101)));
        doubt
    }

    #[test]
    fn maps_of_one_lane_are_in_order() {
        let mut doubt = Doubt::default();
        for ms in 0..100 {
            assert!(!doubt.on_map(5, false, at(ms)));
        }
        assert_eq!(doubt.look(false, at(1_000_000)), Look::Fine);
    }

    #[test]
    fn what_came_long_after_has_more_time() {
        let mut doubt = Doubt::default();
        doubt.on_map(0, true, at(0));
        assert!(doubt.on_map(1, false, at(10_000)));
        assert_eq!(doubt.look(false, at(10_000)), Look::Later(at(15_000)));
    }

    #[test]
    fn who_is_in_doubt_asks_ever_more_rarely() {
        let mut doubt = doubtful();
        assert_eq!(doubt.look(false, at(101)), Look::Later(at(351)));
        assert_eq!(doubt.look(false, at(350)), Look::Later(at(351)));
        let (mut now, mut wait) = (351, 500);
        for _ in 0..20 {
            assert_eq!(doubt.look(false, at(now)), Look::Ask);
            assert_eq!(doubt.on_asked(at(now)), at(now + wait));
            // What comes then comes by another lane.
            doubt.on_map(7, false, at(now));
            doubt.on_map(6, false, at(now));
            assert_eq!(doubt.look(false, at(now)), Look::Later(at(now + wait)));
            now += wait;
            wait = (wait * 2).min(320_000);
        }
        assert_eq!(wait, 320_000);
    }

    #[test]
    fn another_map_is_waited_for_anew() {
        let mut doubt = doubtful();
        doubt.on_map(3, false, at(300));
        assert_eq!(doubt.look(false, at(351)), Look::Later(at(550)));
    }

    #[test]
    fn what_is_free_is_in_no_doubt() {
        let mut doubt = doubtful();
        assert_eq!(doubt.look(true, at(1_000)), Look::Fine);
        doubt.on_asked(at(1_000));
        assert!(!doubt.on_map(3, true, at(1_001)));
        assert_eq!(doubt.look(false, at(9_999)), Look::Fine);
        // The next doubt begins anew.
        assert!(doubt.on_map(0, false, at(1_002)));
        assert_eq!(doubt.look(false, at(1_002)), Look::Later(at(1_252)));
    }

    #[test]
    fn an_older_map_that_comes_twice_stays_in_doubt() {
        let mut doubt = doubtful();
        assert!(!doubt.on_map(3, false, at(102)));
        assert_eq!(doubt.look(false, at(102)), Look::Later(at(352)));
    }
}
