// SPDX-License-Identifier: GPL-2.0

//! The end of what is on its way and nobody waits for.
//!
//! A message that was handed to the device stays in memory until its work requests are completed, with
//! the socket that has sent it, even when that is closed. A peer that posts no receives lets them wait
//! for ever: a reliable connection tries again without end (spec-cm-parameters), as it must, for a peer may
//! be slow. So when senders have given up messages that are on their way, the connection has some time to
//! complete them. Then it is given up: the device gives back all it has, and what others have sent goes
//! out again on the next connection.

use crate::settings::Settings;
use crate::time::Instant;

/// Until when what was given up has to be completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linger {
    due: Option<Instant>,
    /// The work request that has to be complete.
    id: u32,
}

impl Linger {
    /// Whether time is over, given the work request that is waited for, if any.
    pub fn poll(&mut self, settings: &Settings, now: Instant, waits: Option<u32>) -> bool {
        let Some(id) = waits else {
            self.due = None;
            return false;
        };
        match self.due.filter(|_| self.id == id) {
            Some(due) => due <= now,
            None => {
                *self = Self {
                    due: Some(now.after(settings.linger_ns)),
                    id,
                };
                false
            }
        }
    }

    /// Whether this waits for a work request.
    pub fn is_set(&self) -> bool {
        self.due.is_some()
    }

    /// When to poll next.
    pub const fn next_timeout(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_time() {
        let s = Settings {
            linger_ns: 10,
            ..Settings::default()
        };
        let mut l = Linger::default();
        assert!(!l.poll(&s, Instant(5), None) && !l.is_set());
        assert!(!l.poll(&s, Instant(5), Some(1)));
        assert!(!l.poll(&s, Instant(14), Some(1)));
        assert_eq!(l.next_timeout(), Some(Instant(15)));
        assert!(!l.poll(&s, Instant(15), Some(2)), "another one");
        assert!(l.poll(&s, Instant(25), Some(2)));
        assert!(!l.poll(&s, Instant(26), None) && !l.is_set());
    }
}
