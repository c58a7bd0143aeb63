// SPDX-License-Identifier: GPL-2.0

//! Attributes and states of queue pairs.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`struct ib_qp_attr`)

use crate::{
    bindings,
    rdma::{
        ah::AhAttr,
        mr::Access,
        Device, //
    },
};
use kernel::prelude::*;

/// The state of a queue pair.
///
/// ```text
///                 ┌─────── any state but RESET ───────┐
///                 ▼                                   ▼
/// RESET ─▶ INIT ─▶ RTR ─▶ RTS ◀─▶ SQD        any ─▶ ERR ─▶ RESET
///                          ▲
///                         SQE (a send failed; not of reliable connections)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QpState {
    /// Nothing can be posted.
    Reset,
    /// Receives can be posted; nothing arrives.
    Init,
    /// Ready to receive.
    Rtr,
    /// Ready to send.
    Rts,
    /// What is posted to the send queue is not begun.
    Sqd,
    /// A send has failed, receiving goes on.
    Sqe,
    /// What is posted is given back.
    Err,
    /// A state that this crate does not know.
    Unknown(u32),
}

impl QpState {
    pub(crate) fn from_raw(raw: bindings::ib_qp_state) -> Self {
        match raw {
            bindings::ib_qp_state_IB_QPS_RESET => Self::Reset,
            bindings::ib_qp_state_IB_QPS_INIT => Self::Init,
            bindings::ib_qp_state_IB_QPS_RTR => Self::Rtr,
            bindings::ib_qp_state_IB_QPS_RTS => Self::Rts,
            bindings::ib_qp_state_IB_QPS_SQD => Self::Sqd,
            bindings::ib_qp_state_IB_QPS_SQE => Self::Sqe,
            bindings::ib_qp_state_IB_QPS_ERR => Self::Err,
            raw => Self::Unknown(raw),
        }
    }

    pub(crate) fn as_raw(self) -> bindings::ib_qp_state {
        match self {
            Self::Reset => bindings::ib_qp_state_IB_QPS_RESET,
            Self::Init => bindings::ib_qp_state_IB_QPS_INIT,
            Self::Rtr => bindings::ib_qp_state_IB_QPS_RTR,
            Self::Rts => bindings::ib_qp_state_IB_QPS_RTS,
            Self::Sqd => bindings::ib_qp_state_IB_QPS_SQD,
            Self::Sqe => bindings::ib_qp_state_IB_QPS_SQE,
            Self::Err => bindings::ib_qp_state_IB_QPS_ERR,
            Self::Unknown(raw) => raw,
        }
    }
}

/// The largest payload of a packet on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathMtu {
    /// 256 bytes.
    Bytes256,
    /// 512 bytes.
    Bytes512,
    /// 1024 bytes.
    Bytes1024,
    /// 2048 bytes.
    Bytes2048,
    /// 4096 bytes.
    Bytes4096,
}

impl PathMtu {
    fn as_raw(self) -> bindings::ib_mtu {
        match self {
            Self::Bytes256 => bindings::ib_mtu_IB_MTU_256,
            Self::Bytes512 => bindings::ib_mtu_IB_MTU_512,
            Self::Bytes1024 => bindings::ib_mtu_IB_MTU_1024,
            Self::Bytes2048 => bindings::ib_mtu_IB_MTU_2048,
            Self::Bytes4096 => bindings::ib_mtu_IB_MTU_4096,
        }
    }
}

/// Attributes to change by [`Qp::modify`](crate::rdma::Qp::modify). Which are needed and allowed
/// depends on the state and the service: see the table of the verb in the InfiniBand specification
/// (volume 1, section 11.2.5.2).
///
/// # Examples
///
/// ```
/// use krdma::rdma::qp_attr::{QpAttr, QpState};
///
/// // From RESET to INIT, for datagrams.
/// let attr = QpAttr::new()
///     .state(QpState::Init)
///     .port(1)
///     .pkey_index(0)
///     .qkey(0x1234);
/// ```
pub struct QpAttr {
    raw: bindings::ib_qp_attr,
    mask: bindings::ib_qp_attr_mask,
}

/// Makes a setter for each attribute.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($arg:ident: $ty:ty) = $mask:ident, $field:ident: $value:expr;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $arg: $ty) -> Self {
                self.raw.$field = $value;
                self.mask |= bindings::$mask;
                self
            }
        )*
    };
}

impl QpAttr {
    /// Changes nothing.
    pub fn new() -> Self {
        Self {
            raw: pin_init::zeroed(),
            mask: 0,
        }
    }

    setters! {
        /// The state to move to.
        state(state: QpState) = ib_qp_attr_mask_IB_QP_STATE, qp_state: state.as_raw();
        /// The state that the queue pair is known to be in.
        current_state(state: QpState) = ib_qp_attr_mask_IB_QP_CUR_STATE,
            cur_qp_state: state.as_raw();
        /// The port, from one.
        port(port: u32) = ib_qp_attr_mask_IB_QP_PORT, port_num: port;
        /// The index of the partition key in the port's table.
        pkey_index(index: u16) = ib_qp_attr_mask_IB_QP_PKEY_INDEX, pkey_index: index;
        /// The key that datagrams must carry to be received.
        qkey(qkey: u32) = ib_qp_attr_mask_IB_QP_QKEY, qkey: qkey;
        /// What the peer may do by RDMA, of what regions allow.
        access(access: Access) = ib_qp_attr_mask_IB_QP_ACCESS_FLAGS,
            qp_access_flags: access.as_raw();
        /// The largest payload of a packet.
        path_mtu(mtu: PathMtu) = ib_qp_attr_mask_IB_QP_PATH_MTU, path_mtu: mtu.as_raw();
        /// The number of the peer's queue pair.
        dest_qp(number: u32) = ib_qp_attr_mask_IB_QP_DEST_QPN, dest_qp_num: number;
        /// The number of the first packet to receive: 24 bits.
        rq_psn(psn: u32) = ib_qp_attr_mask_IB_QP_RQ_PSN, rq_psn: psn;
        /// The number of the first packet to send: 24 bits.
        sq_psn(psn: u32) = ib_qp_attr_mask_IB_QP_SQ_PSN, sq_psn: psn;
        /// RDMA reads and atomics to have outstanding at the peer.
        max_rd_atomic(count: u8) = ib_qp_attr_mask_IB_QP_MAX_QP_RD_ATOMIC, max_rd_atomic: count;
        /// RDMA reads and atomics to work on for the peer.
        max_dest_rd_atomic(count: u8) = ib_qp_attr_mask_IB_QP_MAX_DEST_RD_ATOMIC,
            max_dest_rd_atomic: count;
        /// How long a peer shall wait that found no receive buffer: a code of 5 bits, see the
        /// specification's table 45.
        min_rnr_timer(code: u8) = ib_qp_attr_mask_IB_QP_MIN_RNR_TIMER, min_rnr_timer: code;
        /// How long to wait for the peer: 4.096 µs times two to the power of this; zero is for ever.
        timeout(exponent: u8) = ib_qp_attr_mask_IB_QP_TIMEOUT, timeout: exponent;
        /// How often to try again when the peer does not answer: up to 7.
        retry_count(count: u8) = ib_qp_attr_mask_IB_QP_RETRY_CNT, retry_cnt: count;
        /// How often to try again when the peer has no receive buffer: 7 is for ever.
        rnr_retry_count(count: u8) = ib_qp_attr_mask_IB_QP_RNR_RETRY, rnr_retry: count;
        /// The way to the peer.
        path(path: &AhAttr) = ib_qp_attr_mask_IB_QP_AV, ah_attr: *path.as_raw();
    }

    /// The way to the peer to move to when the first fails: with its port, partition key and
    /// timeout.
    #[must_use]
    pub fn alternate_path(
        mut self,
        path: &AhAttr,
        port: u32,
        pkey_index: u16,
        timeout: u8,
    ) -> Self {
        self.raw.alt_ah_attr = *path.as_raw();
        self.raw.alt_port_num = port;
        self.raw.alt_pkey_index = pkey_index;
        self.raw.alt_timeout = timeout;
        self.mask |= bindings::ib_qp_attr_mask_IB_QP_ALT_PATH;
        self
    }

    /// Returns whether attributes with this mask change the state.
    pub(crate) fn sets_state(mask: c_int) -> bool {
        // CAST: As for `as_raw`.
        mask as bindings::ib_qp_attr_mask & bindings::ib_qp_attr_mask_IB_QP_STATE != 0
    }

    /// Returns whether attributes with this mask make the room for the peer's reads and atomics anew.
    pub(crate) fn sets_read_room(mask: c_int) -> bool {
        // CAST: As for `as_raw`.
        mask as bindings::ib_qp_attr_mask & bindings::ib_qp_attr_mask_IB_QP_MAX_DEST_RD_ATOMIC != 0
    }

    pub(crate) fn as_raw(&self) -> (bindings::ib_qp_attr, c_int) {
        // CAST: The bits are few and positive; C takes them as an `int`.
        (self.raw, self.mask as c_int)
    }
}

/// Checks what C takes as indices and does not check: states and ports.
///
/// Errors: [`EINVAL`].
pub(super) fn check(attr: &bindings::ib_qp_attr, mask: c_int, dev: &Device) -> Result {
    // CAST: As for `QpAttr::as_raw`.
    let sets = |bit| mask as bindings::ib_qp_attr_mask & bit != 0;
    let known = |state| state <= bindings::ib_qp_state_IB_QPS_ERR;

    let states = known(attr.qp_state) && known(attr.cur_qp_state);
    let port = !sets(bindings::ib_qp_attr_mask_IB_QP_PORT) || dev.has_port(attr.port_num);
    let alternate =
        !sets(bindings::ib_qp_attr_mask_IB_QP_ALT_PATH) || dev.has_port(attr.alt_port_num);

    if states && port && alternate {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

impl Default for QpAttr {
    fn default() -> Self {
        Self::new()
    }
}

#[kunit_tests(krdma_qp_attr)]
mod tests {
    use super::*;

    #[test]
    fn each_setter_marks_its_attribute() {
        let (raw, mask) = QpAttr::new()
            .state(QpState::Rtr)
            .dest_qp(17)
            .path_mtu(PathMtu::Bytes4096)
            .as_raw();

        assert_eq!(raw.dest_qp_num, 17);
        assert_eq!(raw.path_mtu, bindings::ib_mtu_IB_MTU_4096);
        assert_eq!(
            mask as u32,
            bindings::ib_qp_attr_mask_IB_QP_STATE
                | bindings::ib_qp_attr_mask_IB_QP_DEST_QPN
                | bindings::ib_qp_attr_mask_IB_QP_PATH_MTU
        );
    }

    #[test]
    fn states_are_those_of_c() {
        for raw in 0..8 {
            assert_eq!(QpState::from_raw(raw).as_raw(), raw);
        }
    }
}
