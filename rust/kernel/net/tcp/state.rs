// SPDX-License-Identifier: GPL-2.0

//! The states of connections.
//!
//! C header: [`include/net/tcp_states.h`](srctree/include/net/tcp_states.h)

use crate::bindings;
use kernel::prelude::*;

/// The state of a connection (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Both may send.
    Established,
    /// The peer was asked for a connection.
    SynSent,
    /// The peer has asked for a connection.
    SynReceived,
    /// We send no more; that is not acknowledged.
    FinWait1,
    /// We send no more, and the peer knows.
    FinWait2,
    /// Both send no more, and each knows.
    TimeWait,
    /// There is no connection: not yet, or not any more.
    Closed,
    /// The peer sends no more.
    CloseWait,
    /// Both send no more; ours came last and is not acknowledged.
    LastAck,
    /// It listens.
    Listen,
    /// Both send no more, at once; ours is not acknowledged.
    Closing,
    /// Another one.
    Other(u8),
}

impl State {
    pub(super) fn from_raw(raw: u8) -> Self {
        match u32::from(raw) {
            bindings::TCP_ESTABLISHED => Self::Established,
            bindings::TCP_SYN_SENT => Self::SynSent,
            bindings::TCP_SYN_RECV | bindings::TCP_NEW_SYN_RECV => Self::SynReceived,
            bindings::TCP_FIN_WAIT1 => Self::FinWait1,
            bindings::TCP_FIN_WAIT2 => Self::FinWait2,
            bindings::TCP_TIME_WAIT => Self::TimeWait,
            bindings::TCP_CLOSE => Self::Closed,
            bindings::TCP_CLOSE_WAIT => Self::CloseWait,
            bindings::TCP_LAST_ACK => Self::LastAck,
            bindings::TCP_LISTEN => Self::Listen,
            bindings::TCP_CLOSING => Self::Closing,
            _ => Self::Other(raw),
        }
    }
}

#[kunit_tests(krdma_net_tcp)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_c() {
        assert_eq!(State::from_raw(1), State::Established);
        assert_eq!(State::from_raw(7), State::Closed);
        assert_eq!(State::from_raw(8), State::CloseWait);
        assert_eq!(State::from_raw(99), State::Other(99));
    }
}
