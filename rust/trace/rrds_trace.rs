// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of rrds, as safe functions.
//!
//! The events are C, because the kernel makes them of macros (`drivers/rrds/tracepoints.h`); `bindgen`
//! reads that header, so that what is called here has the types that C gave it. As long as nobody
//! listens to an event, a call costs one instruction that does nothing: the arguments are not even
//! computed, as far as the compiler can tell that it does not matter.
//!
//! Any context but that of an NMI, with any lock held: nothing sleeps.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

/// What `bindgen` makes of the header with the events.
#[allow(
    clippy::all,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_upper_case_globals,
    unreachable_pub
)]
mod bindings {
    use kernel::bindings::*;

    include!(concat!(env!("KRDMA_OBJ"), "/rust/trace/trace_generated.rs"));
}

/// Calls a tracepoint if anybody listens.
macro_rules! fire {
    ($event:ident($($arg:expr),* $(,)?)) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        kernel::macros::paste! {
            // SAFETY: C defines the tracepoint and its static key, in the same module.
            let listened = unsafe {
                kernel::jump_label::static_branch_unlikely!(
                    crate::bindings::[<__tracepoint_ $event>],
                    kernel::bindings::tracepoint,
                    key
                )
            };

            if listened {
                // SAFETY: The function copies what its arguments point to, and `bindgen` has checked
                // their types. Pointers are made of references to arrays, of the length that the event
                // copies: 16 bytes of an address, 48 of a header.
                unsafe { crate::bindings::[<rust_do_trace_ $event>]($($arg),*) };
            }
        }
        #[cfg(not(CONFIG_TRACEPOINTS))]
        {
            $(let _ = $arg;)*
        }
    }};
}

/// [`fire`], for events that begin with a path.
macro_rules! on_path {
    ($event:ident($path:expr $(, $arg:expr)* $(,)?)) => {
        fire!($event($path.local.as_ptr(), $path.peer.as_ptr(), $path.tos $(, $arg)*))
    };
}

/// [`fire`], for events of a message on a path.
macro_rules! on_message {
    ($event:ident($path:expr, $message:expr $(, $arg:expr)* $(,)?)) => {
        on_path!($event(
            $path,
            $message.sport,
            $message.dport,
            $message.seq,
            $message.len
            $(, $arg)*
        ))
    };
}

macro_rules! numbers {
    ($(#[$attr:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:ident,)* }) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$doc])* $variant = bindings::$value,)*
        }
    };
}

numbers! {
    /// State of a connection.
    State {
        /// There is none.
        Down = RRDS_STATE_DOWN,
        /// Our request is on its way.
        Dialing = RRDS_STATE_DIALING,
        /// A request of the peer is accepted.
        Accepting = RRDS_STATE_ACCEPTING,
        /// Established.
        Up = RRDS_STATE_UP,
        /// Being taken down.
        Closing = RRDS_STATE_CLOSING,
    }
}

numbers! {
    /// Why a connection is given up, a message dropped or a request refused.
    Why {
        /// It is not.
        None = RRDS_WHY_NONE,
        /// A frame without a header.
        Truncated = RRDS_WHY_TRUNCATED,
        /// A header with a wrong checksum.
        Checksum = RRDS_WHY_CHECKSUM,
        /// A fragment of another message.
        FragmentMismatch = RRDS_WHY_FRAGMENT_MISMATCH,
        /// A fragment with too little data.
        FragmentShort = RRDS_WHY_FRAGMENT_SHORT,
        /// A message that is too long.
        TooLong = RRDS_WHY_TOO_LONG,
        /// An acknowledgement of what was not sent.
        AckBeyondSent = RRDS_WHY_ACK_BEYOND_SENT,
        /// A completion of an unexpected kind.
        Opcode = RRDS_WHY_OPCODE,
        /// The connection manager or the queue pair failed, or the peer disconnected.
        Transport = RRDS_WHY_TRANSPORT,
        /// The peer rejected our request.
        Rejected = RRDS_WHY_REJECTED,
        /// There is no version that both speak.
        Version = RRDS_WHY_VERSION,
        /// The handshake took too long.
        Timeout = RRDS_WHY_TIMEOUT,
        /// A request of the peer takes its place.
        Superseded = RRDS_WHY_SUPERSEDED,
        /// There is no memory.
        NoMemory = RRDS_WHY_NO_MEMORY,
        /// This host asked for it.
        Local = RRDS_WHY_LOCAL,
        /// No socket is bound to the destination.
        NoSock = RRDS_WHY_NO_SOCK,
        /// The socket is being closed.
        DeadSock = RRDS_WHY_DEAD_SOCK,
        /// It was received before.
        Duplicate = RRDS_WHY_DUPLICATE,
        /// A ping that cannot be answered.
        PingWithoutPort = RRDS_WHY_PING_WITHOUT_PORT,
        /// A congestion map of the wrong length.
        MapLength = RRDS_WHY_MAP_LENGTH,
        /// Its socket cancelled it, or was closed.
        Cancelled = RRDS_WHY_CANCELLED,
        /// It can't be sent, or not again.
        Unsendable = RRDS_WHY_UNSENDABLE,
        /// A request whose private data makes no sense.
        PrivateData = RRDS_WHY_PRIVATE_DATA,
        /// A request that claims to come from, or go to, another address.
        WrongAddress = RRDS_WHY_WRONG_ADDRESS,
        /// A request by a device that does not carry RDS.
        NoDevice = RRDS_WHY_NO_DEVICE,
        /// A request that meets ours, or comes while the path is taken down.
        Race = RRDS_WHY_RACE,
    }
}

numbers! {
    /// What happens to a port.
    Port {
        /// A socket of this host has received too much: peers are told.
        Congested = RRDS_PORT_CONGESTED,
        /// It has not any more.
        Freed = RRDS_PORT_FREED,
        /// A sender that does not wait was refused.
        Refused = RRDS_PORT_REFUSED,
        /// A sender waits.
        Blocked = RRDS_PORT_BLOCKED,
    }
}

/// An address: 16 bytes in network order, IPv4 in its mapped form.
pub type Addr = [u8; 16];

/// Which path.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    /// Our address.
    pub local: &'a Addr,
    /// The peer's address.
    pub peer: &'a Addr,
    /// The type of service.
    pub tos: u8,
}

/// Which message.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Port of the socket that sent it.
    pub sport: u16,
    /// Port of the socket that it is for.
    pub dport: u16,
    /// Its number on the path.
    pub seq: u64,
    /// Bytes of data.
    pub len: u32,
}

/// A connection came up. `attempts` counts those since the last one was up.
#[inline(always)]
pub fn connect(path: &Path<'_>, conn: u32, initiator: bool, qp: u32, attempts: u32) {
    on_path!(rrds_connect(path, conn, initiator, qp, attempts));
}

/// The state of a connection has changed; `why` is of interest if it is being closed.
#[inline(always)]
pub fn state(path: &Path<'_>, conn: u32, from: State, to: State, why: Why) {
    on_path!(rrds_state(path, conn, from as u32, to as u32, why as u32));
}

/// A request of a peer was refused.
#[inline(always)]
pub fn refuse(path: &Path<'_>, why: Why) {
    on_path!(rrds_refuse(path, why as u32));
}

/// A message was taken over from a socket.
#[inline(always)]
pub fn send(path: &Path<'_>, message: &Message) {
    on_message!(rrds_send(path, message));
}

/// A message is sent again, on a new connection.
#[inline(always)]
pub fn retransmit(path: &Path<'_>, message: &Message) {
    on_message!(rrds_retransmit(path, message));
}

/// A message was put in the queue of a socket.
#[inline(always)]
pub fn receive(path: &Path<'_>, message: &Message) {
    on_message!(rrds_receive(path, message));
}

/// A message, or a frame that may be of one, was dropped.
#[inline(always)]
pub fn drop(path: &Path<'_>, message: &Message, why: Why) {
    on_message!(rrds_drop(path, message, why as u32));
}

/// A frame was posted, with `data_len` bytes behind its header.
#[inline(always)]
pub fn frame_send(path: &Path<'_>, conn: u32, header: &[u8; 48], data_len: u32) {
    on_path!(rrds_frame_send(path, conn, header.as_ptr(), data_len));
}

/// A frame came in, with `data_len` bytes behind its header, which was not looked at yet.
#[inline(always)]
pub fn frame_receive(path: &Path<'_>, conn: u32, header: &[u8; 48], data_len: u32) {
    on_path!(rrds_frame_receive(path, conn, header.as_ptr(), data_len));
}

/// The peer, which had acknowledged all messages up to number `from`, has those up to `to`.
#[inline(always)]
pub fn ack(path: &Path<'_>, from: u64, to: u64) {
    on_path!(rrds_ack(path, from, to));
}

/// Something has happened to a port of an address, be it ours or a peer's.
#[inline(always)]
pub fn congestion(addr: &Addr, port: u16, what: Port) {
    fire!(rrds_congestion(addr.as_ptr(), port, what as u32));
}

/// A piece of the peer's congestion map came in.
#[inline(always)]
pub fn map(path: &Path<'_>, offset: u32, len: u32) {
    on_path!(rrds_map(path, offset, len));
}
