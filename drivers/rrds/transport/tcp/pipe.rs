// SPDX-License-Identifier: GPL-2.0

//! A connection: how it begins and ends, and the job that looks after it.

use super::{
    link::{
        Sent,
        WATCH, //
    },
    marker::Tcp,
    receive::{
        Events,
        Link,
        Receiver, //
    },
};
use crate::{
    addr, clock, params,
    path::{
        self,
        Path, //
    },
};
use core::{
    net::SocketAddr,
    ops::Deref, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::Delta, //
};
use krdma::{
    net::tcp::{
        Connection,
        Keepalive,
        Options,
        State, //
    },
    random::random_u32,
    work::{
        Job,
        Waker,
        Work, //
    },
};
use rds_proto::{
    conn::ConnId,
    error::DropReason,
    tcp::{
        LocalPorts,
        Role, //
    },
    time::Instant,
    wire::{
        PrivateData,
        RejectDatum, //
    },
};

/// When what had no memory is tried again.
const RETRY: Delta = Delta::from_millis(10);

/// How long the peer's end is waited for when a connection is hung up, in nanoseconds, as C. How often it is looked for,
/// beside when something comes.
const LINGER_NS: u64 = 5_000_000_000;
const LOOK: Delta = Delta::from_millis(100);

/// When it is looked again if a callback was reading, or there is room that was not taken.
const SOON: Delta = Delta::from_millis(1);

/// After what time without an answer a peer is given up, in milliseconds. C has no such time: it does not notice for a
/// quarter of an hour that a peer is gone.
const SILENT_MS: u32 = 30_000;

/// How long an attempt at a connection may take, in nanoseconds.
const DIAL_NS: u64 = 30_000_000_000;

/// Options of all connections (spec-tcp-options). There is no TCP_USER_TIMEOUT: by that a peer is given up that does not
/// read for so long.
pub(super) const OPTIONS: Options<'static> = Options {
    nodelay: Some(true),
    cork: None,
    // A port may be that of connections to other peers.
    reuse_addr: Some(true),
    keepalive: Some(Keepalive {
        idle: 5,
        interval: 5,
        probes: 5,
    }),
    user_timeout: None,
    send_buffer: None,
    receive_buffer: None,
    congestion: None,
};

/// Returns what a namespace says of the buffers of its connections, if anything.
fn buffers(path: &Path<Tcp>) -> Options<'static> {
    let sysctls = path.sysctls();
    let set = |bytes: u32| Some(bytes).filter(|&bytes| bytes > 0);

    Options {
        send_buffer: set(sysctls.tcp_sndbuf()),
        receive_buffer: set(sysctls.tcp_rcvbuf()),
        ..Options::default()
    }
}

/// A connection, from the first attempt to its end.
#[pin_data]
pub(super) struct Pipe {
    path: Arc<Path<Tcp>>,
    link: Owned,
    #[pin]
    life: Mutex<Life>,
}

/// A link. When this goes nobody takes in what comes any more: the link, its connection, what TCP calls and the receiver
/// there refer to each other in a circle.
struct Owned(Arc<Link>);

impl Deref for Owned {
    type Target = Arc<Link>;

    fn deref(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.connection().handler().close();
    }
}

/// How far it is.
struct Life {
    stage: Stage,
    since: Instant,
    /// It is hung up, and read to its end, until then at the latest.
    lingers: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The peer is asked for it.
    Dialing,
    /// The peer asks for it, or it is established and can't be used. It stays unread until it is accepted or hung up.
    Held,
    /// It is established, and stays unread until the path may use it.
    Waiting,
    Up,
    /// It is of no use any more.
    Over,
}

/// Begins a connection to the peer of a path.
pub(super) fn dial(path: &Arc<Path<Tcp>>, conn: ConnId) -> Result<Conn> {
    let (key, realm) = (path.key(), path.realm());
    let is_v4 = key.peer.to_v4().is_some();
    let job = Pipe::job(path, conn, Stage::Dialing, |waker| {
        let connection = Connection::new(
            realm.module(),
            realm.namespace(),
            !is_v4,
            Events::new(Some(waker)),
        )?;

        connection.set(&OPTIONS)?;
        connection.set(&buffers(path))?;
        bind(&connection, key.lane, |port| {
            addr::to_socket(key.local, port, key.scope)
        })?;
        connection.connect(addr::to_socket(key.peer, params::tcp_port(), key.scope))?;
        Ok(connection)
    })?;

    // It may be established already.
    job.wake();
    Ok(Conn(job))
}

/// Binds a connection to an address, and to a port that tells its lane (spec-tcp-ports).
fn bind(connection: &Connection<Events>, lane: u8, at: impl Fn(u16) -> SocketAddr) -> Result {
    let mut ports = LocalPorts::new(connection.port_range(), lane, random_u32());

    loop {
        let port = ports.next().ok_or(EADDRINUSE)?;
        match connection.bind(at(port)) {
            Err(EADDRINUSE) => {}
            other => return other,
        }
    }
}

impl Pipe {
    fn job(
        path: &Arc<Path<Tcp>>,
        conn: ConnId,
        stage: Stage,
        connection: impl FnOnce(Waker) -> Result<Connection<Events>>,
    ) -> Result<Job<Self>> {
        let life = Life {
            stage,
            since: clock::now(),
            lingers: None,
        };

        krdma::new_job!(path.realm().module(), |waker| {
            let connection = connection(waker.clone())?;
            let link = Owned(Link::new(conn, waker, connection)?);

            Arc::pin_init(
                pin_init!(Self {
                    path: path.clone(),
                    link,
                    life <- new_mutex!(life, "rrds::tcp::Pipe::life"),
                }),
                GFP_KERNEL,
            )
        })
    }

    fn conn(&self) -> ConnId {
        path::Link::conn(&**self.link)
    }

    fn connection(&self) -> &Connection<Events> {
        self.link.connection()
    }

    /// Has the path use the connection, which is established.
    ///
    /// Errors: [`ECANCELED`] if that is being closed, [`EAGAIN`] if it may not use it yet.
    fn begin(&self, life: &mut Life) -> Result {
        let receiver = Receiver::new(self.path.clone(), self.link.clone());
        let port = |at: Result<SocketAddr>| at.map_or(0, |at| at.port());

        self.link.shown().on_ports(
            port(self.connection().local_addr()),
            port(self.connection().peer_addr()),
        );

        self.path.attach(self.link.clone())?;
        if !self.path.established(self.conn(), None) {
            return Err(ECANCELED);
        }
        self.connection().handler().open(receiver);
        life.stage = Stage::Up;
        Ok(())
    }

    /// Has the path use the connection, or waits until it may. Returns whether it is up.
    fn start(&self, life: &mut Life) -> bool {
        match self.begin(life) {
            Ok(()) => return true,
            Err(EAGAIN) => life.stage = Stage::Waiting,
            Err(_) => {
                // What it has brought is read when it is hung up.
                life.stage = Stage::Held;
                self.path.lost(self.conn(), DropReason::Transport);
            }
        }
        false
    }

    /// Looks what has become of a dial. Returns whether the connection is up.
    fn look(&self, life: &mut Life) -> bool {
        let key = self.path.key();
        let reason = match self.connection().state() {
            State::SynSent | State::SynReceived if clock::now() < life.since.after(DIAL_NS) => {
                return false;
            }
            State::Established | State::CloseWait => match Role::of(key.local, key.peer) {
                Role::Low => return self.start(life),
                // The peer knows now that it is to dial.
                Role::High => DropReason::Rejected,
            },
            _ => DropReason::Transport,
        };

        life.stage = Stage::Over;
        self.path.lost(self.conn(), reason);
        false
    }

    /// Reads what has come in. Returns whether there was no memory for all of it; none if a callback is at it.
    fn read(&self) -> Option<bool> {
        let events = self.connection().handler();

        events.retry();
        // Errors are those of the connection, which is looked at. A callback that uses the receiver reads.
        let _ = self
            .connection()
            .read(|bytes| events.take(bytes).unwrap_or(0));
        events.finish()
    }

    /// Tells the path what TCP has acknowledged. Returns whether something is on its way still.
    fn settle(&self) -> bool {
        let (acked, is_in_flight) = self.link.settle();

        if let Some(acked) = acked {
            self.path.acked(self.conn(), acked);
        }
        is_in_flight
    }

    /// Whether the peer sends no more, or the connection is gone.
    fn is_ended(&self) -> bool {
        self.connection().is_ended() || self.connection().state() == State::Closed
    }
}

impl Work for Pipe {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let mut guard = this.life.lock();
        let life = &mut *guard;

        let is_up = match life.stage {
            Stage::Held => false,
            Stage::Over => {
                // It may wait for the end.
                this.path.wake();
                false
            }
            Stage::Dialing => this.look(life),
            Stage::Waiting => this.start(life),
            Stage::Up => true,
        };
        if !is_up {
            return match life.stage {
                Stage::Waiting => Some(RETRY),
                Stage::Dialing => Some(WATCH),
                _ => None,
            };
        }
        // Looked at first: what comes before its end is read.
        let is_ended = this.is_ended();
        let is_starved = this.read() == Some(true);
        this.settle();
        let sent = this.link.send_posted();
        // What is acknowledged from here on is told.
        let is_in_flight = this.settle();
        let is_silent = this.connection().is_silent(SILENT_MS);
        // Nothing that is acknowledged makes room, if nothing is on its way.
        let has_to_wait = is_starved || sent == Ok(Sent::Blocked) && !is_in_flight;
        if has_to_wait && !is_silent && sent.is_ok() {
            return Some(RETRY);
        }
        if is_ended || is_silent || sent.is_err() {
            let reason = match is_silent {
                true => DropReason::Timeout,
                false => DropReason::Transport,
            };

            life.stage = Stage::Over;
            this.path.lost(this.conn(), reason);
            return None;
        }
        if sent == Ok(Sent::Budget) {
            return Some(Delta::ZERO);
        }
        if this.link.is_unblocked() {
            // Room has come meanwhile, or TCP lacks memory.
            return Some(SOON);
        }
        // Somebody has to notice if nothing comes any more.
        is_in_flight.then_some(WATCH)
    }
}

/// A connection, as a path has it.
pub(crate) struct Conn(Job<Pipe>);

impl path::Conn for Conn {
    fn accept(&self, _hello: &PrivateData) -> Result {
        let pipe = self.0.data();

        let mut life = pipe.life.lock();
        match pipe.begin(&mut life) {
            Err(EAGAIN) => life.stage = Stage::Waiting,
            begun => begun?,
        }
        drop(life);
        // What has come already was not reported.
        self.0.wake();
        Ok(())
    }

    /// Says that we send no more.
    fn hang_up(&self) {
        let pipe = self.0.data();
        let mut life = pipe.life.lock();
        let key = pipe.path.key();
        let is_dialed = Role::of(key.local, key.peer) == Role::Low;
        if matches!(life.stage, Stage::Held | Stage::Waiting)
            || life.stage == Stage::Dialing && is_dialed
        {
            // What it has brought was acknowledged, too.
            let receiver = Receiver::new(pipe.path.clone(), pipe.link.clone());
            pipe.connection().handler().open(receiver);
        }
        let was_used = pipe.connection().handler().is_open();

        life.stage = Stage::Over;
        // It fails if the peer was faster.
        let _ = pipe.connection().end();
        life.lingers = was_used.then(|| clock::now().after(LINGER_NS));
    }

    /// Takes in what the peer has sent until it says that it sends no more, too: it was acknowledged.
    fn lingers(&self) -> Option<Delta> {
        let pipe = self.0.data();
        let mut life = pipe.life.lock();
        let end = life.lingers?;
        let is_ended = pipe.is_ended();
        let read = pipe.read();
        let now = clock::now();

        if !pipe.path.is_stopped() {
            match read {
                None => return Some(SOON),
                Some(true) => {
                    // What has come waits for memory, or for who is to read: it must not be lost.
                    life.lingers = Some(now.after(LINGER_NS));
                    return Some(LOOK);
                }
                Some(false) if !is_ended && now < end => return Some(LOOK),
                Some(false) => {}
            }
        }
        life.lingers = None;
        pipe.settle();
        None
    }

    fn close(self) {
        self.0.close();
    }
}

/// A connection of a peer, which asks to be used.
pub(super) struct Request(pub(super) Connection<Events>);

impl path::Request<Tcp> for Request {
    fn refuse(self, _datum: RejectDatum) {
        self.0.close();
    }

    fn hold(self, path: Arc<Path<Tcp>>, conn: ConnId) -> Result<Conn> {
        let job = Pipe::job(&path, conn, Stage::Held, |waker| {
            self.0.set(&buffers(&path))?;
            self.0.handler().tell(waker);
            Ok(self.0)
        })?;

        Ok(Conn(job))
    }
}
