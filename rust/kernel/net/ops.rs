// SPDX-License-Identifier: GPL-2.0

//! What C calls for a socket: each function turns its arguments into those of a method of
//! [`Family`], and the result back.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h) (`struct proto_ops`)

use super::{
    Family,
    MsgFlags,
    NameIn,
    Open,
    OptionIn,
    OptionOut,
    RecvMsg,
    SendMsg,
    Sock, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr,
    slice, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// The functions for the sockets of a family.
///
/// All of them but `release` are called by the socket layer for sockets that are open, and stay open
/// until the call returns.
pub(super) struct Ops<T: Family>(PhantomData<T>);

/// The bytes of an address that the socket layer passes.
///
/// # Safety
///
/// `len` bytes must be valid for reads for `'a` if it is positive.
unsafe fn name<'a>(addr: *const bindings::sockaddr_unsized, len: c_int) -> NameIn<'a> {
    match usize::try_from(len) {
        // SAFETY: By the function's requirements.
        Ok(len) if len != 0 => NameIn::new(unsafe { slice::from_raw_parts(addr.cast(), len) }),
        _ => NameIn::new(&[]),
    }
}

/// A number of bytes as C returns it.
fn count(bytes: usize) -> Result<c_int> {
    c_int::try_from(bytes).map_err(|_| EOVERFLOW)
}

impl<T: Family> Ops<T> {
    /// Returns the table of the functions.
    pub(super) fn table(number: c_int, module: &'static ThisModule) -> bindings::proto_ops {
        /// One of ours if the family has the method, else the kernel's.
        macro_rules! or {
            ($has:ident, $ours:ident, $none:expr) => {
                if T::$has {
                    Some(Self::$ours)
                } else {
                    $none
                }
            };
        }

        bindings::proto_ops {
            family: number,
            owner: module.as_ptr(),
            release: Some(Self::release),
            bind: or!(HAS_BIND, bind, Some(bindings::sock_no_bind)),
            connect: or!(HAS_CONNECT, connect, Some(bindings::sock_no_connect)),
            socketpair: Some(bindings::sock_no_socketpair),
            accept: Some(bindings::sock_no_accept),
            getname: or!(HAS_NAME, getname, Some(bindings::sock_no_getname)),
            poll: or!(HAS_POLL, poll, None),
            ioctl: or!(HAS_IOCTL, ioctl, Some(bindings::sock_no_ioctl)),
            listen: or!(HAS_LISTEN, listen, Some(bindings::sock_no_listen)),
            shutdown: or!(HAS_SHUTDOWN, shutdown, Some(bindings::sock_no_shutdown)),
            setsockopt: or!(HAS_SET_OPTION, setsockopt, None),
            getsockopt_iter: or!(HAS_OPTION, getsockopt, None),
            sendmsg: or!(HAS_SEND, sendmsg, Some(bindings::sock_no_sendmsg)),
            recvmsg: or!(HAS_RECEIVE, recvmsg, Some(bindings::sock_no_recvmsg)),
            mmap: Some(bindings::sock_no_mmap),
            ..pin_init::zeroed()
        }
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::release`.
    unsafe extern "C" fn release(socket: *mut bindings::socket) -> c_int {
        // SAFETY: `socket` is valid, and nobody else uses it any more.
        //
        // CAST: The kernel's bindings know the type's name only.
        let sk = unsafe { (*socket).sk }.cast::<bindings::sock>();
        if sk.is_null() {
            return 0;
        }

        // SAFETY: The reference of `socket` keeps it.
        unsafe { bindings::sock_orphan(sk) };
        // SAFETY: As above; it is a socket of `T`.
        T::release(unsafe { Sock::<T>::from_raw(sk) });
        // SAFETY: The reference of `socket` ends with its pointer.
        unsafe {
            (*socket).sk = ptr::null_mut();
            bindings::sock_put(sk);
        }
        0
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::bind`.
    unsafe extern "C" fn bind(
        socket: *mut bindings::socket,
        addr: *mut bindings::sockaddr_unsized,
        len: c_int,
    ) -> c_int {
        // SAFETY: The socket is open during the call, and the address is `len` bytes.
        let (sock, name) = unsafe { (Open::<T>::from_raw(socket), name(addr, len)) };

        from_result(|| T::bind(&sock, name).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::connect`.
    unsafe extern "C" fn connect(
        socket: *mut bindings::socket,
        addr: *mut bindings::sockaddr_unsized,
        len: c_int,
        _flags: c_int,
    ) -> c_int {
        // SAFETY: As for `bind`.
        let (sock, name) = unsafe { (Open::<T>::from_raw(socket), name(addr, len)) };

        from_result(|| T::connect(&sock, name).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::getname`.
    unsafe extern "C" fn getname(
        socket: *mut bindings::socket,
        addr: *mut bindings::sockaddr,
        peer: c_int,
    ) -> c_int {
        // SAFETY: The socket is open during the call.
        let sock = unsafe { Open::<T>::from_raw(socket) };

        from_result(|| {
            let (raw, len) = T::name(&sock, peer != 0)?.to_raw();

            // SAFETY: The socket layer has room for any address there.
            unsafe { ptr::copy_nonoverlapping(raw.as_ptr(), addr.cast(), len) };
            count(len)
        })
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::poll`.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        socket: *mut bindings::socket,
        wait: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: The socket is open during the call.
        let sock = unsafe { Open::<T>::from_raw(socket) };

        // SAFETY: The arguments are those of the call. The queue belongs to the file, which outlives
        // its place in the table.
        unsafe { bindings::sock_poll_wait(file, socket, wait) };
        T::poll(&sock).as_raw()
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::ioctl`.
    unsafe extern "C" fn ioctl(socket: *mut bindings::socket, cmd: c_uint, arg: c_ulong) -> c_int {
        // SAFETY: The socket is open during the call.
        let sock = unsafe { Open::<T>::from_raw(socket) };

        from_result(|| T::ioctl(&sock, cmd, arg))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::listen`.
    unsafe extern "C" fn listen(socket: *mut bindings::socket, backlog: c_int) -> c_int {
        // SAFETY: The socket is open during the call.
        let sock = unsafe { Open::<T>::from_raw(socket) };

        from_result(|| T::listen(&sock, backlog).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::shutdown`.
    unsafe extern "C" fn shutdown(socket: *mut bindings::socket, how: c_int) -> c_int {
        // SAFETY: The socket is open during the call.
        let sock = unsafe { Open::<T>::from_raw(socket) };

        from_result(|| T::shutdown(&sock, how).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::setsockopt`.
    unsafe extern "C" fn setsockopt(
        socket: *mut bindings::socket,
        level: c_int,
        optname: c_int,
        optval: bindings::sockptr_t,
        optlen: c_uint,
    ) -> c_int {
        // SAFETY: The socket is open during the call; the value is the caller's, and the current task
        // is the caller.
        let (sock, value) = unsafe {
            (
                Open::<T>::from_raw(socket),
                OptionIn::from_raw(optval, optlen),
            )
        };

        from_result(|| T::set_option(&sock, level, optname, value).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::getsockopt_iter`.
    unsafe extern "C" fn getsockopt(
        socket: *mut bindings::socket,
        level: c_int,
        optname: c_int,
        opt: *mut bindings::sockopt_t,
    ) -> c_int {
        // SAFETY: The socket is open during the call, and `opt` is ours until then.
        let (sock, mut value) = unsafe { (Open::<T>::from_raw(socket), OptionOut::from_raw(opt)) };

        from_result(|| T::option(&sock, level, optname, &mut value))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::sendmsg`.
    unsafe extern "C" fn sendmsg(
        socket: *mut bindings::socket,
        msg: *mut bindings::msghdr,
        len: usize,
    ) -> c_int {
        // SAFETY: The socket is open during the call, and `msg` is ours until then, a source.
        let (sock, mut msg) = unsafe { (Open::<T>::from_raw(socket), SendMsg::from_raw(msg)) };

        from_result(|| count(T::send(&sock, &mut msg, len).inspect_err(|_| msg.rewind())?))
    }

    /// # Safety
    ///
    /// To be called by the socket layer only, as `proto_ops::recvmsg`.
    unsafe extern "C" fn recvmsg(
        socket: *mut bindings::socket,
        msg: *mut bindings::msghdr,
        _len: usize,
        flags: c_int,
    ) -> c_int {
        // CAST: Flags are bits.
        let flags = MsgFlags::from_raw(flags as u32);
        // SAFETY: The socket is open during the call, and `msg` is ours until then, a destination.
        // Its name is null or the socket layer's, with room for any address.
        let (sock, mut msg) =
            unsafe { (Open::<T>::from_raw(socket), RecvMsg::from_raw(msg, flags)) };

        from_result(|| count(T::receive(&sock, &mut msg)?))
    }
}
