// SPDX-License-Identifier: GPL-2.0

//! The cookies of memory that a program lends to be sent without a copy (spec-tcp-zerocopy).

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::SpinLockIrq, //
};
use krdma::net::RecvMsg;
use rds_proto::{
    cookies::{
        Cookies,
        MAX_COOKIES, //
    },
    uapi::{
        cmsg::{
            zcopy_completion,
            MAX_ZCOPY_COOKIES,
            ZCOPY_COMPLETION,
            ZCOPY_COMPLETION_LEN, //
        },
        SOL_RDS, //
    },
};

/// The places that there are for cookies when memory is lent for the first time.
const FIRST_COOKIES: usize = 64;

/// The cookies of a socket.
#[pin_data]
pub(super) struct Lends {
    #[pin]
    cookies: SpinLockIrq<Cookies<KVec<Option<u32>>>>,
}

impl Lends {
    /// Has no place for any.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            cookies <- new_spinlock_irq!(Cookies::new(KVec::new()), "rrds::Lends::cookies"),
        })
    }

    /// Whether the program has nothing to be told. Any context.
    pub(super) fn is_empty(&self) -> bool {
        self.cookies.lock().is_empty()
    }

    /// Finds a place for the cookie of memory that is about to be lent. May sleep, as `flags` say.
    ///
    /// Errors: [`ENOBUFS`] if the program does not fetch its cookies, [`ENOMEM`].
    pub(super) fn reserve(&self, flags: kernel::alloc::Flags) -> Result {
        loop {
            let places = {
                let mut cookies = self.cookies.lock();
                if cookies.lend() {
                    return Ok(());
                }
                cookies.capacity()
            };
            if places >= MAX_COOKIES {
                return Err(ENOBUFS);
            }
            let more = places.saturating_mul(2).clamp(FIRST_COOKIES, MAX_COOKIES);
            // Before there is the lock.
            let slots = KVec::from_elem(None, more, flags)?;
            let old = self.cookies.lock().grow(slots);
            drop(old);
        }
    }

    /// Gives a place back, or enters the cookie that is to be told. Any context.
    pub(super) fn give_back(&self, cookie: Option<u32>) {
        self.cookies.lock().give_back(cookie);
    }

    /// Tells the caller some cookies, if there are any, and room for them. Returns whether there were. May sleep.
    ///
    /// Errors: [`EFAULT`] if the caller's memory can't be written. They are still to be told then.
    pub(super) fn tell(&self, msg: &mut RecvMsg<'_>) -> Result<bool> {
        if msg.control_room() < RecvMsg::control_space(ZCOPY_COMPLETION_LEN) {
            return Ok(false);
        }
        let (cookies, count) = self.cookies.lock().take::<MAX_ZCOPY_COOKIES>();
        let cookies = cookies.get(..count).unwrap_or_default();
        if cookies.is_empty() {
            return Ok(false);
        }

        let told = msg.put(SOL_RDS, ZCOPY_COMPLETION, &zcopy_completion(cookies));
        self.cookies.lock().told(cookies, told.is_ok());
        told.map(|()| true)
    }
}
