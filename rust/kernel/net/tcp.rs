// SPDX-License-Identifier: GPL-2.0

//! TCP sockets of kernel modules.
//!
//! A module listens by a [`Listener`], and is connected by a [`Connection`], which it makes or accepts. The
//! kernel's TCP calls the module back by a [`Handler`]: in softirq context, when bytes have come, when there is
//! room to send, and when the state changes. Nothing of it waits. A module that has to sleep leaves that to a
//! [`Job`](crate::work::Job).
//!
//! # Locks
//!
//! TCP has a lock for each socket. Callbacks run with that lock held, and with the read side of the lock of
//! the socket's callbacks. So they must not call methods of the same socket but those of [`Arrived`] and those
//! that do not sleep. All other methods take the socket's lock and sleep.
//!
//! # Lifetime
//!
//! A socket keeps its network namespace. When the owner is dropped, in any context, the socket is closed later,
//! but before the code of the module that it belongs to goes. No callback runs any more once it is closed;
//! [`Connection::close`] and [`Listener::close`] wait for that.
//!
//! C header: [`include/net/tcp.h`](srctree/include/net/tcp.h)

mod arrived;
mod connection;
mod hook;
mod listener;
mod options;
mod socket;
mod state;

pub use arrived::{
    Arrived,
    Bytes, //
};
pub use connection::{
    Connection,
    MAX_PIECES, //
};
pub(crate) use hook::Unload;
pub use listener::Listener;
pub use options::{
    Keepalive,
    Options, //
};
pub use state::State;

/// What is done about events of a socket.
///
/// # Context
///
/// Softirq, or process context with bottom halves off: also that of a method of the connection which is called
/// meanwhile. The socket's lock is held, except for [`write_space`](Self::write_space). The callbacks of one socket
/// may overlap. They must not sleep.
pub trait Handler: Send + Sync + 'static {
    /// Bytes have come, or the peer sends no more. What is not read by `arrived` may be read later, by [`Connection::read`].
    ///
    /// Bytes that came before the handler was there are not reported: who has accepted a connection reads
    /// once.
    fn data_ready(&self, arrived: &mut Arrived<'_>);

    /// There is room to send, or more was acknowledged. Called if a send had no room, and after
    /// [`Connection::want_space`].
    fn write_space(&self) {}

    /// The state has changed to this one.
    fn state_changed(&self, state: State) {
        let _ = state;
    }
}

/// What is done about connections that wait to be accepted.
pub trait Acceptor: Send + Sync + 'static {
    /// A connection waits for [`Listener::accept`].
    ///
    /// # Context
    ///
    /// That of [`Handler`], without the listener's lock.
    fn connection_waiting(&self);
}
