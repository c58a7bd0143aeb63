// SPDX-License-Identifier: GPL-2.0

//! AF_RDS sockets (spec-sockets).
//!
//! | Question | Module |
//! |---|---|
//! | What does a socket consist of? | [`Socket`]; its sending side in [`sent`] |
//! | Which module does what a system call asks for? | [`family`] |
//! | How is an address checked, and shown? | [`names`], [`bind`] |
//! | What is checked before a message is sent? | [`send`], [`control`] |
//! | What does sending wait for? | [`submit`] |
//! | How does a message come to a socket, what does recvmsg give, and in which order? | [`receive`] |
//! | Who is woken when? | [`notify`] |
//! | What can be set, got and asked? | [`options`] |
//! | Which memory may peers use, and what is a program told of operations? | [`rdma`], [`regions`] |
//! | Which memory is sent without a copy, and when is the program told that it is its own again? | [`lends`] |
//! | What carries messages? | [`seam`], [`loopback`] |
//! | Which sockets are there in a namespace? | [`directory`], [`tenant`] |
//! | What does a socket of the kernel's own have besides? | [`tap`] |

mod bind;
mod binds;
mod control;
mod directory;
mod family;
mod lends;
pub(crate) mod loopback;
pub(crate) mod names;
mod notify;
mod options;
mod rdma;
mod receive;
mod regions;
pub(crate) mod seam;
mod send;
mod sent;
mod submit;
pub(crate) mod tap;
mod tenant;

pub(crate) use bind::bind_to;
pub(crate) use notify::{
    attach,
    on_room,
    watch, //
};
pub(crate) use options::choose_transport;
pub(crate) use receive::{
    next_received,
    took, //
};
pub(crate) use send::{
    cancel,
    drain,
    in_order,
    next_ended,
    spares, //
};
pub(crate) use submit::Caller;
pub(crate) use tenant::Tenant;

use crate::{
    congestion::Port,
    message::{
        Endpoint,
        Incoming, //
    },
    registry::Seat,
    space::{
        Space,
        Tracing, //
    },
};
use directory::{
    Bound,
    Directory, //
};
use kernel::{
    list::List,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        SetOnce,
        SpinLockIrq, //
    },
};
use krdma::net::{
    Sock,
    SocketData, //
};
use lends::Lends;
use rds_proto::{
    account::{
        Change,
        Overhead,
        RecvAccount, //
    },
    cong::Monitor,
    uapi::{
        cmsg::MAX_TRACES,
        info::SocketInfo, //
    },
};
use regions::Regions;
use seam::{
    Chosen,
    Last, //
};
use sent::Sends;
use tap::Tap;

/// An AF_RDS socket.
#[pin_data]
pub(crate) struct Socket {
    space: Arc<Space>,
    directory: Arc<Directory<Self>>,
    #[pin]
    sends: SpinLockIrq<Sends>,
    #[pin]
    receives: SpinLockIrq<Receives>,
    /// The cookies of memory that it has lent.
    #[pin]
    lends: Lends,
    /// The addresses, for listings.
    #[pin]
    names: SpinLockIrq<Names>,
    /// The user who owns the user namespace that it was made in, if that is not the initial one.
    landlord: Option<u32>,
    /// The user who answers for what it takes.
    maker: Atomic<u32>,
    /// Its seat among all sockets.
    listed: Seat,
    /// Its seat among those that watch for congestion that ends.
    watching: Seat,
    /// Its seat among those that wait for room on a way that is crowded.
    crowded: Seat,
    /// Who is told what happens, if that is a module.
    tap: SetOnce<Arc<Tap>>,
    /// Its memory regions, and what it is told of operations, once it uses RDMA.
    rdma: SetOnce<Arc<Regions>>,
    /// Somebody waits until all that was sent has ended.
    closing: Atomic<bool>,
}

/// The addresses of a socket. Those in [`Locked`] are what counts.
#[derive(Clone, Copy, Default)]
struct Names {
    bound: Option<Endpoint>,
    connected: Option<Endpoint>,
}

/// What the socket's lock protects.
#[derive(Default)]
pub(crate) struct Locked {
    bound: Option<Bound<Socket>>,
    connected: Option<Endpoint>,
    /// The interface that was named last, by the bound address or the connected one. It is what addresses
    /// are checked against and shown with; what the socket owns by a bind is told by `bound`.
    scope: u32,
    tos: u8,
    /// What it is bound to, or is to be.
    transport: Option<Chosen>,
    /// The number of the one that the program has chosen, whatever became of that.
    chosen: Option<i32>,
    last: Last,
    recverr: bool,
}

/// The receiving side of a socket.
struct Receives {
    /// The socket is closed: nothing is delivered any more.
    dead: bool,
    queue: List<Incoming>,
    account: RecvAccount,
    monitor: Monitor,
    /// A message was refused because of congestion, and no map has changed since.
    refused: bool,
    /// A map has changed since a message was refused.
    updated: bool,
    /// How others are told of this socket's congestion, once it is bound.
    port: Option<Port>,
    /// How much more than `SO_RCVBUF` says it may have in memory.
    overhead: Overhead,
    /// What RXPATH_LATENCY asks for.
    traces: [u8; MAX_TRACES],
    traced: u8,
    tracing: Option<Tracing>,
}

impl SocketData for Socket {
    type Locked = Locked;
}

/// The bytes that may be on their way: half of what the socket layer keeps, as in C.
pub(crate) fn sndbuf(sock: &Sock<Socket>) -> u32 {
    sock.sndbuf() / 2
}

/// The bytes that may be received and not read before others are told of congestion.
fn rcvbuf(sock: &Sock<Socket>) -> u32 {
    sock.rcvbuf() / 2
}

impl Receives {
    fn new() -> Self {
        Self {
            dead: false,
            queue: List::new(),
            account: RecvAccount::default(),
            monitor: Monitor::default(),
            refused: false,
            updated: false,
            port: None,
            overhead: Overhead::default(),
            traces: [0; MAX_TRACES],
            traced: 0,
            tracing: None,
        }
    }

    /// Whether recvmsg has something to give.
    fn is_readable(&self) -> bool {
        !self.queue.is_empty() || self.monitor.is_pending()
    }

    /// Enters a change into the map, and returns whether that changed it.
    fn note(&mut self, change: Option<Change>) -> bool {
        match (change, &mut self.port) {
            (Some(change), Some(port)) => port.set(change == Change::Congested),
            _ => false,
        }
    }
}

impl Socket {
    /// Makes the data of a socket that a user's task has made in a user namespace that `landlord` owns, if that is
    /// not the initial one.
    fn new(
        space: Arc<Space>,
        directory: Arc<Directory<Self>>,
        landlord: Option<u32>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            space,
            directory,
            sends <- new_spinlock_irq!(Sends::new(), "rrds::Socket::sends"),
            receives <- new_spinlock_irq!(Receives::new(), "rrds::Socket::receives"),
            lends <- Lends::new(),
            names <- new_spinlock_irq!(Names::default(), "rrds::Socket::names"),
            landlord,
            maker: Atomic::new(0),
            listed: Seat::new(),
            watching: Seat::new(),
            crowded: Seat::new(),
            tap: SetOnce::new(),
            rdma: SetOnce::new(),
            closing: Atomic::new(false),
        }? Error)
    }

    /// Whether somebody waits until all that was sent has ended.
    fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    fn is_in_crowd(&self) -> bool {
        self.crowded.is_taken()
    }

    /// Returns the user whose share of what all share the socket's messages count for; none for a socket
    /// that a module has opened for itself, with its own bounds.
    fn user(&self) -> Option<u32> {
        match self.tap.as_ref() {
            None => Some(self.maker()),
            Some(_) => None,
        }
    }

    /// Returns the user who answers for what the socket takes: who has made it, and for all of a user
    /// namespace who owns that, see [`user::namespace_owner`]. It stays the same when the socket is given
    /// to somebody else.
    pub(crate) fn maker(&self) -> u32 {
        self.maker.load(Relaxed)
    }

    /// Calls `f` with each message that is received and not read, with a lock of the socket held.
    pub(crate) fn for_each_received(sock: &Sock<Self>, mut f: impl FnMut(&Incoming)) {
        let receives = sock.data().receives.lock();

        for message in &receives.queue {
            f(&message);
        }
    }

    /// Returns what lists tell of a socket.
    pub(crate) fn describe(sock: &Sock<Self>) -> SocketInfo {
        let Names { bound, connected } = *sock.data().names.lock();
        let (bound, connected) = (bound.unwrap_or_default(), connected.unwrap_or_default());

        SocketInfo {
            sndbuf: sndbuf(sock),
            rcvbuf: rcvbuf(sock),
            bound: bound.addr,
            bound_port: bound.port,
            connected: connected.addr,
            connected_port: connected.port,
            inode: sock.inode(),
        }
    }

    /// Returns the address that a socket is bound to, the interface of a link-local one, else 0, and what
    /// carries its messages. May sleep.
    pub(crate) fn bound(sock: &Sock<Self>) -> Option<(Endpoint, u32, Chosen)> {
        let locked = sock.lock();

        let key = locked.bound.as_ref()?.key();

        Some((key.at(), key.scope(), locked.transport.clone()?))
    }

    /// Returns the sockets of the namespace.
    pub(crate) fn directory(&self) -> &Arc<Directory<Self>> {
        &self.directory
    }

    /// Returns the namespace's state.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}
