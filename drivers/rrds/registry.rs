// SPDX-License-Identifier: GPL-2.0

//! Sets of sockets.

use crate::table::Table;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{
                Full,
                Relaxed, //
            },
            Atomic, //
        },
        SpinLockIrq, //
    },
};
use krdma::net::{
    Sock,
    SocketData, //
};

/// Sockets that are looked at before others get the lock.
const CHUNK: usize = 16;

/// The seat was never taken.
const NEVER: usize = usize::MAX;

/// The seat was given up for good.
const LEFT: usize = usize::MAX - 1;

/// The place of a socket in one [`Registry`]: the number that it has there, if it is there.
pub(crate) struct Seat(Atomic<usize>);

impl Seat {
    /// Of a socket that is not there.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(NEVER))
    }

    /// Whether the socket is there.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Relaxed) < LEFT
    }
}

/// A set of sockets of a family, which keeps them.
#[pin_data]
pub(crate) struct Registry<T: SocketData> {
    #[pin]
    table: SpinLockIrq<Table<ARef<Sock<T>>>>,
}

impl<T: SocketData> Registry<T> {
    /// No sockets.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_spinlock_irq!(Table::new(), "rrds::Registry"),
        })
    }

    /// Has a socket take its seat, unless it has one, or has left it. May sleep, unless it has.
    ///
    /// Errors: [`ENOMEM`].
    pub(crate) fn enter(&self, sock: &Sock<T>, seat: &Seat) -> Result {
        if seat.0.load(Relaxed) != NEVER {
            return Ok(());
        }
        let number = self.add(sock)?;

        if seat.0.cmpxchg(NEVER, number, Full).is_err() {
            // Another task was faster, or the socket is closed.
            self.remove(number);
        }
        Ok(())
    }

    /// Takes a socket out, if it is there, and lets it in no more.
    pub(crate) fn leave(&self, seat: &Seat) {
        let number = seat.0.xchg(LEFT, Full);

        if number < LEFT {
            self.remove(number);
        }
    }

    /// Takes a socket out, which may come back. Returns whether it was there. Any context.
    pub(crate) fn rise(&self, seat: &Seat) -> bool {
        let number = seat.0.load(Relaxed);

        if number >= LEFT || seat.0.cmpxchg(number, NEVER, Full).is_err() {
            return false;
        }
        self.remove(number);
        true
    }

    /// Adds a socket, and returns the number that it is removed by. May sleep.
    fn add(&self, sock: &Sock<T>) -> Result<usize> {
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

    fn remove(&self, number: usize) {
        let sock = self.table.lock().remove(number);
        drop(sock);
    }

    /// Calls `f` with each socket, without any lock. Those that come or go meanwhile may be missed. Any
    /// context.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Sock<T>)) {
        let mut from = Some(0);

        while let Some(at) = from {
            let mut chunk: [Option<ARef<Sock<T>>>; CHUNK] = [const { None }; CHUNK];

            from = self.look(at, &mut chunk);
            chunk.iter().flatten().for_each(|sock| f(sock));
        }
    }

    /// Fills `chunk` with the sockets from the number `at` on, and returns the number of the next one.
    fn look(&self, at: usize, chunk: &mut [Option<ARef<Sock<T>>>]) -> Option<usize> {
        let table = self.table.lock();
        let mut from = at;

        for slot in chunk {
            let (number, sock) = table.next(from)?;
            *slot = Some(sock.clone());
            // OVERFLOW: It is the number of a place.
            from = number.wrapping_add(1);
        }
        Some(from)
    }
}
