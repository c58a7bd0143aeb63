// SPDX-License-Identifier: GPL-2.0

//! What becomes of messages when a connection is lost.
//!
//! spec-retransmit. Un-acknowledged messages are sent again, in order and ahead of new ones, flagged
//! RETRANSMITTED and ACK_REQUIRED; the message that was being sent starts over. A message whose RDMA
//! operation was posted is dropped, because the operation cannot be repeated. Messages that were never
//! begun are sent as if nothing had happened. C: `rds_send_path_reset()`.

use super::{Entry, Outcome, Payload, SendQueue};
use crate::ring::Storage;

impl<M: Payload, S: Storage<Entry<M>>> SendQueue<M, S> {
    /// Moves the mark back: everything not acknowledged is to be sent on the next connection.
    pub fn rewind(&mut self) {
        self.forget_silent();
        // INVARIANT: nothing is handed over to the connection to come.
        self.sent = 0;
        self.sending = false;
        self.demanded = 0;
        if self.started_high >= self.resend_below {
            self.resend_below = self.started_high.wrapping_add(1);
        }
    }

    /// Whether a message with this number was sent, at least in part, on an earlier connection.
    pub fn is_resend(&self, seq: u64) -> bool {
        seq < self.resend_below
    }

    /// The next message to hand over, at or after the mark.
    ///
    /// Drops on the way what cannot be sent again, or takes more than `ring` work requests. If it is a long
    /// one, a short one may take its place, see [`overtake`](super::overtake).
    pub(super) fn pick(&mut self, ring: u32) -> Option<usize> {
        let mut from = self.sent;
        loop {
            let index = self.next_live(from)?;
            let resend_below = self.resend_below;
            let entry = self.ring.get_mut(index)?;
            let operation = entry.item.as_ref().and_then(super::Item::operation);
            let drop = operation.is_some_and(|op| {
                op.work_requests > ring || !op.repeatable && entry.seq < resend_below
            });
            if !drop {
                self.overtake(index);
                return Some(index);
            }
            entry.ended = Some(Outcome::Dropped);
            self.ended = self.ended.wrapping_add(1);
            from = index.wrapping_add(1);
        }
    }
}
