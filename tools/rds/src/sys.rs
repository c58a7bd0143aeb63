// SPDX-License-Identifier: GPL-2.0

//! The system calls that no crate offers in safe form: the only `unsafe` of this crate.
//!
//! Each passes pointers into slices that the caller holds for the length of the call, with their
//! own lengths. The kernel keeps none of them, except that with `MSG_ZEROCOPY` it goes on reading
//! what is sent, which is no access of this program to it.
//!
//! What is passed can itself name memory by address. That is memory of [`Pages`](memory::Pages), which
//! others may write to at any time, or it is named for the length of the call only: an atomic for the
//! kernel to write to, a list for it to read.

pub(crate) mod memory;

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Space for any address that an RDS socket gives.
pub(crate) const NAME: usize = 32;

/// What `recvmsg` filled in.
pub(crate) struct Message {
    pub(crate) len: usize,
    pub(crate) name: [u8; NAME],
    pub(crate) name_len: usize,
    pub(crate) control_len: usize,
    pub(crate) flags: i32,
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// `sendmsg(2)`: `name` is a socket address, `control` a list of control messages.
///
/// Memory that `control` names for the kernel to write to has to be of [`memory::Pages`], which stays
/// mapped while it may do so, or be an atomic, which is written to in the call only.
pub(crate) fn sendmsg(
    fd: BorrowedFd<'_>,
    data: &[IoSlice<'_>],
    name: &[u8],
    control: &[u8],
    flags: i32,
) -> io::Result<usize> {
    let header = libc::msghdr {
        msg_name: name.as_ptr().cast_mut().cast(),
        msg_namelen: name.len() as libc::socklen_t,
        msg_iov: data.as_ptr().cast_mut().cast(),
        msg_iovlen: data.len(),
        msg_control: control.as_ptr().cast_mut().cast(),
        msg_controllen: control.len(),
        msg_flags: 0,
    };
    // SAFETY: All of the header's pointers come from slices with their lengths, which live through
    // the call, and which `sendmsg` only reads. `IoSlice` is laid out as `iovec`.
    let result = unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags) };
    checked(result)
}

/// `recvmsg(2)`.
pub(crate) fn recvmsg(
    fd: BorrowedFd<'_>,
    data: &mut [IoSliceMut<'_>],
    control: &mut [u8],
    flags: i32,
) -> io::Result<Message> {
    let mut name = [0; NAME];
    let mut header = libc::msghdr {
        msg_name: name.as_mut_ptr().cast(),
        msg_namelen: NAME as libc::socklen_t,
        msg_iov: data.as_mut_ptr().cast(),
        msg_iovlen: data.len(),
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: control.len(),
        msg_flags: 0,
    };
    // SAFETY: All of the header's pointers come from exclusive slices with their lengths, which live
    // through the call; any bytes are valid in them. `IoSliceMut` is laid out as `iovec`.
    let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags) };
    Ok(Message {
        len: checked(result)?,
        name,
        name_len: (header.msg_namelen as usize).min(NAME),
        control_len: header.msg_controllen.min(control.len()),
        flags: header.msg_flags,
    })
}

/// `setsockopt(2)`. What `value` names is held to the same as what [`sendmsg`]'s `control` does.
pub(crate) fn setsockopt(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &[u8],
) -> io::Result<()> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: The pointer and the length are those of a slice that lives through the call, which
    // `setsockopt` only reads.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) };
    checked(result as isize).map(drop)
}

/// `getsockopt(2)`: its result, which may be positive, and the length that it left, which it also
/// does when it fails.
pub(crate) fn getsockopt(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> (io::Result<usize>, usize) {
    let mut len = value.len() as libc::socklen_t;
    let to = value.as_mut_ptr().cast();
    // SAFETY: The pointer and the length are those of an exclusive slice that lives through the
    // call; any bytes are valid in it.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, to, &mut len) };
    (checked(result as isize), len as usize)
}

/// An `ioctl(2)` that reads or writes the type of service.
pub(crate) fn ioctl_tos(fd: BorrowedFd<'_>, request: TosRequest, tos: &mut u8) -> io::Result<()> {
    let mut buffer = [0_u8; 64];
    buffer[0] = *tos;
    // SAFETY: Both requests access one byte at the pointer. Should `fd` be of another family, these
    // numbers are private to it, and the kernel accesses at most the 40 bytes of an `ifreq`, which
    // the buffer has room for.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, buffer.as_mut_ptr()) };
    *tos = buffer[0];
    checked(result as isize).map(drop)
}

/// The requests of [`ioctl_tos`].
#[derive(Clone, Copy)]
pub(crate) enum TosRequest {
    /// `SIOCRDSSETTOS`
    Set = 0x89e0,
    /// `SIOCRDSGETTOS`
    Get = 0x89e1,
}
