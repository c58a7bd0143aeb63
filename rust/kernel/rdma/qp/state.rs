// SPDX-License-Identifier: GPL-2.0

//! The states of queue pairs: what leads to another, and where requests can be posted.
//!
//! Drivers differ in what they refuse: mlx5 takes requests in the reset state, and never completes them.
//! So a queue is open here in the states only in which the InfiniBand specification has requests
//! completed (volume 1, section 10.3.1).

use super::Inner;
use crate::{
    bindings,
    rdma::qp_attr::{
        self,
        QpAttr,
        QpState, //
    },
};
use kernel::{
    error::to_result,
    prelude::*, //
};

impl Inner {
    /// Changes attributes, or the state.
    pub(super) fn modify_by(&self, attr: &QpAttr) -> Result {
        let (mut raw, mask) = attr.as_raw();

        self.modify_raw(&mut raw, mask)
    }

    pub(super) fn modify_raw(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        if attr.qp_state == bindings::ib_qp_state_IB_QPS_RESET && QpAttr::sets_state(mask) {
            self.reset(attr, mask)
        } else {
            self.modify(attr, mask)
        }
    }

    /// Changes attributes, or the state to another one than the reset state.
    fn modify(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        qp_attr::check(attr, mask, self.pd.device())?;
        let mut used = self.used.lock();

        self.modify_unchecked(attr, mask)?;
        if QpAttr::sets_state(mask) {
            *used = true;
            self.recv_room.open();
            if sends(QpState::from_raw(attr.qp_state)) {
                self.send_room.open();
            }
        }
        Ok(())
    }

    /// Changes the state to the reset state, when nothing is posted any more.
    fn reset(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        qp_attr::check(attr, mask, self.pd.device())?;
        self.refuse_handlers()?;

        let guard = self.emptying.lock();
        let (ret, abandoned) = loop {
            let emptied = self.empty();
            let mut used = self.used.lock();

            if *used && !emptied {
                // Somebody has begun to use the queue pair meanwhile.
                continue;
            }
            let ret = self.modify_unchecked(attr, mask);
            let abandoned = ret.is_ok().then(|| {
                *used = false;
                self.send_room.close();
                self.recv_room.close();
                self.forget()
            });
            break (ret, abandoned);
        };
        self.unshut();
        drop(guard);
        // What their drops do is the client's.
        drop(abandoned);
        ret
    }

    /// Has C change attributes that were checked.
    fn modify_unchecked(&self, attr: &mut bindings::ib_qp_attr, mask: c_int) -> Result {
        // SAFETY: By the type invariant, we own the queue pair. What the core does not check of the
        // attributes was checked by the callers.
        let ret = to_result(unsafe { bindings::ib_modify_qp(self.ptr.as_ptr(), attr, mask) });

        if ret == Err(ENOMEM) && QpAttr::sets_read_room(mask) {
            self.revive_responder();
        }
        ret
    }

    /// Has the responder work again, so that the receive queue can be drained.
    ///
    /// rxe stops it while the room for the peer's reads and atomics is made anew, and if there is no memory for
    /// that it stays stopped, in the error state too: what is posted to receive would never be flushed. Room for
    /// none takes no memory.
    #[cold]
    fn revive_responder(&self) {
        let (mut attr, mask) = QpAttr::new().max_dest_rd_atomic(0).as_raw();

        // SAFETY: By the type invariant, we own the queue pair. A device that does not have this fails.
        unsafe { bindings::ib_modify_qp(self.ptr.as_ptr(), &mut attr, mask) };
    }

    /// Changes the state to the error state.
    pub(super) fn fail(&self) -> Result {
        let (mut attr, mask) = QpAttr::new().state(QpState::Err).as_raw();

        self.modify(&mut attr, mask)
    }
}

/// Whether requests to send can be posted in a state that follows the reset state. All of them take
/// receives.
fn sends(state: QpState) -> bool {
    !matches!(state, QpState::Init | QpState::Rtr)
}
