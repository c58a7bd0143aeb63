// SPDX-License-Identifier: GPL-2.0

//! Memory of the sender's that a message is sent from without a copy (spec-tcp-zerocopy).

use kernel::{
    alloc::AllocError,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        UniqueArc, //
    },
};
use krdma::{
    net::{
        ErasedSock,
        Sock,
        SocketData, //
    },
    page::{
        LentPages,
        PagePart, //
    },
};

/// Who lends memory: a socket, for its program.
pub(crate) trait Lender: Send + Sync {
    /// Notes that the memory is referred to no more. With a cookie the program is told.
    ///
    /// Any context; the locks that this takes are the innermost ones.
    fn returned(&self, cookie: Option<u32>);
}

/// The right to memory that a program has lent: when the last clone of it goes the program gets its cookie.
pub(crate) struct Receipt {
    lender: ErasedSock<dyn Lender>,
    cookie: u32,
    is_void: Atomic<bool>,
}

impl Receipt {
    /// Makes one. The socket is told of its end, by [`Lender::returned`], if this succeeds.
    pub(crate) fn new<T: SocketData>(
        sock: &Sock<T>,
        cookie: u32,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<Self>, AllocError>
    where
        Sock<T>: Lender,
    {
        // It is the socket.
        let lender = ErasedSock::<dyn Lender>::new(sock, |sock| sock).ok_or(AllocError)?;
        let room = UniqueArc::new_uninit(flags)?;

        Ok(room
            .write(Self {
                lender,
                cookie,
                is_void: Atomic::new(false),
            })
            .into())
    }

    /// Makes it void: the call that has lent the memory fails, so the program knows that it is its own.
    pub(crate) fn void(&self) {
        self.is_void.store(true, Relaxed);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let cookie = (!self.is_void.load(Relaxed)).then_some(self.cookie);

        self.lender.returned(cookie);
    }
}

/// Memory that is lent, as a message has it.
pub(crate) struct Loan {
    /// Goes first: when the program gets the cookie we refer to its memory no more.
    pages: LentPages,
    _receipt: Arc<Receipt>,
}

impl Loan {
    pub(crate) fn new(pages: LentPages, receipt: Arc<Receipt>) -> Self {
        Self {
            pages,
            _receipt: receipt,
        }
    }

    /// Returns how many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Returns the memory that it takes beside the program's.
    pub(super) fn room(&self) -> usize {
        self.pages.room()
    }

    /// Returns the bytes from `from` on, as far as `end` and a page reach, see [`LentPages::part`].
    pub(super) fn part(&self, from: usize, end: usize) -> Option<PagePart<'_>> {
        self.pages.part(from, end)
    }
}
