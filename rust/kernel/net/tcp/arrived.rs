// SPDX-License-Identifier: GPL-2.0

//! What has come in.

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::prelude::*;

/// The right to read from a socket whose lock is held.
///
/// # Invariants
///
/// `sk` is a TCP socket, whose lock is held as long as this exists.
pub struct Arrived<'a> {
    sk: *mut bindings::sock,
    _lock: PhantomData<&'a mut ()>,
}

impl Arrived<'_> {
    /// # Safety
    ///
    /// `sk` must be a TCP socket, whose lock is held as long as the result exists.
    pub(super) unsafe fn new(sk: *mut bindings::sock) -> Self {
        // INVARIANT: By the function's requirements.
        Self {
            sk,
            _lock: PhantomData,
        }
    }

    /// Reads what has come: `take` gets the next bytes, in order, as often as there are some, and says how many it
    /// takes. If it takes less than there are, that is all.
    ///
    /// Returns how many bytes were taken. Does not sleep. `take` runs with the socket's lock held, and must not
    /// sleep. After urgent data (RFC 6093) nothing comes any more.
    ///
    /// Errors: [`ENOTCONN`] of a socket that listens.
    pub fn read(&mut self, mut take: impl FnMut(Bytes<'_>) -> usize) -> Result<usize> {
        let mut take: Take<'_> = &mut take;
        let mut desc = bindings::read_descriptor_t {
            // Not zero, to go on.
            count: 1,
            arg: bindings::read_descriptor_t__bindgen_ty_1 {
                data: (&raw mut take).cast(),
            },
            ..pin_init::zeroed()
        };
        // SAFETY: By the type invariant. The actor gets what is for it, which lives longer than the call.
        let ret = unsafe { bindings::krdma_tcp_read_sock(self.sk, &raw mut desc, Some(actor)) };

        usize::try_from(ret).map_err(|_| Error::from_errno(ret))
    }

    /// Returns whether the peer has said that it sends no more. There may be bytes that were not read.
    #[inline]
    pub fn is_ended(&self) -> bool {
        // SAFETY: By the type invariant. The field is read as a whole.
        unsafe { is_ended(self.sk) }
    }
}

/// # Safety
///
/// `sk` must be valid.
pub(super) unsafe fn is_ended(sk: *mut bindings::sock) -> bool {
    // SAFETY: By the function's requirements. The field is changed by others meanwhile, as a whole.
    let shutdown = unsafe { (&raw const (*sk).sk_shutdown).read_volatile() };

    u32::from(shutdown) & bindings::RCV_SHUTDOWN != 0
}

/// What takes bytes.
type Take<'a> = &'a mut dyn FnMut(Bytes<'_>) -> usize;

/// Bytes that have come. Whoever has sent them may still write to them, if he is on this host and has sent pages
/// of a file: so they can be copied, and not borrowed.
///
/// # Invariants
///
/// From `ptr` on, `len` bytes can be read for `'a`.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    ptr: *const u8,
    len: usize,
    _bytes: PhantomData<&'a u8>,
}

impl Bytes<'_> {
    /// Returns how many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes from `offset` on, as many as there are and have room in `to`. Returns how many.
    #[inline]
    pub fn copy(&self, offset: usize, to: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(to.len());

        // SAFETY: By the type invariant, and as no more is copied than there is. If others write meanwhile, the
        // bytes are old or new ones.
        unsafe { ptr::copy_nonoverlapping(self.ptr.wrapping_add(offset), to.as_mut_ptr(), count) };
        count
    }
}

/// # Safety
///
/// To be called by `tcp_read_sock`, which [`Arrived::read`] has called.
unsafe extern "C" fn actor(
    desc: *mut bindings::read_descriptor_t,
    skb: *mut bindings::sk_buff,
    offset: c_uint,
    len: usize,
) -> c_int {
    // SAFETY: By the function's requirements, this is what `read` has put there.
    let (take, count) = unsafe { (&mut *(*desc).arg.data.cast::<Take<'_>>(), (*desc).count) };
    if count == 0 {
        // C asks for the rest of a buffer again.
        return 0;
    }
    // CAST: A buffer has not so many bytes that it would not fit.
    let len = len as c_uint;
    let mut seq = pin_init::zeroed();
    let mut done: c_uint = 0;

    // SAFETY: The bytes from `offset` on are the buffer's.
    unsafe {
        bindings::skb_prepare_seq_read(skb, offset, offset.saturating_add(len), &raw mut seq)
    };
    while done < len {
        let mut ptr = ptr::null();
        // SAFETY: The sequence was prepared.
        let count = unsafe { bindings::skb_seq_read(done, &raw mut ptr, &raw mut seq) };
        // It may go past the end that it was given.
        let count = count.min(len - done);
        if count == 0 {
            break;
        }
        // INVARIANT: So many bytes are there, until the sequence is gone on with.
        let bytes = Bytes {
            ptr,
            // CAST: A `c_uint` fits.
            len: count as usize,
            _bytes: PhantomData,
        };
        // CAST: It is no more than `count`.
        let taken = take(bytes).min(bytes.len()) as c_uint;

        done += taken;
        if taken < count {
            // SAFETY: As above.
            unsafe { (*desc).count = 0 };
            break;
        }
    }
    // SAFETY: The sequence was prepared, and is not gone on with.
    unsafe { bindings::skb_abort_seq_read(&raw mut seq) };
    // CAST: As above.
    done as c_int
}
