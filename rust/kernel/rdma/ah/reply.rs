// SPDX-License-Identifier: GPL-2.0

//! Address handles that lead back to who sent a datagram.

use super::{
    Ah,
    GRH_LEN, //
};
use crate::{
    bindings,
    rdma::{
        request::Received,
        Pd, //
    },
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl Ah {
    /// Makes a handle that leads back to who sent a datagram.
    ///
    /// `received` is what was received, `port` the number of the port that the queue pair is on.
    /// `grh` is what the first 40 bytes of its receive buffer hold, if
    /// [`has_grh`](Received::has_grh); RoCE needs it. To whom the datagram is to be sent
    /// [`Received::source_qp`] tells; the Q_Key is a matter between the two.
    ///
    /// On RoCE this waits for the address resolution of the network stack. So handlers in softirq
    /// context keep what they have received, and reply from elsewhere.
    ///
    /// Errors: [`EINVAL`] if it is no datagram, if it is of another device, or if `grh` is missing;
    /// [`ENOMEM`]; and what the address resolution fails with.
    pub fn reply(
        pd: &Arc<Pd>,
        port: u32,
        received: &Received<'_>,
        grh: Option<&[u8; GRH_LEN]>,
    ) -> Result<Self> {
        const { assert!(size_of::<bindings::ib_grh>() == GRH_LEN) };
        if !received.is_datagram_of(pd.device()) || (received.has_grh() && grh.is_none()) {
            return Err(EINVAL);
        }
        // C does not check it, and has it as the index of an array.
        if !pd.device().has_port(port) {
            return Err(EINVAL);
        }

        // Aligned as C wants it.
        let mut copy: bindings::ib_grh = pin_init::zeroed();
        if let Some(grh) = grh {
            // SAFETY: Both are 40 bytes, of which any value is valid.
            unsafe {
                ptr::copy_nonoverlapping(
                    grh.as_ptr(),
                    (&raw mut copy).cast(),
                    size_of::<bindings::ib_grh>(),
                )
            };
        }
        // SAFETY: `pd` is a protection domain of a registered device, and `port` one of its ports. The
        // completion is of a datagram received, and the header is there if it says so.
        let ah =
            unsafe { bindings::ib_create_ah_from_wc(pd.as_raw(), received.as_raw(), &copy, port) };

        Self::from_raw(pd, ah)
    }
}
