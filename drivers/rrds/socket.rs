// SPDX-License-Identifier: GPL-2.0

//! AF_RDS sockets (spec-sockets).
//!
//! | Question | Module |
//! |---|---|
//! | How is an address checked, and shown? | [`names`], [`bind`] |
//! | What is checked before a message is sent, and what does sending wait for? | [`send`], [`control`] |
//! | What does recvmsg give, and in which order? | [`receive`] |
//! | What can be set, got and asked? | [`options`] |
//! | Which memory is sent without a copy, and when is the program told that it is its own again? | [`lends`] |
//! | What carries messages? | [`seam`], [`loopback`] |
//! | What does a socket of the kernel's own have besides? | [`tap`] |

mod bind;
mod binds;
mod control;
pub(crate) mod directory;
mod lends;
pub(crate) mod loopback;
pub(crate) mod names;
mod options;
mod receive;
pub(crate) mod seam;
mod send;
pub(crate) mod tap;

pub(crate) use bind::bind_to;
use bind::Bound;
use directory::{
    Directory,
    Tenant, //
};
pub(crate) use options::choose_transport;
pub(crate) use send::{
    cancel,
    in_order,
    next_ended,
    spares,
    Caller, //
};

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
    trace::{
        self,
        Why, //
    },
};
use core::mem;
use kernel::{
    list::{
        List,
        ListArc, //
    },
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
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use krdma::{
    clock::wall_clock_ns,
    net::{
        pernet,
        Events,
        Family,
        Name,
        NameIn,
        Namespace,
        Open,
        OptionIn,
        OptionOut,
        RecvMsg,
        Request,
        SendMsg,
        Sock,
        SocketData,
        Timeout,
        Wait, //
    },
    user, //
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
        info::SocketInfo,
        AF_RDS, //
    },
};
use seam::{
    Chosen,
    Delivered,
    Last, //
};
use send::Sends;
use tap::Tap;

/// An AF_RDS socket.
#[pin_data]
pub(crate) struct Socket {
    space: Arc<Space>,
    directory: Arc<Directory>,
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
    bound: Option<Bound>,
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

krdma::family_slot!(Socket);

impl SocketData for Socket {
    type Locked = Locked;
}

#[vtable]
impl Family for Socket {
    const NAME: &'static CStr = c"RDS";

    type Shared = pernet::Registration<Tenant>;

    fn taken(number: u8) {
        if number == AF_RDS {
            pr_err!(
                "address family {number} is taken, most likely by the kernel's own RDS: unload that (rmmod rds_rdma rds_tcp rds), or choose another number (family=)\n"
            );
        } else {
            pr_err!("address family {number} is taken: choose another number (family=)\n");
        }
    }

    fn create(
        tenants: &Self::Shared,
        ns: &Namespace,
        request: &Request,
    ) -> Result<(impl PinInit<Self, Error>, Locked)> {
        if request.kind != Request::SEQPACKET || request.protocol != 0 {
            return Err(ESOCKTNOSUPPORT);
        }
        let tenant = tenants.get(ns).ok_or(EAFNOSUPPORT)?;
        let (space, directory) = (tenant.space.clone(), tenant.directory.clone());
        // The kernel has it made by any task.
        let landlord = match request.kernel {
            true => None,
            false => user::namespace_owner(),
        };
        let this = try_pin_init!(Self {
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
            closing: Atomic::new(false),
        }? Error);

        Ok((this, Locked::default()))
    }

    fn created(sock: &Sock<Self>) -> Result {
        let this = sock.data();

        let maker = this.landlord.unwrap_or_else(|| sock.owner());
        this.maker.store(maker, Relaxed);
        this.directory.sockets.enter(sock, &this.listed)
    }

    fn release(sock: &Sock<Self>) {
        let this = sock.data();
        // The way is let go of with the rest.
        let Locked { bound, .. } = mem::take(&mut *sock.lock());

        let (queue, freed) = {
            let mut receives = this.receives.lock();
            receives.dead = true;
            let queue = mem::replace(&mut receives.queue, List::new());
            receives.account = RecvAccount::default();
            receives.monitor.set(false);
            receives.tracing = None;
            // Before another socket can have the port.
            let mut port = receives.port.take();
            let changed = port.as_mut().is_some_and(|port| port.set(false));
            (queue, port.filter(|_| changed))
        };
        drop(queue);

        this.directory.sockets.leave(&this.listed);
        this.directory.watchers.leave(&this.watching);
        this.directory.crowd.leave(&this.crowded);
        let held = bound.map(Bound::unbind);
        if let Some(port) = freed {
            let (addr, mask) = port.at();
            this.space.map_changed(addr, mask);
        }
        tap::detach(sock);
        send::close(sock);
        send::cancel(sock, None);
        // Last: what the socket had on its ways has come back.
        drop(held);
    }

    fn bind(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        bind::bind(sock, name)
    }

    fn connect(sock: &Open<'_, Self>, name: NameIn<'_>) -> Result {
        bind::connect(sock, name)
    }

    fn name(sock: &Open<'_, Self>, peer: bool) -> Result<Name> {
        bind::name(sock, peer)
    }

    fn send(sock: &Open<'_, Self>, msg: &mut SendMsg<'_>, len: usize) -> Result<usize> {
        send::send(sock, msg, len)
    }

    fn receive(sock: &Open<'_, Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        receive::receive(sock, msg)
    }

    fn poll(sock: &Open<'_, Self>) -> Events {
        let this = sock.data();
        let mut events = Events::NONE;

        if this.sends.lock().is_writable(sndbuf(sock)) && !this.is_in_crowd() {
            events |= Events::OUT | Events::WRNORM;
        }

        let has_cookies = !this.lends.is_empty();
        let mut receives = this.receives.lock();
        if receives.is_readable() || has_cookies {
            events |= Events::IN | Events::RDNORM;
        }
        if mem::take(&mut receives.updated) {
            events |= Events::IN | Events::RDNORM | Events::WRBAND;
        }
        events
    }

    fn ioctl(sock: &Open<'_, Self>, cmd: u32, arg: usize) -> Result<i32> {
        const SET_TOS: u32 = 0x89e0;
        const GET_TOS: u32 = 0x89e1;
        let user = || UserSlice::new(UserPtr::from_addr(arg), 1);

        match cmd {
            SET_TOS => {
                let tos = user().reader().read::<u8>()?;
                let mut locked = sock.lock();
                let transport = locked.transport.as_ref();
                let tos = transport
                    .and_then(|transport| transport.service(tos))
                    .ok_or(ENOIOCTLCMD)?;
                if locked.tos != 0 || locked.last.is_some() {
                    return Err(EINVAL);
                }
                locked.tos = tos;
                Ok(0)
            }
            GET_TOS => {
                let tos = sock.lock().tos;
                user().writer().write(&tos)?;
                Ok(0)
            }
            _ => Err(ENOIOCTLCMD),
        }
    }

    fn set_option(sock: &Open<'_, Self>, level: i32, name: i32, value: OptionIn<'_>) -> Result {
        options::set(sock, level, name, value)
    }

    fn option(
        sock: &Open<'_, Self>,
        level: i32,
        name: i32,
        value: &mut OptionOut<'_>,
    ) -> Result<i32> {
        options::get(sock, level, name, value)
    }
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
    /// Puts a message in the queue of a socket.
    ///
    /// Any context; may be called with the lock of a path held.
    pub(crate) fn deliver(sock: &Sock<Self>, message: ListArc<Incoming>) -> Delivered {
        let this = sock.data();
        let (len, true_size) = (message.payload().len(), message.true_size());
        let stamp = sock.timestamps().is_some();
        let mut receives = this.receives.lock();

        if receives.dead {
            drop(receives);
            trace::undelivered(&*message, message.tos, Why::DeadSock);
            this.space.stats.recv_drop_dead_sock.add(1);
            return Delivered { map_changed: false };
        }
        if stamp {
            message.delivered_ns.store(wall_clock_ns(), Relaxed);
        }
        let limit = receives.overhead.limit(rcvbuf(sock));
        let change = receives.account.add(len, true_size, limit);
        let map_changed = receives.note(change);
        trace::delivered(&*message, message.tos);
        receives.queue.push_back(message);
        drop(receives);

        let stats = &this.space.stats;
        stats.recv_queued.add(1);
        stats.recv_bytes_added_to_sock.add(len.into());
        match this.tap.as_ref() {
            None => sock.data_ready(),
            Some(tap) => tap.wake(),
        }
        Delivered { map_changed }
    }

    /// Tells a socket that the ports of `mask` got free at some peer, and that a map has changed.
    ///
    /// Any context.
    pub(crate) fn on_congestion(sock: &Sock<Self>, mask: u64) {
        let mut receives = sock.data().receives.lock();
        let refused = mem::take(&mut receives.refused);
        let fired = receives.monitor.on_update(mask);

        if refused && !receives.monitor.is_on() {
            receives.updated = true;
        }
        drop(receives);
        if refused || fired {
            sock.data_ready();
            if let Some(tap) = sock.data().tap.as_ref() {
                tap.on_room();
            }
        }
    }

    /// There is room to write where there was none, or nothing is under way any more.
    pub(crate) fn on_room(sock: &Sock<Self>) {
        sock.write_space();
        if let Some(tap) = sock.data().tap.as_ref() {
            tap.on_room();
        }
    }

    /// A message has ended whose sender is to be told so.
    fn on_news(sock: &Sock<Self>) {
        if let Some(tap) = sock.data().tap.as_ref() {
            tap.wake();
        }
    }

    /// Whether somebody waits until all that was sent has ended.
    fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// Waits until all that was sent has ended.
    ///
    /// Errors: [`ETIMEDOUT`], [`ERESTARTSYS`].
    pub(crate) fn drain(sock: &Open<'_, Self>, mut timeout: Timeout) -> Result {
        let this = sock.data();

        this.closing.store(true, Relaxed);
        // Without it the acknowledgements come later.
        match send::demand(sock, &mut timeout) {
            Err(err) if err == ERESTARTSYS => return Err(err),
            _ => {}
        }
        match sock.wait(&mut timeout, || {
            this.sends.lock().is_drained().then_some(())
        }) {
            Wait::Ready(()) => Ok(()),
            Wait::TimedOut => Err(ETIMEDOUT),
            Wait::Signal => Err(ERESTARTSYS),
        }
    }

    /// Notes that a message to `port` was refused, or waits, because of congestion. The map must be
    /// looked at again afterwards. May sleep, unless the socket is [watched](Self::watch).
    fn on_refused(sock: &Sock<Self>, port: u16) -> Result {
        let this = sock.data();

        Self::watch(sock)?;
        let mut receives = this.receives.lock();
        receives.refused = true;
        receives.monitor.refused(port);
        Ok(())
    }

    /// Has the socket told of congestion that ends. May sleep, unless it is so already.
    pub(crate) fn watch(sock: &Sock<Self>) -> Result {
        let this = sock.data();

        this.directory.watchers.enter(sock, &this.watching)
    }

    /// Has the socket told when there may be room again on ways that are crowded: until then it is not
    /// writable. May sleep.
    fn join_crowd(sock: &Sock<Self>) -> Result {
        let this = sock.data();

        this.directory.crowd.enter(sock, &this.crowded)
    }

    fn is_in_crowd(&self) -> bool {
        self.crowded.is_taken()
    }

    /// There may be room on a way that was crowded: ends what [`join_crowd`](Self::join_crowd) began. Any
    /// context.
    pub(crate) fn on_relief(sock: &Sock<Self>) {
        let this = sock.data();

        if this.directory.crowd.rise(&this.crowded) {
            Self::on_room(sock);
        }
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
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Returns the namespace's state.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}
