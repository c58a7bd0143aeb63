// SPDX-License-Identifier: GPL-2.0

//! How large the queues of a queue pair are.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`struct ib_qp_cap`)

use crate::bindings;
use kernel::prelude::*;

/// How large a queue pair's queues are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Links in the send queue.
    pub max_send_wr: u32,
    /// Requests in the receive queue.
    pub max_recv_wr: u32,
    /// Pieces of memory of a send link.
    pub max_send_sge: u32,
    /// Pieces of memory of a receive request.
    pub max_recv_sge: u32,
    /// Bytes that can be sent inline.
    pub max_inline_data: u32,
}

impl Capabilities {
    pub(crate) fn as_raw(&self) -> bindings::ib_qp_cap {
        bindings::ib_qp_cap {
            max_send_wr: self.max_send_wr,
            max_recv_wr: self.max_recv_wr,
            max_send_sge: self.max_send_sge,
            max_recv_sge: self.max_recv_sge,
            max_inline_data: self.max_inline_data,
            max_rdma_ctxs: 0,
        }
    }

    pub(crate) fn from_raw(raw: &bindings::ib_qp_cap) -> Self {
        Self {
            max_send_wr: raw.max_send_wr,
            max_recv_wr: raw.max_recv_wr,
            max_send_sge: raw.max_send_sge,
            max_recv_sge: raw.max_recv_sge,
            max_inline_data: raw.max_inline_data,
        }
    }
}

#[kunit_tests(krdma_qp_caps)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_there_and_back() {
        let cap = Capabilities {
            max_send_wr: 1,
            max_recv_wr: 2,
            max_send_sge: 3,
            max_recv_sge: 4,
            max_inline_data: 5,
        };
        let raw = cap.as_raw();

        assert_eq!(Capabilities::from_raw(&raw), cap);
        assert_eq!((raw.max_send_wr, raw.max_recv_sge), (1, 4));
    }
}
