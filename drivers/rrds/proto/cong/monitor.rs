// SPDX-License-Identifier: GPL-2.0

//! A socket that wants to be told when a congested port gets free.
//!
//! spec-congestion and spec-cmsg type 5; C: `rs_cong_monitor`, `rs_cong_mask` and `rs_cong_notify`.
//! Each refused message arms the bit of its port modulo 64; an update that frees a port fires the bit
//! once.

use super::mask_bit;

/// The congestion monitor of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    on: bool,
    armed: u64,
    fired: u64,
}

impl Monitor {
    /// Switches monitoring; switching it off forgets everything.
    pub fn set(&mut self, on: bool) {
        if on {
            self.on = true;
        } else {
            *self = Self::default();
        }
    }

    /// Whether monitoring is on.
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Notes that a message to `port` was refused. The map must be looked at again afterwards: the
    /// update may have come in between, and will not come again.
    pub fn refused(&mut self, port: u16) {
        if self.on {
            self.armed |= mask_bit(port);
        }
    }

    /// Notes that the ports of `mask` got free; returns whether the socket is to be woken.
    pub fn on_update(&mut self, mask: u64) -> bool {
        self.fired |= self.armed & mask;
        self.armed &= !mask;
        self.fired != 0
    }

    /// Whether there is a mask to deliver.
    pub const fn is_pending(&self) -> bool {
        self.fired != 0
    }

    /// Takes the mask to deliver, if any.
    pub fn take(&mut self) -> Option<u64> {
        let fired = core::mem::take(&mut self.fired);
        (fired != 0).then_some(fired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_fires_once() {
        let mut m = Monitor::default();
        m.set(true);
        m.refused(70);
        assert!(!m.on_update(1 << 7), "not a port of ours");
        assert!(m.on_update((1 << 6) | (1 << 7)));
        assert!(m.is_pending());
        assert_eq!(m.take(), Some(1 << 6));
        assert_eq!(m.take(), None);
        assert!(!m.on_update(1 << 6), "not armed again");
    }

    #[test]
    fn bits_add_up_until_taken() {
        let mut m = Monitor::default();
        m.set(true);
        m.refused(1);
        m.on_update(2);
        m.refused(2);
        assert!(m.on_update(4));
        assert_eq!(m.take(), Some(6));
    }

    #[test]
    fn off_means_nothing_is_remembered() {
        let mut m = Monitor::default();
        m.refused(1);
        assert!(!m.is_on() && !m.on_update(2));
        m.set(true);
        m.refused(1);
        m.on_update(2);
        m.set(false);
        assert_eq!(m.take(), None);
        m.set(true);
        assert!(!m.on_update(2));
    }
}
