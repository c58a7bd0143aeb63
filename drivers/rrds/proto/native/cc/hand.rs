// SPDX-License-Identifier: GPL-2.0

//! Flows by hand, for the tests of controllers.

use super::controller::{Config, Controller, Lost};
use super::delivery::{Acking, Delivery, Snapshot};
use crate::time::Instant;

/// A flow whose packets come and go by hand.
pub(crate) struct Step {
    pub(crate) flow: Delivery,
    pub(crate) now: Instant,
    pub(crate) rtt: u64,
    pub(crate) limited: bool,
    mss: u32,
    number: u64,
}

impl Step {
    pub(crate) fn new(mss: u32) -> Self {
        Self {
            flow: Delivery::default(),
            now: Instant(1_000_000_000),
            rtt: 1_000_000,
            limited: true,
            mss,
            number: 0,
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(self.mss, 1)
    }

    pub(crate) fn sent(&mut self) -> Snapshot {
        self.number += 1;
        self.flow.on_sent(self.now, self.mss)
    }

    pub(crate) fn next_flight(&mut self) {
        self.now = self.now.after(self.rtt);
    }
}

/// Sends `packets`, all of which are acknowledged a round trip later.
pub(crate) fn ack(t: &mut Step, c: &mut impl Controller, packets: u32) {
    t.next_flight();
    let sent: std::vec::Vec<_> = (0..packets)
        .map(|_| {
            c.on_transmit(t.now, &t.flow);
            (t.sent(), t.number)
        })
        .collect();
    if t.limited {
        t.flow.mark_cwnd_limited();
    }
    t.next_flight();
    let mut acking = Acking::new(t.now);
    for (sent, number) in &sent {
        t.flow.on_acked(&mut acking, *number, sent, false);
    }
    let sample = t.flow.finish(&acking, t.rtt, t.rtt).unwrap();
    c.on_ack(&sample, &mut t.flow);
}

/// Sends `packets`, all of which are lost.
pub(crate) fn lose(t: &mut Step, c: &mut impl Controller, packets: u32) {
    t.next_flight();
    let sent: std::vec::Vec<_> = (0..packets).map(|_| (t.sent(), t.number)).collect();
    t.next_flight();
    for (i, (sent, number)) in sent.into_iter().enumerate() {
        let first = i == 0;
        t.flow.on_lost(&sent);
        c.on_loss(
            t.now,
            &Lost {
                number,
                sent,
                first,
            },
            &t.flow,
        );
    }
}
