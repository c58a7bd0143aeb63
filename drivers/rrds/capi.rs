// SPDX-License-Identifier: GPL-2.0

//! The interface for modules in C: `include/rrds.h`, which says what each function does.
//!
//! Everything is done by [`api`](crate::api); here pointers become references and errors numbers. This is
//! the one file of the module with `unsafe` code: what C promises can't be checked.

#![allow(unsafe_code)]

use crate::{
    api::{
        Data,
        Handled,
        Handler,
        Message,
        Outcome,
        Peer,
        Queued,
        Socket,
        Transport,
        Turn,
        FRAGMENT, //
    },
    message::Incoming, //
};
use core::{
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    mem::ManuallyDrop,
    net::SocketAddr,
    ptr,
    slice, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::from_result,
    module::this_module,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
    time::Delta, //
};
use krdma::net::{
    Name,
    NameIn,
    Namespace,
    Timeout, //
};
use rds_proto::{
    consts::MAX_MESSAGE_LEN,
    uapi::option::transport, //
};

/// `RRDS_FOREVER`
const FOREVER: c_uint = c_uint::MAX;

/// `struct rrds_socket`
pub(crate) struct CSocket {
    mode: Mode,
}

enum Mode {
    Queued(Socket<Queued>),
    Handled(Socket<Handled>),
}

/// `struct rrds_message`
pub(crate) enum CMessage {}

/// Hands a message to C.
fn give(message: Message) -> *const CMessage {
    Arc::<Incoming>::into_raw(message.into_arc()).cast()
}

/// Takes a message that C has, and does not have any more.
///
/// # Safety
///
/// `message` must be from [`give`], and not have been taken yet.
unsafe fn take(message: *const CMessage) -> Message {
    // SAFETY: By the function's requirements.
    Message::from_arc(unsafe { Arc::<Incoming>::from_raw(message.cast()) })
}

/// Returns a message that C has and keeps.
///
/// # Safety
///
/// As for [`take`]; the message must stay C's as long as the result is used.
unsafe fn look(message: *const CMessage) -> ManuallyDrop<Message> {
    // SAFETY: By the function's requirements; it is not dropped.
    ManuallyDrop::new(unsafe { take(message) })
}

/// Evaluates an expression with the socket, of either kind.
macro_rules! with {
    ($this:expr, $socket:ident => $do:expr) => {
        match &$this.mode {
            Mode::Queued($socket) => $do,
            Mode::Handled($socket) => $do,
        }
    };
}

/// `struct kvec`
#[repr(C)]
pub(crate) struct Kvec {
    base: *const c_void,
    len: usize,
}

/// `struct sockaddr_storage`
#[repr(C, align(8))]
pub(crate) struct Storage([u8; 128]);

type Received = unsafe extern "C" fn(*const CSocket, *mut c_void, *const CMessage);
type Sent = unsafe extern "C" fn(*const CSocket, *mut c_void, u64, c_uint);
type Room = unsafe extern "C" fn(*const CSocket, *mut c_void);
type PeerChanged = unsafe extern "C" fn(*const CSocket, *mut c_void, *const Storage, u8, bool);

/// `struct rrds_ops`
#[repr(C)]
pub(crate) struct Ops {
    received: Option<Received>,
    sent: Option<Sent>,
    room: Option<Room>,
    peer: Option<PeerChanged>,
}

/// Calls the functions of a module.
///
/// # Invariants
///
/// `ops` is valid as long as the socket, and its functions may be called with `context`. `socket` is null
/// before the socket is bound, and afterwards the one that this is the handler of.
struct Calls {
    ops: *const Ops,
    received: Received,
    context: *mut c_void,
    socket: Atomic<*const CSocket>,
}

// SAFETY: By what `rrds_open()` asks of its caller, the functions may be called by any processor.
unsafe impl Send for Calls {}

// SAFETY: As above; they are not called at the same time.
unsafe impl Sync for Calls {}

impl Calls {
    fn ops(&self) -> &Ops {
        // SAFETY: By the type invariant.
        unsafe { &*self.ops }
    }

    fn socket(&self) -> *const CSocket {
        self.socket.load(Relaxed)
    }
}

impl Handler for Calls {
    fn received(&self, _turn: &Turn<'_>, message: Message) {
        // SAFETY: By the type invariant. The message is the callee's.
        unsafe { (self.received)(self.socket(), self.context, give(message)) };
    }

    fn sent(&self, _turn: &Turn<'_>, token: u64, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Delivered => 0,
            Outcome::Cancelled => 1,
            Outcome::Dropped => 2,
        };

        if let Some(sent) = self.ops().sent {
            // SAFETY: By the type invariant.
            unsafe { sent(self.socket(), self.context, token, outcome) };
        }
    }

    fn room(&self, _turn: &Turn<'_>) {
        if let Some(room) = self.ops().room {
            // SAFETY: By the type invariant.
            unsafe { room(self.socket(), self.context) };
        }
    }

    fn peer(&self, _turn: &Turn<'_>, change: Peer) {
        if let Some(peer) = self.ops().peer {
            let mut addr = Storage([0; 128]);
            put(SocketAddr::new(change.addr, 0), &mut addr);

            // SAFETY: By the type invariant; the address is valid during the call.
            unsafe { peer(self.socket(), self.context, &addr, change.tos, change.is_up) };
        }
    }
}

/// Writes an address, and returns its length.
fn put(addr: SocketAddr, to: &mut Storage) -> c_int {
    let name = match addr {
        SocketAddr::V4(addr) => Name::V4(addr),
        SocketAddr::V6(addr) => Name::V6(addr),
    };
    let (raw, len) = name.to_raw();

    for (to, from) in to.0.iter_mut().zip(raw) {
        *to = from;
    }
    // CAST: Addresses are short.
    len as c_int
}

/// Reads an address.
///
/// # Safety
///
/// `addr` must be null, or `len` bytes must be valid for reads there.
unsafe fn get(addr: *const c_void, len: c_int) -> Result<Option<SocketAddr>> {
    if addr.is_null() {
        return Ok(None);
    }
    let len = usize::try_from(len).map_err(|_| EINVAL)?;
    // SAFETY: By the function's requirements.
    let name = NameIn::new(unsafe { slice::from_raw_parts(addr.cast(), len) });

    match name.family() {
        Some(NameIn::INET) => Ok(Some(name.v4().ok_or(EINVAL)?.into())),
        Some(NameIn::INET6) => Ok(Some(name.v6().ok_or(EINVAL)?.into())),
        _ => Err(EINVAL),
    }
}

/// Reads an address that must be there.
///
/// # Safety
///
/// As for [`get`].
unsafe fn get_one(addr: *const c_void, len: c_int) -> Result<SocketAddr> {
    // SAFETY: By the function's requirements.
    unsafe { get(addr, len) }?.ok_or(EINVAL)
}

fn timeout(ms: c_uint) -> Timeout {
    match ms {
        0 => Timeout::NONE,
        FOREVER => Timeout::FOREVER,
        ms => Timeout::new(Delta::from_millis(ms.into())),
    }
}

/// The sockets of modules in C belong to rrds: they are gone when `rrds_close` returns.
fn owner() -> &'static ThisModule {
    this_module::<crate::LocalModule>()
}

/// Returns 0, or the number of an error.
fn done(result: Result) -> c_int {
    from_result(|| result.map(|()| 0))
}

/// Returns a pointer, or the number of an error as `ERR_PTR()` does.
fn pointer<T>(result: Result<*mut T>) -> *mut T {
    match result {
        Ok(pointer) => pointer,
        // CAST: The top of the address space.
        Err(err) => ptr::without_provenance_mut(err.to_errno() as isize as usize),
    }
}

/// # Safety
///
/// See `include/rrds.h`. `ops` must be null or valid as long as the socket.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_open(
    ns: Option<&Namespace>,
    ops: *const Ops,
    context: *mut c_void,
) -> *mut CSocket {
    let open = || {
        let ns = ns.ok_or(EINVAL)?;
        if ops.is_null() {
            let mode = Mode::Queued(Socket::new(owner(), ns)?);
            return Ok(KBox::into_raw(KBox::new(CSocket { mode }, GFP_KERNEL)?));
        }

        // SAFETY: By the function's requirements.
        let received = unsafe { (*ops).received }.ok_or(EINVAL)?;
        // INVARIANT: The caller guarantees all but `socket`, which is null.
        let calls = Arc::new(
            Calls {
                ops,
                received,
                context,
                socket: Atomic::new(ptr::null()),
            },
            GFP_KERNEL,
        )?;
        let mode = Mode::Handled(Socket::with_handler(owner(), ns, calls.clone())?);
        let socket = KBox::into_raw(KBox::new(CSocket { mode }, GFP_KERNEL)?);
        // INVARIANT: It is not bound yet.
        calls.socket.store(socket, Relaxed);
        Ok(socket)
    };

    pointer(open())
}

/// # Safety
///
/// See `include/rrds.h`. Nobody may use the socket any more.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_close(socket: *mut CSocket, timeout_ms: c_uint) -> c_int {
    if socket.is_null() {
        return 0;
    }
    // SAFETY: By the function's requirements, it is one that `rrds_open` returned, and ours now.
    let mut socket = unsafe { KBox::from_raw(socket) };
    let drained = match timeout_ms {
        0 => Ok(()),
        ms => with!(socket, socket => socket.drain(timeout(ms))),
    };

    // The callbacks refer to the socket until they have ended.
    match &mut socket.mode {
        Mode::Queued(socket) => socket.shut(),
        Mode::Handled(socket) => socket.shut(),
    }
    drop(socket);
    krdma::settle(owner());
    done(drained)
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_bind(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
) -> c_int {
    // SAFETY: By the function's requirements.
    let addr = unsafe { get_one(addr, len) };

    done(addr.and_then(|addr| with!(socket, socket => socket.bind(addr))))
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_local(socket: &CSocket, addr: &mut Storage) -> c_int {
    match with!(socket, socket => socket.local()) {
        Some(local) => put(local, addr),
        None => ENOTCONN.to_errno(),
    }
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_connect(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
) -> c_int {
    // SAFETY: By the function's requirements.
    let addr = unsafe { get_one(addr, len) };

    done(addr.and_then(|addr| with!(socket, socket => socket.connect(addr))))
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_set_tos(socket: &CSocket, tos: u8) -> c_int {
    done(with!(socket, socket => socket.set_tos(tos)))
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_choose_transport(socket: &CSocket, number: c_int) -> c_int {
    let transport = match number {
        transport::RDMA => Transport::Rdma,
        transport::TCP => Transport::Tcp,
        _ => return done(Err(EINVAL)),
    };

    done(with!(socket, socket => socket.choose_transport(transport)))
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_set_limits(socket: &CSocket, send: u32, receive: u32) {
    with!(socket, socket => socket.set_limits(send, receive))
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_prepare(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
) -> c_int {
    // SAFETY: By the function's requirements.
    let addr = unsafe { get_one(addr, len) };

    done(addr.and_then(|addr| with!(socket, socket => socket.prepare(addr))))
}

/// The pieces of memory of a message.
///
/// # Safety
///
/// `parts` must have `count` elements, and each so many bytes as it says, for `'a`.
unsafe fn gather<'a>(
    parts: *const Kvec,
    count: c_uint,
    flags: kernel::alloc::Flags,
) -> Result<KVec<&'a [u8]>> {
    // CAST: It does not get smaller.
    let count = count as usize;
    let mut all = KVec::with_capacity(count, flags | __GFP_NOWARN)?;
    if count == 0 {
        return Ok(all);
    }

    // SAFETY: By the function's requirements.
    for part in unsafe { slice::from_raw_parts(parts, count) } {
        if part.len != 0 {
            // SAFETY: As above.
            let bytes = unsafe { slice::from_raw_parts(part.base.cast::<u8>(), part.len) };
            all.push(bytes, flags)?;
        }
    }
    Ok(all)
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_send(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
    parts: *const Kvec,
    count: c_uint,
    timeout_ms: c_uint,
) -> c_int {
    let send = || {
        // SAFETY: By the function's requirements.
        let (to, parts) = unsafe { (get(addr, len)?, gather(parts, count, GFP_KERNEL)?) };

        with!(socket, socket => socket.send_parts(to, &parts, timeout(timeout_ms)))
    };

    done(send())
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_send_atomic(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
    parts: *const Kvec,
    count: c_uint,
) -> c_int {
    let send = || {
        // SAFETY: By the function's requirements.
        let (to, parts) = unsafe { (get(addr, len)?, gather(parts, count, GFP_ATOMIC)?) };

        with!(socket, socket => socket.turn().send_parts(to, &parts))
    };

    done(send())
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_send_buffers(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
    buffers: *const *mut u8,
    bytes: usize,
    token: u64,
) -> c_int {
    let Mode::Handled(socket) = &socket.mode else {
        return EOPNOTSUPP.to_errno();
    };
    let send = || {
        // SAFETY: By the function's requirements.
        let to = unsafe { get(addr, len) }?;
        if bytes > u32_as_usize(MAX_MESSAGE_LEN) {
            return Err(EMSGSIZE);
        }
        let count = bytes.div_ceil(FRAGMENT);
        let mut pages = KVec::with_capacity(count, GFP_ATOMIC)?;
        let mut left = bytes;
        for index in 0..count {
            let part = left.min(FRAGMENT);
            left = left.saturating_sub(part);
            // SAFETY: By the function's requirements, there are so many buffers, of `FRAGMENT` bytes
            // each, made by `kmalloc()`, which is what the allocator of the vector is. If the message is
            // not taken they are given back below.
            let page = unsafe { KVec::from_raw_parts(*buffers.add(index), part, FRAGMENT) };
            // There is room.
            let _ = pages.push_within_capacity(page);
        }

        let data = Data::from_pages(pages, GFP_ATOMIC).map_err(|(err, pages)| {
            give_back(pages.into_iter());
            err
        })?;
        // With a token the data comes back with each error.
        socket
            .turn()
            .send_data(to, data, Some(token))
            .map_err(|(err, data)| {
                if let Some(data) = data {
                    give_back(data.into_pages());
                }
                err
            })
    };

    done(send())
}

/// Leaves memory to the caller, whose it was.
fn give_back(pages: impl Iterator<Item = KVec<u8>>) {
    for page in pages {
        let _theirs = ManuallyDrop::new(page);
    }
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_send_message(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
    message: *const CMessage,
) -> c_int {
    // SAFETY: By the function's requirements, it is one that C was given, and ours now.
    let message = unsafe { take(message) };
    let send = || {
        // SAFETY: By the function's requirements.
        let to = unsafe { get(addr, len) }?;
        let data = message.into_data(GFP_ATOMIC)?;

        with!(socket, socket => socket.turn().send_data(to, data, None)).map_err(|(err, _)| err)
    };

    done(send())
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_cancel(
    socket: &CSocket,
    addr: *const c_void,
    len: c_int,
) -> c_int {
    // SAFETY: By the function's requirements.
    let to = unsafe { get(addr, len) };

    done(to.and_then(|to| with!(socket, socket => socket.cancel(to))))
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_receive(
    socket: &CSocket,
    timeout_ms: c_uint,
) -> *const CMessage {
    let receive = || {
        let Mode::Queued(socket) = &socket.mode else {
            return Err(EOPNOTSUPP);
        };

        Ok(give(socket.receive(timeout(timeout_ms))?).cast_mut())
    };

    pointer(receive()).cast_const()
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_message_source(
    message: *const CMessage,
    addr: &mut Storage,
) -> c_int {
    // SAFETY: By the function's requirements.
    put(unsafe { look(message) }.source(), addr)
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_message_tos(message: *const CMessage) -> u8 {
    // SAFETY: By the function's requirements.
    unsafe { look(message) }.tos()
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_message_len(message: *const CMessage) -> usize {
    // SAFETY: By the function's requirements.
    unsafe { look(message) }.len()
}

/// # Safety
///
/// See `include/rrds.h`.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_message_at(
    message: *const CMessage,
    offset: usize,
    len: &mut usize,
) -> *const u8 {
    // SAFETY: By the function's requirements.
    let message = unsafe { look(message) };
    let bytes = message.at(offset);

    *len = bytes.len();
    if bytes.is_empty() {
        return ptr::null();
    }
    bytes.as_ptr()
}

/// # Safety
///
/// See `include/rrds.h`. Nobody may use the message any more.
#[no_mangle]
pub(crate) unsafe extern "C" fn rrds_message_free(message: *const CMessage) {
    if !message.is_null() {
        // SAFETY: By the function's requirements, it is one that C was given, and ours now.
        drop(unsafe { take(message) });
    }
}
