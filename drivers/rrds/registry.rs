// SPDX-License-Identifier: GPL-2.0

//! Sets of sockets.

use crate::{
    socket::Socket,
    table::Table, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        SpinLockIrq, //
    },
};
use krdma::net::Sock;

/// A set of sockets, which keeps them.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    table: SpinLockIrq<Table<ARef<Sock<Socket>>>>,
}

impl Registry {
    /// No sockets.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_spinlock_irq!(Table::new(), "rrds::Registry"),
        })
    }

    /// Adds a socket, and returns the number that it is removed by. May sleep.
    pub(crate) fn add(&self, sock: &Sock<Socket>) -> Result<usize> {
        loop {
            let wanted = {
                let mut table = self.table.lock();
                if table.has_room() {
                    return table.insert(sock.into()).map_err(|_| ENOMEM);
                }
                table.wanted()
            };
            let storage = Table::storage(wanted, GFP_KERNEL)?;
            let old = self.table.lock().grow(storage);
            drop(old);
        }
    }

    /// Removes a socket.
    pub(crate) fn remove(&self, number: usize) {
        let sock = self.table.lock().remove(number);
        drop(sock);
    }

    /// Calls `f` with each socket, with the set locked. Any context.
    pub(crate) fn for_each_locked(&self, mut f: impl FnMut(&Sock<Socket>)) {
        let table = self.table.lock();
        let mut at = 0;

        while let Some((number, sock)) = table.next(at) {
            f(sock);
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
        }
    }

    /// Calls `f` with each socket, with nothing locked. Those that come or go meanwhile may be missed.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Sock<Socket>)) {
        let mut at = 0;

        loop {
            let sock = {
                let table = self.table.lock();
                let Some((number, sock)) = table.next(at) else {
                    break;
                };
                // OVERFLOW: As above.
                at = number.wrapping_add(1);
                sock.clone()
            };
            f(&sock);
        }
    }
}
