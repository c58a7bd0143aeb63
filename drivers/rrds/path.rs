// SPDX-License-Identifier: GPL-2.0

//! Paths: the way from one of our addresses to a peer's, for one type of service.
//!
//! What a path does is decided in [`rds_proto::path`]. Here its decisions are carried out: frames are
//! posted, in the context of whoever has something to send, and connections are made and taken down,
//! by a job in process context.
//!
//! # Locks
//!
//! The state is behind a spin lock that disables interrupts: senders and completion handlers take it.
//! Inside of it come the locks of sockets, congestion maps and what a carrier has. The connections are
//! behind a mutex, which comes before the state's lock; no method of a connection is called with it.

mod bundle;
mod carrier;
mod connect;
mod connections;
mod counts;
mod dump;
mod frames;
mod hold;
mod lanes;
mod lines;
mod list;
mod log;
mod partial;
mod queue;
mod realm;
mod storage;
mod streams;
mod table;
mod watch;

pub(crate) use carrier::{
    Buffer,
    Carrier,
    Conn,
    Link, //
};
pub(crate) use connect::{
    Dial,
    Request, //
};
pub(crate) use storage::slots;
pub(crate) use streams::{
    All,
    Listen,
    Streams, //
};
pub(crate) use table::Table;

use crate::{
    clock,
    congestion::Used,
    key::RouteKey,
    message::{
        Outgoing,
        Spares, //
    },
    space::{
        PeerOfPath,
        Space, //
    },
    sysctl::Sysctls,
    trace, //
};
use bundle::{
    Lanes,
    Place, //
};
use connections::Connections;
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        Mutex, //
    },
    time::Delta, //
};
use krdma::work::{
    Job,
    Waker,
    Work, //
};
use partial::Partial;
use rds_proto::{
    conn::{
        ConnId,
        History,
        Identity,
        State as ConnState, //
    },
    error::DropReason,
    room::Room,
    rtt::Rtt,
    send::{
        Outcome,
        Transmit, //
    },
    seq,
    settings::Settings,
    shares::Share,
    tcp::{
        Acked,
        Hello, //
    },
    throttle::Throttle,
    time::Instant, //
};
use realm::Realm;
use storage::Slots;
use watch::{
    Locked,
    Watched, //
};

/// The engine of a path.
type Engine = rds_proto::path::Path<Outgoing, Slots>;

/// Frames that are handed to the carrier before others get the path's lock.
const BUDGET: u32 = 32;

/// A path, over connections of a carrier.
#[pin_data]
pub(crate) struct Path<C: Carrier> {
    key: RouteKey,
    local: Used,
    peer: PeerOfPath,
    space: Arc<Space>,
    realm: Arc<Realm<C>>,
    waker: Waker,
    /// The user who had it made; none if a peer did.
    maker: Option<u32>,
    /// How many [hold](Self::hold) it.
    holders: Atomic<usize>,
    place: Place<Self>,
    #[pin]
    state: Watched<State<C>>,
    #[pin]
    connections: Mutex<Connections<C>>,
    /// For the carrier: lists the path among those that a batch of completions has news for.
    #[pin]
    links: ListLinks,
    #[pin]
    tracker: AtomicTracker,
}

impl_list_arc_safe! {
    impl{C: Carrier} ListArcSafe<0> for Path<C> { tracked_by tracker: AtomicTracker; }
}
impl_list_item! {
    impl{C: Carrier} ListItem<0> for Path<C> { using ListLinks { self.links }; }
}

/// What the path's lock protects.
struct State<C: Carrier> {
    key: RouteKey,
    engine: Engine,
    /// Who may queue one more message.
    room: Room<KVec<Share>>,
    /// Since when nobody uses the path, and nothing is left to do.
    idle: Option<Instant>,
    settings: Settings,
    /// The current connection, from when it can be used to when it is closed.
    link: Option<Arc<C::Link>>,
    /// Of the first lane: what it has in common with others.
    lanes: Option<Arc<Lanes>>,
    /// The message that is coming in.
    partial: Partial,
    /// A connection on which a frame has come in before it was established.
    heard: Option<ConnId>,
    /// The job runs again by itself, at the latest when something awaited is due.
    timed: bool,
    /// Transmission stopped for lack of memory.
    starved: bool,
    /// What has become of connections.
    history: History,
    rtt: Rtt,
    /// Room for lines in the log.
    throttle: Throttle,
}

impl<C: Carrier> Path<C> {
    /// Makes a path, without a connection, for a user or a peer. `is_local` tells whether the peer's
    /// address is one of this host, and `place` which lane it is.
    ///
    /// May sleep.
    fn new(
        key: RouteKey,
        realm: Arc<Realm<C>>,
        is_local: bool,
        maker: Option<u32>,
        place: Place<Self>,
    ) -> Result<Job<Self>>
    where
        Self: Work,
    {
        let space = realm.space().clone();
        let identity = Identity {
            local: key.local,
            peer: key.peer,
            tos: key.tos,
            incarnation: realm.incarnation(),
        };
        let mut engine = Engine::new(
            identity,
            storage::slots(storage::SLOTS, GFP_KERNEL)?,
            seq::initial(clock::time_of_day()),
        );
        if is_local {
            engine.set_loopback();
        }
        if C::IS_STREAM {
            engine.set_stream(Hello {
                lanes: Some(C::LANES),
                generation: Some(realm.incarnation()),
                ports_tell: true,
            });
        }
        let mut lanes = place.lanes.clone();
        if key.lane != 0 {
            engine.set_extra();
            lanes = None;
        }
        let local = space.local(key.local, key.scope)?;
        let peer = PeerOfPath::new(&space, key.peer, key.scope, is_local)?;

        let owner = realm.module();
        krdma::new_job!(owner, |waker| {
            Arc::pin_init(
                pin_init!(Self {
                    key,
                    local,
                    peer,
                    space,
                    realm,
                    waker,
                    maker,
                    holders: Atomic::new(0),
                    place,
                    state <- Watched::new(State {
                        key: *key,
                        engine,
                        room: Room::new(KVec::new()),
                        idle: None,
                        settings: Settings::default(),
                        link: None,
                        lanes,
                        partial: Partial::default(),
                        heard: None,
                        timed: false,
                        starved: false,
                        history: History::new(clock::now()),
                        rtt: Rtt::default(),
                        throttle: lines::of_path(),
                    }),
                    connections <- new_mutex!(Connections::default(), "rrds::Path::connections"),
                    links <- ListLinks::new(),
                    tracker <- AtomicTracker::new(),
                }),
                GFP_KERNEL,
            )
        })
    }

    /// Returns what tells the path from others.
    pub(crate) fn key(&self) -> &RouteKey {
        &self.key
    }

    /// Returns memory for what comes in.
    pub(crate) fn spares(&self) -> &Arc<Spares> {
        &self.space.spares
    }

    /// Returns what an administrator has tuned.
    pub(crate) fn sysctls(&self) -> &Sysctls {
        &self.space.sysctls
    }

    /// Returns whether the path is being taken down for good. Any context.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().engine.is_stopped()
    }

    /// Makes one attempt at a connection, because the peer asks for it. Any context.
    pub(crate) fn call_back(&self) {
        self.state.lock().engine.call_back(clock::now());
        self.waker.wake();
    }

    /// Has the job look what there is to do. Any context.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Returns what it has in common with others.
    pub(crate) fn realm(&self) -> &Arc<Realm<C>> {
        &self.realm
    }

    /// Reaps the messages that are done with, and transmits.
    ///
    /// Any context.
    pub(crate) fn pump(&self) {
        self.pump_locked(self.state.lock(), false);
    }

    /// [`pump`](Self::pump), by who has the lock already. If `sends`, it then has the link send, without the lock, what was
    /// posted, which may sleep.
    fn pump_locked<'a>(&'a self, mut guard: Locked<'a, State<C>>, sends: bool) {
        loop {
            let state = &mut *guard;

            self.reap(state);
            self.pass_barrier(state);
            if !self.transmit(state, sends) {
                match state.wanted_job() {
                    Some(after) if after.is_zero() => self.waker.wake(),
                    Some(after) => self.waker.wake_after(after),
                    None => {}
                }
                break;
            }
            // Others get the lock.
            drop(guard);
            guard = self.state.lock();
        }
        if !sends {
            return;
        }
        let link = guard.link.clone();
        drop(guard);
        let Some(link) = link else {
            return;
        };
        if let Some(acked) = link.send() {
            self.acked(link.conn(), acked);
        }
    }

    /// Gives back what is done with.
    #[inline]
    fn reap(&self, state: &mut State<C>) {
        let State { engine, room, .. } = state;

        if engine.sender().queue.is_reapable() {
            engine.reap(|message, outcome| self.end(room, message, outcome));
        }
    }

    /// Tells the sender how a message ended, which has left the engine.
    #[inline]
    fn end(&self, room: &mut Room<KVec<Share>>, message: Outgoing, outcome: Outcome) {
        room.leave(message.user());
        trace::ended(&self.key, &**message.message(), outcome);
        message.end(outcome);
    }

    /// Hands frames to the carrier, which are sent next, if `sends`. Returns whether there are more.
    fn transmit(&self, state: &mut State<C>, sends: bool) -> bool {
        let State {
            engine,
            settings,
            link: Some(link),
            starved,
            rtt,
            ..
        } = state
        else {
            return false;
        };
        if !engine.has_work() || self.awaits_barrier() {
            return false;
        }

        let demanded = engine.sender().queue.demanded();
        let mut batch = link.batch();
        let end = engine.transmit(settings, BUDGET, |frame| {
            link.push(&mut batch, &frame, |from, to| self.local.copy(from, to))?;
            trace::posted(&self.key, link.conn(), &frame);
            Ok::<(), Error>(())
        });
        let posted = link.flush(&mut batch, sends);

        if posted.is_err() || matches!(end, Transmit::Stopped(err) if err != ENOMEM) {
            // The engine takes for posted what was not: the connection can't be used any more.
            engine.fail(DropReason::Transport);
            return false;
        }
        // One that was handed over just now is measured.
        let demands = engine.sender().queue.demanded();
        if demands > demanded && rtt.is_idle() {
            rtt.on_demand(demands, clock::now());
        }
        *starved = matches!(end, Transmit::Stopped(_));
        matches!(end, Transmit::Budget)
    }

    /// Notes that the requests up to number `id` of a connection are done. Returns whether
    /// [`pump`](Self::pump) is to follow.
    ///
    /// Any context.
    pub(crate) fn sent(&self, conn: ConnId, id: u32) -> bool {
        let mut state = self.state.lock();

        state.engine.on_sent(conn, id);
        state.wants_pump()
    }

    /// Notes what a stream has acknowledged of a connection, if that is more than before.
    ///
    /// Any context.
    pub(crate) fn acked(&self, conn: ConnId, acked: Acked) {
        let mut state = self.state.lock();
        let before = state.engine.sender().queue.acked();

        state.engine.on_sent(conn, acked.id);
        if let Some(seq) = acked.seq {
            // If there was none it gives the connection up.
            let _ = state.engine.on_acked(conn, seq);
        }
        state.note_acked(before);
        self.pump_locked(state, false);
    }

    /// Notes that a connection is lost, or never came about.
    ///
    /// Any context.
    pub(crate) fn lost(&self, conn: ConnId, reason: DropReason) {
        self.state.lock().engine.on_lost(conn, reason);
        self.waker.wake();
    }

    /// Notes that a frame came in on a connection before it was established.
    ///
    /// Any context.
    pub(crate) fn heard(&self, conn: ConnId) {
        self.state.lock().heard = Some(conn);
        self.waker.wake();
    }

    /// Notes that the peer has used a receive for an RDMA write, which RDS does not.
    ///
    /// Any context.
    pub(crate) fn refuse_write(&self, conn: ConnId) {
        self.state.lock().engine.on_bad_opcode(conn);
        self.waker.wake();
    }

    /// Acknowledges all that was received.
    ///
    /// Any context.
    pub(crate) fn acknowledge(&self) {
        let mut state = self.state.lock();

        if state.engine.acknowledge() {
            self.pump_locked(state, false);
        }
    }

    /// Asks for the congestion map of our address to be sent.
    ///
    /// Any context.
    pub(crate) fn map_changed(&self) {
        if self.state.lock().engine.queue_map() {
            self.pump();
        }
    }
}

impl<C: Carrier> State<C> {
    /// Notes what is acknowledged beyond `from`.
    #[inline]
    fn note_acked(&mut self, from: u64) {
        let to = self.engine.sender().queue.acked();

        trace::acked(&self.key, from, to);
        if self.rtt.is_ended_by(to) {
            self.rtt.on_ack(clock::now());
        }
    }

    /// Whether there is something to send, or for the job to do, once what is done with was given back.
    ///
    /// Not whether something is awaited, which only what was sent brings about.
    fn wants_pump(&self) -> bool {
        self.starved || self.engine.has_news() || self.room.is_relieved()
    }

    /// After what time the job is to look at the path, if it does not do so by itself before.
    ///
    /// That something is awaited is no reason to run it at once: then each message would. It looks
    /// after the time that a peer may be silent, and if something is awaited then, once more after that.
    fn wanted_job(&mut self) -> Option<Delta> {
        let state = self.engine.state();

        if self.starved || self.engine.wants_poll() || self.room.is_relieved() {
            return Some(Delta::ZERO);
        }
        // Whoever brings about the other states wakes the job.
        if state != ConnState::Up || self.timed || !self.engine.sender().awaits_ack() {
            return None;
        }
        self.timed = true;
        let now = clock::now();
        let probe = now.after(self.settings.probe_ns);
        let due = self.engine.next_timeout().unwrap_or(probe);
        Some(until(due.min(probe), now))
    }
}

/// The time from `now` to `due`, if that is later.
fn until(due: Instant, now: Instant) -> Delta {
    Delta::from_nanos(i64::try_from(due.0.saturating_sub(now.0)).unwrap_or(i64::MAX))
}
