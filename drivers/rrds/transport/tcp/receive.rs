// SPDX-License-Identifier: GPL-2.0

//! What comes in on a connection.

use super::{
    link,
    marker::Tcp, //
};
use crate::{
    message::Spares,
    path::{
        self,
        Link as _,
        Path, //
    }, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use krdma::{
    net::tcp::{
        Arrived,
        Bytes,
        Handler,
        State, //
    },
    work::Waker,
};
use rds_proto::{
    consts::HEADER_LEN,
    tcp::{
        Deframer,
        Fragment, //
    },
};

/// A connection of RDS.
pub(crate) type Link = link::Link<Events>;

/// Memory for the data of a fragment, unless a message has taken it.
struct Buffer(Option<KVec<u8>>);

impl path::Buffer for Buffer {
    fn read<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.as_ref().map(|bytes| f(bytes))
    }

    fn take(&mut self) -> Option<KVec<u8>> {
        self.0.take()
    }
}

impl Buffer {
    /// Returns room for a fragment, if there is memory.
    fn room(&mut self, spares: &Spares) -> Option<&mut [u8]> {
        if self.0.is_none() {
            self.0 = Some(spares.get(GFP_ATOMIC).ok()?);
        }
        self.0.as_mut().map(KVec::as_mut_slice)
    }
}

/// Takes in what comes on a connection that is established.
pub(super) struct Receiver {
    path: Arc<Path<Tcp>>,
    link: Arc<Link>,
    deframer: Deframer,
    buffer: Buffer,
    /// A fragment for which there was no memory.
    kept: Option<Fragment>,
    /// Nothing is read for want of memory.
    is_starved: bool,
    wants_pump: bool,
}

impl Receiver {
    pub(super) fn new(path: Arc<Path<Tcp>>, link: Arc<Link>) -> Self {
        Self {
            path,
            link,
            deframer: Deframer::default(),
            buffer: Buffer(None),
            kept: None,
            is_starved: false,
            wants_pump: false,
        }
    }

    /// Takes bytes that have come, as far as there is memory, and says how many.
    fn take(&mut self, bytes: Bytes<'_>) -> usize {
        let mut done = 0;

        while self.hand_in() {
            let Some(data) = self.buffer.room(self.path.spares()) else {
                self.is_starved = true;
                break;
            };
            self.is_starved = false;
            let fragment = self.deframer.next(data, |to| {
                let count = bytes.copy(done, to);
                done += count;
                count
            });
            match fragment {
                Some(fragment) => self.kept = Some(fragment),
                None => break,
            }
        }
        done
    }

    /// Hands the fragment in that is complete, if one is. Returns whether none is left.
    fn hand_in(&mut self) -> bool {
        let Some(Fragment { header, len }) = self.kept else {
            return true;
        };
        // CAST: A header has 48 bytes, and a fragment at most 4096.
        let len = HEADER_LEN as u32 + len;
        let receipt = self.path.receive(
            self.link.conn(),
            &header.emit(),
            len,
            &mut self.buffer,
            self.path.spares(),
        );

        self.wants_pump |= receipt.wants_pump;
        if receipt.is_taken {
            self.kept = None;
        }
        self.is_starved = !receipt.is_taken;
        receipt.is_taken
    }

    /// Tells the path what TCP has acknowledged. Returns whether something waits to be sent, and there is room.
    fn settle(&mut self) -> bool {
        let (acked, _) = self.link.settle();

        if let Some(acked) = acked {
            self.path.acked(self.link.conn(), acked);
        }
        self.link.is_unblocked()
    }

    /// Ends a batch: has the path send what follows from it.
    fn finish(&mut self) {
        self.link.shown().on_received(self.deframer.missing());
        if core::mem::take(&mut self.wants_pump) {
            self.path.pump();
        }
    }
}

/// What TCP calls.
#[pin_data]
pub(crate) struct Events {
    /// Wakes the job of the connection.
    #[pin]
    waker: SpinLockIrq<Option<Waker>>,
    /// Is there while the connection is established, but for who uses it.
    #[pin]
    receiver: SpinLockIrq<Receiving>,
}

/// Who takes in what comes.
enum Receiving {
    /// What comes stays with TCP until the connection is established.
    NotYet,
    /// Somebody, who puts it back.
    Busy,
    Ready(Receiver),
    /// Nobody any more.
    Over,
}

impl Events {
    /// Makes what tells a job of what happens, if there is one already.
    pub(super) fn new(waker: Option<Waker>) -> impl PinInit<Self> {
        pin_init!(Self {
            waker <- new_spinlock_irq!(waker, "rrds::tcp::Events::waker"),
            receiver <- new_spinlock_irq!(Receiving::NotYet, "rrds::tcp::Events::receiver"),
        })
    }

    /// Tells a job of what happens.
    pub(super) fn tell(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake();
        }
    }

    /// Begins to take in what comes. What has come already is to be read.
    pub(super) fn open(&self, receiver: Receiver) {
        *self.receiver.lock() = Receiving::Ready(receiver);
    }

    /// Returns whether it has begun to take in what comes.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.receiver.lock(), Receiving::Busy | Receiving::Ready(_))
    }

    /// Lets go of the path.
    pub(super) fn close(&self) {
        let old = core::mem::replace(&mut *self.receiver.lock(), Receiving::Over);
        drop(old);
        let old = self.waker.lock().take();
        drop(old);
    }

    /// Has the receiver do something, if it is there.
    fn with<R>(&self, f: impl FnOnce(&mut Receiver) -> R) -> Option<R> {
        let mut receiver = {
            let mut guard = self.receiver.lock();

            match core::mem::replace(&mut *guard, Receiving::Busy) {
                Receiving::Ready(receiver) => receiver,
                other => {
                    *guard = other;
                    return None;
                }
            }
        };
        let ret = f(&mut receiver);
        let mut guard = self.receiver.lock();
        if matches!(*guard, Receiving::Busy) {
            *guard = Receiving::Ready(receiver);
        } else {
            drop(guard);
            drop(receiver);
        }
        Some(ret)
    }

    /// Takes bytes that have come, and says how many, if nobody else uses the receiver.
    pub(super) fn take(&self, bytes: Bytes<'_>) -> Option<usize> {
        self.with(|receiver| receiver.take(bytes))
    }

    /// Hands in what there was no memory for, if nobody else uses the receiver. To be called before what has come is
    /// read: where it succeeds, what follows may be read, and nothing else tells so.
    pub(super) fn retry(&self) {
        self.with(Receiver::hand_in);
    }

    /// Has the path send what follows from what came. Returns whether something was left for want of memory, if nobody
    /// else uses the receiver.
    pub(super) fn finish(&self) -> Option<bool> {
        self.with(|receiver| {
            receiver.finish();
            receiver.is_starved
        })
    }
}

impl Handler for Events {
    fn data_ready(&self, arrived: &mut Arrived<'_>) {
        let mut is_busy = false;

        // Errors are those of the connection, which the job sees.
        let _ = arrived.read(|bytes| {
            let taken = self.take(bytes);
            is_busy |= taken.is_none();
            taken.unwrap_or(0)
        });
        // What is left the job reads: when there is memory, or when it has the receiver no more.
        if self.finish() != Some(false) || is_busy || arrived.is_ended() {
            self.wake();
        }
    }

    fn write_space(&self) {
        // Who has the receiver does not look for what is acknowledged.
        if self.with(Receiver::settle) != Some(false) {
            self.wake();
        }
    }

    fn state_changed(&self, _state: State) {
        self.wake();
    }
}
