// SPDX-License-Identifier: GPL-2.0

//! A socket that knows which memory the kernel and peers may access.

use super::args;
use super::{Cookie, Memory, Operation, OperationFlags, Piece, Region, RegionFlags};
use crate::addr::Raw;
use crate::cmsg::{self, Control};
use crate::{Received, RecvFlags, SendFlags, Socket};
use rds_proto::uapi::cmsg::RDMA_MAP;
use rds_proto::uapi::option::{FREE_MR, GET_MR, GET_MR_FOR_DEST};
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `RDS_RDMA_INVALIDATE`, of FREE_MR.
const INVALIDATE: u64 = 0x04;

/// The calls that name memory to the kernel. Only [`Socket`] makes them, but for tests.
pub trait Calls {
    #[doc(hidden)]
    fn send(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        control: &[u8],
        flags: SendFlags,
    ) -> io::Result<usize>;

    #[doc(hidden)]
    fn set_option(&self, name: i32, value: &[u8]) -> io::Result<()>;

    #[doc(hidden)]
    fn receive(&self, data: &mut [IoSliceMut<'_>], flags: RecvFlags) -> io::Result<Received>;
}

impl Calls for Socket {
    fn send(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        control: &[u8],
        flags: SendFlags,
    ) -> io::Result<usize> {
        self.send_raw(data, to, control, flags)
    }

    fn set_option(&self, name: i32, value: &[u8]) -> io::Result<()> {
        self.set(name, value)
    }

    fn receive(&self, data: &mut [IoSliceMut<'_>], flags: RecvFlags) -> io::Result<Received> {
        self.recv_message(data, flags)
    }
}

/// What a [`Control::RdmaStatus`] names an operation by.
pub type Token = u64;

/// A name that no other operation has: several sockets may be the same to the kernel, in several processes.
fn fresh() -> Token {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) & ((1 << 40) - 1);
    (u64::from(std::process::id()) << 40) | number
}

/// Memory that has to stay, and for what.
#[derive(Default)]
struct Table {
    /// Operations whose status is to come.
    awaited: HashMap<Token, Vec<Memory>>,
    /// Of operations of which nobody will know when they are done; each memory once.
    unknown: Vec<Memory>,
    /// Of regions that are given up and that the device may know still.
    lingering: Vec<Memory>,
}

impl Table {
    fn keep(&mut self, operation: &Operation) -> Token {
        let token = fresh();
        if operation.flags().contains(OperationFlags::NOTIFY_ME) {
            let memory = operation.memory().cloned().collect();
            self.awaited.insert(token, memory);
        } else {
            for memory in operation.memory() {
                if !self.unknown.iter().any(|known| known.is_same(memory)) {
                    self.unknown.push(memory.clone());
                }
            }
        }
        token
    }
}

/// A socket and its table.
pub(super) struct Shared<C: Calls> {
    calls: C,
    table: Mutex<Table>,
}

impl<C: Calls> Shared<C> {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a region up.
    pub(super) fn free(&self, cookie: Cookie, invalidate: bool) -> io::Result<()> {
        let flags = if invalidate { INVALIDATE } else { 0 };
        let args = args::free_mr(cookie.0, flags);
        self.calls.set_option(FREE_MR, &args)
    }

    /// Keeps memory until the device has forgotten all regions that were given up.
    pub(super) fn linger(&self, memory: Memory) {
        self.table().lingering.push(memory);
    }

    /// Has the device forget all regions that were given up.
    pub(super) fn flush(&self) -> io::Result<()> {
        // What comes to linger from now on may be forgotten or not.
        let lingering = mem::take(&mut self.table().lingering);
        let result = self.calls.set_option(FREE_MR, &args::free_mr(0, 0));
        if result.is_err() {
            self.table().lingering.extend(lingering);
        }
        result
    }
}

impl<C: Calls> Drop for Shared<C> {
    fn drop(&mut self) {
        let table = self.table.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody will tell any more when it is not accessed.
        mem::forget(mem::take(&mut table.awaited));
        mem::forget(mem::take(&mut table.unknown));
        mem::forget(mem::take(&mut table.lingering));
    }
}

/// An RDS socket for RDMA. Clones are the same socket.
pub struct RdmaSocket<C: Calls = Socket> {
    shared: Arc<Shared<C>>,
}

impl<C: Calls> Clone for RdmaSocket<C> {
    fn clone(&self) -> Self {
        let shared = self.shared.clone();
        Self { shared }
    }
}

impl RdmaSocket {
    /// The socket, for everything else.
    ///
    /// A status that is received by the socket's own methods is missed here: then the operation's memory is
    /// kept until the socket is closed.
    pub fn socket(&self) -> &Socket {
        &self.shared.calls
    }
}

impl<C: Calls> RdmaSocket<C> {
    /// Uses the socket for RDMA, too. What it has sent and registered before is not known here.
    pub fn new(socket: C) -> Self {
        Self {
            shared: Arc::new(Shared {
                calls: socket,
                table: Mutex::default(),
            }),
        }
    }

    /// Registers memory for the socket's peers: `RDS_GET_MR`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`: not bound. `EOPNOTSUPP`: the transport has no RDMA, or, in the C implementation, the
    /// device needs a connection to register memory. `EINVAL`: an empty piece. `EMSGSIZE`: more than 1 MiB
    /// and a page. `EPERM`, `ENOMEM`: the limit of locked memory. `EFAULT`: it cannot be pinned. `ENODEV`,
    /// `EBUSY`.
    pub fn register(&self, piece: Piece, flags: RegionFlags) -> io::Result<Region<C>> {
        self.made(piece, flags, |calls, args| calls.set_option(GET_MR, &args))
    }

    /// Registers memory for one peer: `RDS_GET_MR_FOR_DEST`.
    ///
    /// # Errors
    ///
    /// As [`RdmaSocket::register`].
    pub fn register_for(
        &self,
        peer: SocketAddr,
        piece: Piece,
        flags: RegionFlags,
    ) -> io::Result<Region<C>> {
        self.made(piece, flags, |calls, args| {
            let name = Raw::from(peer);
            let args = args::get_mr_for_dest(name.as_bytes(), &args);
            calls.set_option(GET_MR_FOR_DEST, &args)
        })
    }

    /// Registers memory and sends a message with its cookie, which the peer receives as
    /// [`Control::RdmaDest`]: `RDS_CMSG_RDMA_MAP`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` also if the connection is not up; it begins to be made. Otherwise as
    /// [`RdmaSocket::register`] and [`Socket::send_message`].
    pub fn send_map(
        &self,
        data: &[IoSlice<'_>],
        to: SocketAddr,
        piece: Piece,
        region: RegionFlags,
        flags: SendFlags,
    ) -> io::Result<Region<C>> {
        self.made(piece, region, |calls, args| {
            let mut control = Vec::new();
            cmsg::put(&mut control, RDMA_MAP, &args);
            calls.send(data, Some(to), &control, flags).map(drop)
        })
    }

    fn made(
        &self,
        piece: Piece,
        flags: RegionFlags,
        call: impl FnOnce(&C, [u8; 32]) -> io::Result<()>,
    ) -> io::Result<Region<C>> {
        let cookie = AtomicU64::new(0);
        // The cast exposes the pointer: the kernel writes there in the call.
        let cookie_addr = cookie.as_ptr() as usize as u64;
        let len = piece.len() as u64;
        let args = args::get_mr(piece.addr(), len, cookie_addr, flags.number());
        let result = call(&self.shared.calls, args);
        let cookie = cookie.load(Ordering::Relaxed);
        if let Err(error) = result {
            if cookie != 0 {
                // It was made, and went again; the device may know it still.
                self.shared.linger(piece.memory().clone());
            }
            return Err(error);
        }
        let shared = self.shared.clone();
        Ok(Region::new(shared, piece, Cookie(cookie), flags))
    }

    /// Has the device forget regions that were given up without INVALIDATE, those of all sockets:
    /// `RDS_FREE_MR` of cookie 0.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the socket has no transport, or one without RDMA.
    pub fn flush_regions(&self) -> io::Result<()> {
        self.shared.flush()
    }

    /// Sends a message with an operation, which is done before the message arrives. Its memory is kept until
    /// its status has been received by [`RdmaSocket::recv_message`]; see
    /// [`OperationFlags::NOTIFY_ME`].
    ///
    /// # Errors
    ///
    /// `EINVAL`: no pieces, an empty one, or more bytes than [`Operation::remote_bytes`] says. `EMSGSIZE`:
    /// more than 1 MiB, or than [`MAX_PIECES`](super::MAX_PIECES). `EOPNOTSUPP`: the transport or the
    /// device has no such operation. `EFAULT`: memory cannot be pinned, or that of an atomic is not
    /// aligned. `InvalidInput`: an atomic with fewer than eight bytes. Otherwise as
    /// [`Socket::send_message`].
    pub fn operate(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        operation: &Operation,
        flags: SendFlags,
    ) -> io::Result<Token> {
        // Before the call: its status may be received by another thread before the call ends.
        let token = self.shared.table().keep(operation);
        let sent = operation.encode(token).and_then(|(control, list)| {
            let sent = self.shared.calls.send(data, to, &control, flags);
            // The list is read in the call.
            drop(list);
            sent
        });
        match sent {
            Ok(_) => Ok(token),
            Err(error) => {
                // That one comes although the message is queued (spec-sendmsg, row 14).
                if error.raw_os_error() != Some(libc::ENETUNREACH) {
                    self.shared.table().awaited.remove(&token);
                }
                Err(error)
            }
        }
    }

    /// Receives a message, or notices. Of operations whose status comes the memory is not kept any more.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv_message`].
    pub fn recv_message(
        &self,
        data: &mut [IoSliceMut<'_>],
        flags: RecvFlags,
    ) -> io::Result<Received> {
        let received = self.shared.calls.receive(data, flags)?;
        for control in &received.control {
            if let Control::RdmaStatus { token, .. } = control {
                self.shared.table().awaited.remove(token);
            }
        }
        Ok(received)
    }

    /// The same into one buffer.
    ///
    /// # Errors
    ///
    /// As [`RdmaSocket::recv_message`].
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.recv_message(&mut [IoSliceMut::new(buffer)], RecvFlags::NONE)
    }

    /// How many operations there are whose status has not been received.
    pub fn pending(&self) -> usize {
        self.shared.table().awaited.len()
    }
}
