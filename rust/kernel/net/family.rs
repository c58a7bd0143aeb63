// SPDX-License-Identifier: GPL-2.0

//! Protocol families: what makes sockets.
//!
//! A family is a type that implements [`Family`]; each of its values belongs to one socket. It is
//! registered by a [`Registration`], commonly the last field that the module's own struct initializes,
//! since sockets can be made from then on.
//!
//! ```ignore
//! use kernel::prelude::*;
//! use krdma::net::{family::Registration, Family, Namespace, Open, Request, SocketData};
//!
//! struct Example;
//!
//! impl SocketData for Example {
//!     type Locked = ();
//! }
//!
//! #[vtable]
//! impl Family for Example {
//!     const NAME: &'static CStr = c"EXAMPLE";
//!     type Shared = ();
//!
//!     fn create(
//!         _shared: &(),
//!         _ns: &Namespace,
//!         request: &Request,
//!     ) -> Result<(impl PinInit<Self, Error>, ())> {
//!         if request.kind != Request::DGRAM {
//!             return Err(ESOCKTNOSUPPORT);
//!         }
//!         Ok((Ok(Self), ()))
//!     }
//! }
//!
//! krdma::family_slot!(Example);
//! ```
//!
//! # Lifetimes
//!
//! An open socket keeps the module, so that it can't be unloaded; so does each `ARef<Sock<_>>`. To
//! drop a [`Registration`] ends the making of sockets, and waits until there is none left, which is
//! so at once when the module is unloaded.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h),
//! [`include/net/sock.h`](srctree/include/net/sock.h)

mod registration;

pub use registration::{
    HasSlot,
    Registration,
    Slot, //
};

use super::{
    sock::SocketData,
    Events,
    Name,
    NameIn,
    Namespace,
    Open,
    OptionIn,
    OptionOut,
    RecvMsg,
    SendMsg,
    Sock, //
};
use crate::bindings;
use kernel::{
    build_error,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

/// What socket(2) asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The type of the socket, such as [`Request::DGRAM`].
    pub kind: i32,
    /// The protocol within the family.
    pub protocol: i32,
    /// Whether the kernel asks for itself.
    pub kernel: bool,
}

impl Request {
    /// `SOCK_DGRAM`.
    pub const DGRAM: i32 = bindings::sock_type_SOCK_DGRAM as i32;
    /// `SOCK_SEQPACKET`.
    pub const SEQPACKET: i32 = bindings::sock_type_SOCK_SEQPACKET as i32;
}

/// A protocol family, and the data of one of its sockets.
///
/// Methods that are left out fail as sockets do that can't do what they are for: with
/// [`EOPNOTSUPP`] most of them, [`ENOIOCTLCMD`] (in user space [`ENOTTY`]) for `ioctl`.
///
/// # Context
///
/// All of them are called in process context and may sleep, without any lock of the socket. Calls for
/// one socket may run at the same time. The value itself is dropped in any context, with the last
/// reference to the socket: what has to sleep belongs in [`release`](Family::release).
#[vtable]
pub trait Family: SocketData {
    /// The protocol's name, as `/proc/net/protocols` shows it: at most 31 bytes.
    const NAME: &'static CStr;

    /// What all sockets share, given at registration.
    type Shared: Send + Sync + 'static;

    /// The number that the family was to be registered under is another's: tell the administrator.
    ///
    /// [`Registration::new`] fails with [`EEXIST`] after this.
    fn taken(number: u8) {
        pr_err!(
            "{}: address family {number} is taken by another module\n",
            Self::NAME
        );
    }

    /// Makes the data of a new socket.
    ///
    /// Errors become those of socket(2). [`ESOCKTNOSUPPORT`] is for a type, and mostly also for a
    /// protocol, that the family does not have.
    fn create(
        shared: &Self::Shared,
        ns: &Namespace,
        request: &Request,
    ) -> Result<(impl PinInit<Self, Error>, Self::Locked)>;

    /// The socket was made; now there can be references to it.
    ///
    /// Errors become those of socket(2); the socket is dropped then.
    fn created(sock: &Sock<Self>) -> Result {
        let _ = sock;
        Ok(())
    }

    /// The socket is being closed. It can't be waited for any more, and no other call comes.
    ///
    /// What refers to the socket is to be let go of here, or the socket stays.
    fn release(sock: &Sock<Self>) {
        let _ = sock;
    }

    /// Binds the socket to an address.
    fn bind(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        let _ = (sock, name);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Connects the socket to an address.
    fn connect(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        let _ = (sock, name);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the address of the socket, or of its peer.
    fn name(sock: &Open<'_, Self>, peer: bool) -> Result<Name> {
        let _ = (sock, peer);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sends a message of `len` bytes and returns how many were sent.
    fn send(sock: &Open<'_, Self>, msg: &mut SendMsg<'_>, len: usize) -> Result<usize> {
        let _ = (sock, msg, len);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Receives a message and returns how many bytes were received.
    fn receive(sock: &Open<'_, Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        let _ = (sock, msg);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns what poll(2) tells. Who polls is told again when the socket is woken.
    fn poll(sock: &Open<'_, Self>) -> Events {
        let _ = sock;
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Answers ioctl(2). `arg` is a number or, mostly, an address in user space.
    fn ioctl(sock: &Open<'_, Self>, cmd: u32, arg: usize) -> Result<i32> {
        let _ = (sock, cmd, arg);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets an option of any level but `SOL_SOCKET`.
    fn set_option(sock: &Open<'_, Self>, level: i32, name: i32, value: OptionIn<'_>) -> Result {
        let _ = (sock, level, name, value);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Gets an option of any level but `SOL_SOCKET`. The result is what getsockopt(2) returns. The
    /// length is told to the caller even if this fails.
    fn option(
        sock: &Open<'_, Self>,
        level: i32,
        name: i32,
        value: &mut OptionOut<'_>,
    ) -> Result<i32> {
        let _ = (sock, level, name, value);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Ends one or both directions.
    fn shutdown(sock: &Open<'_, Self>, how: i32) -> Result {
        let _ = (sock, how);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts to listen.
    fn listen(sock: &Open<'_, Self>, backlog: i32) -> Result {
        let _ = (sock, backlog);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
