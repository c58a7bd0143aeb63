// SPDX-License-Identifier: GPL-2.0

//! Finding out that a silent peer is gone.
//!
//! A reliable connection notices that its peer is gone only when it sends. Whoever waits for the peer
//! sends nothing: a sender refused for congestion waits for the next map, one whose socket is full for
//! an acknowledgement. If the peer has crashed after its hardware took
//! the last frame in, they would wait for ever, as they do in C. So while something is awaited and
//! nothing has come for a while, an empty RDMA WRITE is posted: it takes no receive buffer, the peer's software, C or ours, sees nothing of it, and if the peer is gone it fails.

use crate::settings::Settings;
use crate::time::Instant;

/// When to probe the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    due: Option<Instant>,
    /// Frames received when the time was set.
    seen: u64,
}

impl Probe {
    /// Whether to probe now, given whether anything is awaited on a connection that is up, and how many
    /// frames were received so far.
    pub fn poll(&mut self, settings: &Settings, now: Instant, awaited: bool, seen: u64) -> bool {
        if !awaited {
            self.due = None;
            return false;
        }
        let due = self.due.is_some_and(|due| due <= now);
        let silent = due && seen == self.seen;
        if due || self.due.is_none() {
            self.due = Some(now.after(settings.probe_ns.max(1)));
            self.seen = seen;
        }
        silent
    }

    /// When to poll next.
    pub const fn next_timeout(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: fn() -> Settings = || Settings {
        probe_ns: 10,
        ..Settings::default()
    };

    #[test]
    fn probes_go_on_while_the_peer_is_silent() {
        let s = SETTINGS();
        let mut p = Probe::default();
        assert!(!p.poll(&s, Instant(100), false, 0));
        assert_eq!(p.next_timeout(), None);
        assert!(!p.poll(&s, Instant(100), true, 7));
        assert!(!p.poll(&s, Instant(105), true, 7));
        assert_eq!(p.next_timeout(), Some(Instant(110)), "not put off");
        assert!(p.poll(&s, Instant(112), true, 7));
        assert!(!p.poll(&s, Instant(121), true, 7));
        assert!(p.poll(&s, Instant(122), true, 7));
        assert!(!p.poll(&s, Instant(132), false, 7));
        assert_eq!(p.next_timeout(), None);
    }

    #[test]
    fn a_peer_that_is_heard_of_is_not_probed() {
        let s = SETTINGS();
        let mut p = Probe::default();
        assert!(!p.poll(&s, Instant(0), true, 1));
        assert!(!p.poll(&s, Instant(10), true, 2));
        assert!(p.poll(&s, Instant(20), true, 2));
    }
}
