// SPDX-License-Identifier: GPL-2.0

//! Regions whose key a peer has revoked by a message.

use super::Mr;
use crate::rdma::Completion;

impl Mr {
    /// Notes that the peer has revoked the region's key by the message that `completion` is of.
    ///
    /// Returns whether it has: the message was received by a queue pair of the region's protection domain,
    /// and names the key of the registration. That is not known if the receive was posted more than 64
    /// registrations of the region ago: then the message may be about an earlier one, which had the same key.
    /// The region stays exposed, and a request has to [revoke](crate::rdma::post::Links::invalidate) it.
    pub fn revoked_by(&self, completion: &Completion<'_>) -> bool {
        completion
            .received()
            .and_then(|received| received.key_revoked_in(&self.inner.pd))
            .is_some_and(|(key, posted)| {
                self.inner
                    .exposure
                    .revoked(posted, |round| self.key_of(round) == key)
            })
    }
}
