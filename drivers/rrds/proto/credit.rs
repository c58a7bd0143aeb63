// SPDX-License-Identifier: GPL-2.0

//! Flow control by credits.
//!
//! spec-credits; C: `rds_ib_send_grab_credits()` and `rds_ib_advertise_credits()` in
//! `net/rds/ib_send.c`. One credit is one receive buffer posted for the other side. Off by default, and
//! in effect never on between C peers; the real flow control is RNR NAK.
//!
//! The last credit may only be used for a frame that advertises new ones, so that two sides can never
//! both run dry.
//!
//! A C peer that takes up our offer does not say so in its reply, because it posts its buffers later.
//! It would wait for credits for ever if we took its silence for a refusal; so a side that has offered
//! credits keeps granting them, whatever the other side answered.

use crate::consts::{CREDIT_UPDATE_THRESHOLD, MAX_ADVERTISED_CREDITS};
use core::cmp::min;

/// Most credits counted; a peer that sends more has lost its mind.
const MAX_CREDITS: u32 = 0xffff;

/// The credits of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credits {
    /// SENDs that the peer has buffers for; `None` if it does not tell.
    available: Option<u32>,
    /// Whether the peer may be counting on credits from us.
    granting: bool,
    /// Buffers posted and not advertised.
    posted: u32,
}

impl Credits {
    /// Flow control off.
    pub const fn off() -> Self {
        Self {
            available: None,
            granting: false,
            posted: 0,
        }
    }

    /// Flow control after a handshake in which we offered `offered` credits and the peer `received`.
    pub(crate) const fn negotiated(offered: u32, received: u32) -> Self {
        let both = offered > 0 && received > 0;
        Self {
            available: if both { Some(min_u32(received)) } else { None },
            granting: offered > 0,
            posted: 0,
        }
    }

    /// Whether SENDs are limited by credits.
    pub const fn is_on(&self) -> bool {
        self.available.is_some()
    }

    /// SENDs that the peer has buffers for, if it tells.
    pub const fn available(&self) -> Option<u32> {
        self.available
    }

    /// Notes that `count` receive buffers were posted.
    pub fn on_posted(&mut self, count: u32) {
        if self.granting {
            self.posted = min(self.posted.saturating_add(count), MAX_CREDITS);
        }
    }

    /// Notes credits in a header from the peer.
    pub(crate) fn on_received(&mut self, credit: u8) {
        if let Some(available) = &mut self.available {
            *available = min(available.saturating_add(u32::from(credit)), MAX_CREDITS);
        }
    }

    /// Whether a SEND may be posted.
    pub(crate) const fn can_send(&self) -> bool {
        match self.available {
            None => true,
            Some(0) => false,
            Some(1) => self.posted > 0,
            Some(_) => true,
        }
    }

    /// Credits to advertise in the next SEND.
    pub(crate) fn advert(&self) -> u8 {
        // CAST: at most 255.
        min(self.posted, MAX_ADVERTISED_CREDITS) as u8
    }

    /// Whether no SEND could follow one that advertises `credit`.
    pub(crate) fn stalls_after(&self, credit: u8) -> bool {
        let mut next = *self;
        next.sent(credit);
        !next.can_send()
    }

    /// Books a SEND that advertised `credit`.
    pub(crate) fn sent(&mut self, credit: u8) {
        self.posted = self.posted.saturating_sub(u32::from(credit));
        if let Some(available) = &mut self.available {
            *available = available.saturating_sub(1);
        }
    }

    /// Whether so many buffers were posted that the peer must be told.
    pub(crate) const fn is_update_due(&self) -> bool {
        self.granting && self.posted >= CREDIT_UPDATE_THRESHOLD
    }
}

/// At most [`MAX_CREDITS`], in a const function.
const fn min_u32(value: u32) -> u32 {
    if value < MAX_CREDITS {
        value
    } else {
        MAX_CREDITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_means_no_limit_and_no_advert() {
        let mut c = Credits::off();
        c.on_posted(100);
        c.on_received(9);
        assert!(c.can_send() && !c.is_on() && !c.is_update_due());
        assert_eq!(c.advert(), 0);
        assert!(!c.stalls_after(0));
    }

    #[test]
    fn both_must_offer_to_be_limited() {
        assert!(!Credits::negotiated(0, 5).is_on());
        assert!(Credits::negotiated(3, 5).is_on());
        // A C peer that accepted our offer answers 0 and yet counts on us.
        let mut c = Credits::negotiated(3, 0);
        assert!(!c.is_on());
        c.on_posted(16);
        assert!(c.is_update_due());
        assert_eq!(c.advert(), 16);
    }

    #[test]
    fn the_last_credit_is_for_credits() {
        let mut c = Credits::negotiated(4, 2);
        assert!(c.can_send() && c.stalls_after(c.advert()));
        c.sent(0);
        assert!(!c.can_send(), "nothing to advertise");
        c.on_posted(1);
        assert!(c.can_send());
        c.sent(c.advert());
        assert!(!c.can_send());
        c.on_received(2);
        assert!(c.can_send());
    }

    #[test]
    fn an_update_is_due_at_sixteen() {
        let mut c = Credits::negotiated(4, 2);
        c.on_posted(15);
        assert!(!c.is_update_due());
        c.on_posted(1);
        assert!(c.is_update_due());
        c.on_posted(300);
        assert_eq!(c.advert(), 255);
        c.sent(255);
        assert_eq!(c.advert(), 61);
    }

    #[test]
    fn floods_of_credits_saturate() {
        let mut c = Credits::negotiated(1, u32::MAX);
        for _ in 0..1000 {
            c.on_received(255);
            c.on_posted(u32::MAX);
        }
        assert_eq!((c.available, c.posted), (Some(0xffff), 0xffff));
    }
}
