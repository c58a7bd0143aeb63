// SPDX-License-Identifier: GPL-2.0

//! Messages that callers send, and what callers receive into.
//!
//! C header: [`include/linux/socket.h`](srctree/include/linux/socket.h) (`struct msghdr`)

use super::{
    cmsg::Cmsgs,
    Name,
    NameIn, //
};
use crate::{
    bindings,
    page::LentPages, //
};
use core::{
    marker::PhantomData,
    ops::BitOr,
    ptr,
    slice, //
};
use kernel::{
    error::to_result,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
};

/// A set of `MSG_*` flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgFlags(u32);

impl MsgFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Out-of-band data.
    pub const OOB: Self = Self(bindings::MSG_OOB);
    /// Leave the message where it is.
    pub const PEEK: Self = Self(bindings::MSG_PEEK);
    /// Control messages did not fit.
    pub const CTRUNC: Self = Self(bindings::MSG_CTRUNC);
    /// Data did not fit; as a request: tell the true length.
    pub const TRUNC: Self = Self(bindings::MSG_TRUNC);
    /// Do not wait. The socket layer sets it for files that do not block, too.
    pub const DONTWAIT: Self = Self(bindings::MSG_DONTWAIT);
    /// End of record. The socket layer sets it when a packet socket is written to by write(2).
    pub const EOR: Self = Self(bindings::MSG_EOR);
    /// Receive from the queue of errors.
    pub const ERRQUEUE: Self = Self(bindings::MSG_ERRQUEUE);
    /// Do not raise SIGPIPE.
    pub const NOSIGNAL: Self = Self(bindings::MSG_NOSIGNAL);
    /// More data will follow.
    pub const MORE: Self = Self(bindings::MSG_MORE);
    /// Send without a copy.
    pub const ZEROCOPY: Self = Self(bindings::MSG_ZEROCOPY);
    /// The caller is a 32-bit one.
    pub const CMSG_COMPAT: Self = Self(bindings::MSG_CMSG_COMPAT);

    /// Returns whether all of `flags` are set.
    #[inline]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns the flags of both.
    #[inline]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Returns the flags that are not in `flags`.
    #[inline]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Returns whether no flag is set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

impl BitOr for MsgFlags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A message that a caller sends.
///
/// # Invariants
///
/// `msg` is a message to send that only the current task uses for `'a`, whose iterator is a source. There were `len` bytes
/// in the iterator at first.
pub struct SendMsg<'a> {
    msg: *mut bindings::msghdr,
    len: usize,
    _caller: PhantomData<&'a mut bindings::msghdr>,
}

impl SendMsg<'_> {
    /// Takes the argument of `sendmsg`.
    ///
    /// # Safety
    ///
    /// What the type invariant says must hold for the lifetime.
    pub(crate) unsafe fn from_raw(msg: *mut bindings::msghdr) -> Self {
        // INVARIANT: By the function's requirements. The length is taken below, before anything else is.
        let mut this = Self {
            msg,
            len: 0,
            _caller: PhantomData,
        };

        this.len = this.remaining();
        this
    }

    /// Gives back all bytes that were taken, for whoever calls again with the same message, as `io_uring` does when it has
    /// waited for room.
    pub(crate) fn rewind(&mut self) {
        let taken = self.len.saturating_sub(self.remaining());

        // SAFETY: By the type invariant, so many bytes lie between the iterator's beginning and where it is.
        unsafe { self.iter().revert(taken) };
    }

    /// Returns the flags.
    #[inline]
    pub fn flags(&self) -> MsgFlags {
        // SAFETY: By the type invariant.
        MsgFlags(unsafe { (*self.msg).msg_flags })
    }

    /// Returns the destination, if the caller named one.
    pub fn name(&self) -> Option<NameIn<'_>> {
        // SAFETY: By the type invariant.
        let (name, len) = unsafe { ((*self.msg).msg_name, (*self.msg).msg_namelen) };
        let len = usize::try_from(len).ok().filter(|len| *len != 0)?;
        if name.is_null() {
            return None;
        }

        // SAFETY: The socket layer has copied `len` bytes there, which stay as long as the message.
        Some(NameIn::new(unsafe {
            slice::from_raw_parts(name.cast(), len)
        }))
    }

    /// Returns the number of bytes that were not taken yet.
    #[inline]
    pub fn remaining(&mut self) -> usize {
        self.iter().len()
    }

    /// Returns the control messages.
    #[inline]
    pub fn cmsgs(&self) -> Cmsgs<'_> {
        // SAFETY: By the type invariant. Both variants of the union are the same pointer.
        let (control, len, is_user) = unsafe {
            let msg = &*self.msg;
            (
                msg.__bindgen_anon_1.msg_control,
                msg.msg_controllen,
                msg.msg_control_is_user(),
            )
        };
        if control.is_null() || len == 0 || is_user {
            return Cmsgs::new(&[]);
        }

        // SAFETY: The socket layer has copied `len` bytes there, which stay as long as the message.
        Cmsgs::new(unsafe { slice::from_raw_parts(control.cast(), len) })
    }

    /// Takes the next `len` bytes into `vec`, in place of what is there.
    ///
    /// Errors: [`ENOMEM`]; [`EFAULT`] if the caller's memory can't be read, or there are less bytes.
    /// Nothing is in `vec` then. May sleep.
    pub fn take(&mut self, len: usize, vec: &mut KVec<u8>, flags: kernel::alloc::Flags) -> Result {
        vec.clear();
        vec.reserve(len, flags)?;
        let room = vec.spare_capacity_mut().get_mut(..len).ok_or(ENOMEM)?;

        if self.iter().copy_from_iter_raw(room).len() != len {
            return Err(EFAULT);
        }
        // SAFETY: The vector has room for `len` bytes, and so many were initialized.
        unsafe { vec.inc_len(len) };
        Ok(())
    }

    /// Copies the next bytes, as many as `to` has.
    ///
    /// Errors: [`EFAULT`] if the caller's memory can't be read, or there are less bytes. May sleep.
    pub fn read(&mut self, to: &mut [u8]) -> Result {
        if self.iter().copy_from_iter(to) != to.len() {
            return Err(EFAULT);
        }
        Ok(())
    }

    /// Borrows the memory of the next `len` bytes, in place of a copy. The caller may change what is there all the while.
    ///
    /// Errors: [`ENOMEM`], also if the caller's user has too much locked memory (`RLIMIT_MEMLOCK`); [`EFAULT`] if the memory
    /// can't be read or is no memory of programs, or there are fewer bytes; [`EINVAL`] if there are none. Sleeps.
    pub fn lend(&mut self, len: usize, flags: kernel::alloc::Flags) -> Result<LentPages> {
        LentPages::take(self.iter(), len, flags)
    }

    fn iter(&mut self) -> &mut IovIterSource<'_> {
        // SAFETY: By the type invariant; the result borrows `self` exclusively.
        unsafe { IovIterSource::from_raw(&raw mut (*self.msg).msg_iter) }
    }
}

/// Where a caller receives to.
///
/// # Invariants
///
/// `msg` is a message to be filled in that only the current task uses for `'a`, whose iterator is a
/// destination. Its name is null or has room for any address.
pub struct RecvMsg<'a> {
    msg: *mut bindings::msghdr,
    flags: MsgFlags,
    _caller: PhantomData<&'a mut bindings::msghdr>,
}

impl RecvMsg<'_> {
    /// Takes the arguments of `recvmsg`.
    ///
    /// # Safety
    ///
    /// What the type invariant says must hold for the lifetime.
    pub(crate) unsafe fn from_raw(msg: *mut bindings::msghdr, flags: MsgFlags) -> Self {
        // INVARIANT: By the function's requirements.
        Self {
            msg,
            flags,
            _caller: PhantomData,
        }
    }

    /// Returns the flags that the caller asked with.
    #[inline]
    pub fn flags(&self) -> MsgFlags {
        self.flags
    }

    /// Sets flags that the caller is told.
    #[inline]
    pub fn set_flags(&mut self, flags: MsgFlags) {
        // SAFETY: By the type invariant.
        unsafe { (*self.msg).msg_flags |= flags.0 };
    }

    /// Returns how many bytes there is room for.
    #[inline]
    pub fn room(&mut self) -> usize {
        self.iter().len()
    }

    /// Copies bytes to the caller, after those that were copied before, as far as there is room.
    /// Returns how many were.
    ///
    /// Errors: [`EFAULT`] if the caller's memory can't be written. May sleep.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let iter = self.iter();
        let bytes = bytes.get(..iter.len()).unwrap_or(bytes);

        if iter.copy_to_iter(bytes) == bytes.len() {
            Ok(bytes.len())
        } else {
            Err(EFAULT)
        }
    }

    /// Tells the caller an address, if it asked for one.
    pub fn set_name(&mut self, name: Name) {
        // SAFETY: By the type invariant.
        let to = unsafe { (*self.msg).msg_name };
        if to.is_null() {
            return;
        }
        let (raw, len) = name.to_raw();

        // SAFETY: By the type invariant, there is room for any address.
        unsafe {
            ptr::copy_nonoverlapping(raw.as_ptr(), to.cast(), len);
            // CAST: Addresses are short.
            (*self.msg).msg_namelen = len as c_int;
        }
    }

    /// Returns how many bytes of control messages there is room for, 0 without a buffer.
    #[inline]
    pub fn control_room(&self) -> usize {
        // SAFETY: By the type invariant. Both variants of the union are pointers.
        let (control, len) = unsafe {
            (
                (*self.msg).__bindgen_anon_1.msg_control,
                (*self.msg).msg_controllen,
            )
        };

        if control.is_null() {
            return 0;
        }
        len
    }

    /// Returns how much of [`control_room`](Self::control_room) a control message with `len` bytes
    /// takes, for a native caller.
    pub const fn control_space(len: usize) -> usize {
        const ALIGN: usize = size_of::<usize>();

        // OVERFLOW: Control messages are short.
        size_of::<bindings::cmsghdr>() + len.next_multiple_of(ALIGN)
    }

    /// Passes a control message to the caller, in the form that the caller understands.
    ///
    /// If there is not enough room, it is cut short and the caller is told so by
    /// [`MsgFlags::CTRUNC`].
    ///
    /// Errors: [`EFAULT`] if the caller's memory can't be written. May sleep.
    pub fn put(&mut self, level: i32, kind: i32, data: &[u8]) -> Result {
        let len = c_int::try_from(data.len()).map_err(|_| EINVAL)?;

        // SAFETY: By the type invariant; `data` has `len` bytes, which are only read.
        to_result(unsafe {
            bindings::put_cmsg(self.msg, level, kind, len, data.as_ptr().cast_mut().cast())
        })
    }

    fn iter(&mut self) -> &mut IovIterDest<'_> {
        // SAFETY: By the type invariant; the result borrows `self` exclusively.
        unsafe { IovIterDest::from_raw(&raw mut (*self.msg).msg_iter) }
    }
}
