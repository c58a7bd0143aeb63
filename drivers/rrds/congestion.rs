// SPDX-License-Identifier: GPL-2.0

//! Congestion maps: ours, by local address, and those of our peers (spec-bitmap, spec-congestion).

mod local;
mod locals;

pub(crate) use locals::{
    Locals,
    Used, //
};

use crate::backlog::Backlog;
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
use local::Bytes;
use rds_proto::{
    cong::{
        mask_bit,
        RemoteMap, //
    },
    consts::CONG_MAP_BYTES,
    wire::Addr, //
};

/// A port of a local address, of the one socket that is bound there: nobody else sets its bit in the map.
///
/// It exists only while the socket has its place in the table of bound sockets, or
/// the bit could be that of the next one.
pub(crate) struct Port {
    local: Used,
    port: u16,
    congested: bool,
}

impl Port {
    /// A port that is free.
    pub(crate) fn new(local: Used, port: u16) -> Self {
        Self {
            local,
            port,
            congested: false,
        }
    }

    /// Enters into the map whether the port is congested, and returns whether that changed it.
    ///
    /// Any context.
    pub(crate) fn set(&mut self, congested: bool) -> bool {
        self.congested != congested && {
            self.congested = congested;
            self.local.set(self.port, congested)
        }
    }

    /// Returns the address and the mask of the port, as monitors have it.
    pub(crate) fn at(&self) -> (Addr, u64) {
        (self.local.addr(), mask_bit(self.port))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// A peer: which of its ports are congested, and what it makes us store.
#[pin_data]
pub(crate) struct Peer {
    /// The peer is this host: its map is this one.
    local: Option<Used>,
    /// Else it is what the peer has told.
    #[pin]
    map: SpinLockIrq<RemoteMap<Bytes>>,
    /// Whether it has ever told of a congested port. Most never do.
    told: Atomic<bool>,
    /// What it makes us store.
    backlog: Arc<Backlog>,
    /// How many paths there are to it. Changed with the lock of all peers.
    paths: Atomic<usize>,
}

impl Peer {
    /// Makes the map of a peer. If the peer is this host, `local` is the map.
    pub(crate) fn new(local: Option<Used>, whole: &Arc<Backlog>) -> Result<Arc<Self>> {
        Self::alloc(local, Backlog::part_of(whole)?, GFP_KERNEL)
    }

    /// Makes that of a local address for the sockets of this host, which store nothing for it but what is
    /// charged to them. Allocates with `flags`.
    pub(crate) fn here(
        local: Used,
        whole: &Arc<Backlog>,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<Self>> {
        Self::alloc(Some(local), whole.clone(), flags)
    }

    fn alloc(
        local: Option<Used>,
        backlog: Arc<Backlog>,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                local,
                map <- new_spinlock_irq!(RemoteMap::default(), "rrds::congestion::Peer"),
                told: Atomic::new(false),
                backlog,
                paths: Atomic::new(0),
            }),
            flags,
        )
    }

    /// Returns whether a port is congested.
    ///
    /// Any context.
    pub(crate) fn is_congested(&self, port: u16) -> bool {
        match &self.local {
            Some(local) => local.is_congested(port),
            // Nobody waits because of what this misses.
            None => self.told.load(Relaxed) && self.map.lock().is_congested(port),
        }
    }

    /// Counts a path to it. To be called with the lock of all peers.
    pub(crate) fn add_path(&self) {
        self.paths.fetch_add(1, Relaxed);
    }

    /// Takes a path off the count, and returns whether it was the last. As [`add_path`](Self::add_path).
    pub(crate) fn remove_path(&self) -> bool {
        self.paths.fetch_sub(1, Relaxed) == 1
    }

    /// Returns the account of what the peer makes us store.
    pub(crate) fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    /// Returns whether the peer has told of no congested port.
    ///
    /// Any context.
    pub(crate) fn is_clear(&self) -> bool {
        self.map.lock().is_clear()
    }

    /// Applies a piece of the peer's map that was received, from byte `offset` on. Returns the mask of the
    /// ports that got free, for [`Space::wake`](crate::space::Space::wake).
    ///
    /// If there is no memory for the map, its ports count as free.
    ///
    /// Any context; may be called with the lock of a path held.
    pub(crate) fn apply(&self, offset: u32, data: &[u8]) -> u64 {
        let first = self.map.lock().apply(offset, data);
        let freed = first.or_else(|_| {
            // Most peers never have a congested port: there was no storage yet.
            let bytes = KBox::new([0; CONG_MAP_BYTES], GFP_ATOMIC);
            let mut map = self.map.lock();

            if let Ok(bytes) = bytes {
                map.provide(bytes);
                self.told.store(true, Relaxed);
            }
            map.apply(offset, data)
        });

        freed.unwrap_or(0)
    }
}
