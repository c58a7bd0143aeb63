// SPDX-License-Identifier: GPL-2.0

//! What a path counts.
//!
//! Counters that C has keep its names, without the prefix (spec-info); the caller adds up those of
//! all paths. They wrap.

/// Adds one to a counter.
pub(crate) fn bump(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a path.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Calls `tell` with the name and value of each counter.
            pub fn for_each(&self, mut tell: impl FnMut(&'static str, u64)) {
                $(tell(stringify!($name), self.$name);)*
            }

            /// Adds the counters of another path.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)*
            }

            /// Raises each counter to that of `other`, if that is more.
            fn raise(&mut self, other: &Self) {
                $(self.$name = self.$name.max(other.$name);)*
            }
        }
    };
}

counters! {
    /// Connections that were dropped.
    conn_reset,
    /// Frames with a bad checksum.
    recv_drop_bad_checksum,
    /// Duplicates of messages received before.
    recv_drop_old_seq,
    /// Messages that demanded an acknowledgement.
    recv_ack_required,
    /// Pings.
    recv_ping,
    /// Messages complete and new.
    recv_messages,
    /// Frames of any kind.
    rx_frames,
    /// Frames that carried nothing but an acknowledgement.
    ack_received,
    /// Headers that brought credits, which have no effect.
    rx_credit_updates,
    /// Frames of any kind.
    tx_frames,
    /// Messages accepted for sending, pongs included.
    send_queued,
    /// Pongs among them.
    send_pong,
    /// Messages on which the budget forced ACK_REQUIRED.
    send_ack_required,
    /// Messages sent again after a reconnect.
    send_retransmitted,
    /// Messages acknowledged.
    send_acked,
    /// Frames that carried nothing but an acknowledgement.
    ack_sent,
    /// Demands of an acknowledgement while a bare one was in flight.
    ack_send_delayed,
    /// Probes of a silent peer.
    probe_sent,
    /// Congestion maps sent.
    cong_update_sent,
    /// Pieces of congestion maps received.
    cong_update_received,
    /// Times the send ring was full.
    tx_ring_full,
    /// Connections that came up.
    connected,
    /// Requests of the peer that met a request of ours.
    connect_raced,
    /// Requests of the peer that met a connection in use.
    listen_closed_stale,
    /// Connections that were given up because what closed sockets had sent was not completed.
    linger_timeout,
}

/// What all paths have counted, as it is told.
///
/// A path that ends is found no more before it [has retired](Self::retire). What it has counted is
/// missing in a sum that is made in between, and was told before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// What paths had counted that have retired.
    retired: Counters,
    told: Counters,
}

impl Totals {
    /// Takes over what a path has counted, which must not be found any more.
    pub fn retire(&mut self, counters: &Counters) {
        self.retired.add(counters);
    }

    /// What paths had counted that have retired: what the others have is to be added after this was
    /// called, and then [told](Self::tell).
    pub fn retired(&self) -> Counters {
        self.retired
    }

    /// Returns what is to be told of a sum. No counter goes back.
    pub fn tell(&mut self, sum: &Counters) -> Counters {
        self.told.raise(sum);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn counters_are_listed_and_added() {
        let mut a = Counters {
            conn_reset: 1,
            ..Counters::default()
        };
        let b = Counters {
            conn_reset: u64::MAX,
            linger_timeout: 3,
            ..Counters::default()
        };
        a.add(&b);
        let mut all = Vec::new();
        a.for_each(|name, value| all.push((name, value)));
        assert_eq!(all.first(), Some(&("conn_reset", 0)));
        assert_eq!(all.last(), Some(&("linger_timeout", 3)));
        bump(&mut a.conn_reset);
        assert_eq!(a.conn_reset, 1);
    }

    #[test]
    fn what_was_told_does_not_go_back_when_a_path_ends() {
        let mut totals = Totals::default();
        let of = |connected, conn_reset| Counters {
            connected,
            conn_reset,
            ..Counters::default()
        };
        let told = |totals: &mut Totals, paths: &[Counters]| {
            let mut sum = totals.retired();
            paths.iter().for_each(|path| sum.add(path));
            totals.tell(&sum)
        };
        let (one, mut other) = (of(5, 1), of(2, 0));
        assert_eq!(told(&mut totals, &[one, other]), of(7, 1));
        // One is gone, and has not retired.
        other.conn_reset = 3;
        assert_eq!(told(&mut totals, &[other]), of(7, 3));
        totals.retire(&one);
        assert_eq!(told(&mut totals, &[other]), of(7, 4));
        assert_eq!(totals.retired(), one);
    }
}
