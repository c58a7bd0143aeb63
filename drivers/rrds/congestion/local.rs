// SPDX-License-Identifier: GPL-2.0

//! The map of a local address.

use crate::trace::{
    self,
    Port as Event, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        SpinLockIrq, //
    },
};
use rds_proto::{
    cong::Map,
    consts::CONG_MAP_BYTES,
    wire::Addr, //
};

/// Storage of a map.
pub(super) type Bytes = KBox<[u8; CONG_MAP_BYTES]>;

/// The ports of a local address that are congested. They are set by the [`Port`](super::Port)s.
#[pin_data]
pub(crate) struct Local {
    addr: Addr,
    #[pin]
    map: SpinLockIrq<Map<Bytes>>,
    /// How many there are, to be looked at without the lock.
    count: Atomic<u32>,
}

impl Local {
    /// Makes the map of a local address, no port congested.
    pub(super) fn new(addr: Addr) -> Result<Arc<Self>> {
        let map = Map::new(KBox::new([0; CONG_MAP_BYTES], GFP_KERNEL_ACCOUNT)?);

        Arc::pin_init(
            pin_init!(Self {
                addr,
                map <- new_spinlock_irq!(map, "rrds::congestion::Local"),
                count: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Sets the state of a port, and returns whether it has changed.
    pub(super) fn set(&self, port: u16, congested: bool) -> bool {
        let changed = {
            let mut map = self.map.lock();
            let changed = map.set(port, congested);
            self.count.store(map.congested(), Relaxed);
            changed
        };
        if changed {
            let what = if congested {
                Event::Congested
            } else {
                Event::Freed
            };
            trace::congestion(self.addr, port, what);
        }
        changed
    }

    /// Returns the address.
    pub(super) fn addr(&self) -> Addr {
        self.addr
    }

    /// Returns whether a port is congested.
    pub(crate) fn is_congested(&self, port: u16) -> bool {
        // Nobody waits because of what this misses.
        self.count.load(Relaxed) != 0 && self.map.lock().is_congested(port)
    }

    /// Copies a piece of the map, as it goes on the wire, from byte `offset` on. What is beyond the
    /// map stays as it is.
    ///
    /// Any context.
    pub(crate) fn copy(&self, offset: usize, to: &mut [u8]) {
        let map = self.map.lock();

        if let Some(from) = map.as_bytes().get(offset..) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        }
    }
}
