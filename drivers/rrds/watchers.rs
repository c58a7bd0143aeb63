// SPDX-License-Identifier: GPL-2.0

//! The sockets that want to be told when a congested port gets free.

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

/// The sockets of a namespace that were refused a message, wait for a port, or monitor.
#[pin_data]
pub(crate) struct Watchers {
    #[pin]
    table: SpinLockIrq<Table<ARef<Sock<Socket>>>>,
}

impl Watchers {
    /// No sockets.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_spinlock_irq!(Table::new(), "rrds::Watchers"),
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
            let storage = Table::storage(wanted)?;
            let old = self.table.lock().grow(storage);
            drop(old);
        }
    }

    /// Removes a socket.
    pub(crate) fn remove(&self, number: usize) {
        let sock = self.table.lock().remove(number);
        drop(sock);
    }

    /// Tells all sockets that the ports of `mask` got free, and that a map has changed.
    ///
    /// Any context. Takes the locks of the sockets.
    pub(crate) fn wake(&self, mask: u64) {
        let table = self.table.lock();
        let mut at = 0;

        while let Some((number, sock)) = table.next(at) {
            Socket::on_congestion(sock, mask);
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
        }
    }
}
