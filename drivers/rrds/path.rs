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
//! Inside of it come the locks of sockets, congestion maps and a device's pools. The connections are
//! behind a mutex, which comes before the state's lock; no method of a connection is called with it.

mod connect;
mod dump;
mod frames;
mod hold;
mod list;
mod log;
mod table;
mod watch;

pub(crate) use hold::LINGER_NS;
pub(crate) use log::of_all as log_throttle;
pub(crate) use table::{
    Counts,
    Table, //
};

use crate::{
    clock,
    congestion::Used,
    key::RouteKey,
    message::Outgoing,
    space::{
        PeerOfPath,
        Space, //
    },
    trace,
    transport::rc::{
        Link,
        Realm, //
    },
};
use connect::Connections;
use frames::Partial;
use kernel::{
    alloc::flags::__GFP_NOWARN,
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
        Entry,
        Outcome,
        Transmit, //
    },
    seq,
    settings::Settings,
    shares::{
        Share,
        Take, //
    },
    throttle::Throttle,
    time::Instant, //
};
use watch::{
    Locked,
    Watched, //
};

/// Storage of messages to send.
type Slots = KVec<Option<Entry<Outgoing>>>;

/// The engine of a path.
type Engine = rds_proto::path::Path<Outgoing, Slots>;

/// Slots that a path has at first, and at most: so many are one allocation of the kernel's largest.
const SLOTS: usize = 16;
const MAX_SLOTS: usize = 1 << 16;

/// From so many slots on, senders wait for a free one if there is no memory for more.
const ENOUGH_SLOTS: usize = 1 << 10;

/// Frames that are handed to the device before others get the path's lock.
const BUDGET: u32 = 32;

/// After what time a transmission that failed for lack of memory is tried again.
const RETRY: Delta = Delta::from_millis(1);

/// A path.
#[pin_data]
pub(crate) struct Path {
    key: RouteKey,
    local: Used,
    peer: PeerOfPath,
    space: Arc<Space>,
    realm: Arc<Realm>,
    waker: Waker,
    /// The user who had it made; none if a peer did.
    maker: Option<u32>,
    /// How many [hold](Self::hold) it.
    holders: Atomic<usize>,
    #[pin]
    state: Watched,
    #[pin]
    connections: Mutex<Connections>,
    /// Lists the path where it was touched by completions, see
    /// [`Pools`](crate::transport::rc::Pools).
    #[pin]
    links: ListLinks,
    #[pin]
    tracker: AtomicTracker,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Path { tracked_by tracker: AtomicTracker; }
}
impl_list_item! {
    impl ListItem<0> for Path { using ListLinks { self.links }; }
}

/// What the path's lock protects.
struct State {
    key: RouteKey,
    engine: Engine,
    /// Who may queue one more message.
    room: Room<KVec<Share>>,
    /// Since when nobody uses the path, and nothing is left to do.
    idle: Option<Instant>,
    settings: Settings,
    /// The queue pair of the current connection, from when it can be used to when it is closed.
    link: Option<Arc<Link>>,
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

impl Path {
    /// Makes a path, without a connection, for a user or a peer. `is_local` tells whether the peer's
    /// address is one of this host.
    ///
    /// May sleep.
    fn new(
        key: RouteKey,
        space: Arc<Space>,
        realm: Arc<Realm>,
        is_local: bool,
        maker: Option<u32>,
    ) -> Result<Job<Self>> {
        let identity = Identity {
            local: key.local,
            peer: key.peer,
            tos: key.tos,
            incarnation: realm.incarnation(),
        };
        let mut engine = Engine::new(
            identity,
            slots(SLOTS, GFP_KERNEL)?,
            seq::initial(clock::time_of_day()),
        );
        if is_local {
            engine.set_loopback();
        }
        let local = space.local(key.local, key.scope)?;
        let peer = PeerOfPath::new(&space, key.peer, key.scope, is_local)?;

        let owner = realm.shared().module();
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
                    state <- Watched::new(State {
                        key: *key,
                        engine,
                        room: Room::new(KVec::new()),
                        idle: None,
                        settings: Settings::default(),
                        link: None,
                        partial: Partial::default(),
                        heard: None,
                        timed: false,
                        starved: false,
                        history: History::new(clock::now()),
                        rtt: Rtt::default(),
                        throttle: log::of_path(),
                    }),
                    connections <- new_mutex!(Connections::default(), "rrds::Path::connections"),
                    links <- ListLinks::new(),
                    tracker <- AtomicTracker::new(),
                }),
                GFP_KERNEL,
            )
        })
    }

    /// Gives back what is done with, and sends what there is to send.
    ///
    /// Any context.
    pub(crate) fn pump(&self) {
        self.pump_locked(self.state.lock());
    }

    /// [`pump`](Self::pump), by who has the lock already.
    fn pump_locked<'a>(&'a self, mut guard: Locked<'a>) {
        loop {
            let state = &mut *guard;

            self.reap(state);
            if !self.transmit(state) {
                match state.wanted_job() {
                    Some(after) if after.is_zero() => self.waker.wake(),
                    Some(after) => self.waker.wake_after(after),
                    None => {}
                }
                return;
            }
            // Others get the lock.
            drop(guard);
            guard = self.state.lock();
        }
    }

    /// Gives back what is done with.
    #[inline]
    fn reap(&self, state: &mut State) {
        let State { engine, room, .. } = state;

        if engine.sender().queue.is_reapable() {
            engine.reap(|message, outcome| self.end(room, message, outcome));
        }
    }

    /// Tells the sender how a message ended, which has left the engine.
    #[inline]
    fn end(&self, room: &mut Room<KVec<Share>>, message: Outgoing, outcome: Outcome) {
        room.leave(message.owner().user());
        trace::ended(&self.key, &message, outcome);
        message.end(outcome);
    }

    /// Hands frames to the device. Returns whether there are more.
    fn transmit(&self, state: &mut State) -> bool {
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
        if !engine.has_work() {
            return false;
        }

        let demanded = engine.sender().queue.demanded();
        let mut batch = link.batch();
        let end = engine.transmit(settings, BUDGET, |frame| {
            link.push(&mut batch, &frame, &self.local)?;
            trace::posted(&self.key, link.conn(), &frame);
            Ok::<(), Error>(())
        });
        let posted = batch.finish();

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
            self.pump_locked(state);
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

impl State {
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

/// Makes storage for shares.
fn shares_for(count: usize, flags: kernel::alloc::Flags) -> Result<KVec<Share>> {
    Ok(KVec::from_elem(
        Share::default(),
        count,
        flags | __GFP_NOWARN,
    )?)
}

/// Makes storage for messages.
fn slots(count: usize, flags: kernel::alloc::Flags) -> Result<Slots> {
    let mut slots = KVec::with_capacity(count, flags | __GFP_NOWARN)?;

    for _ in 0..count {
        slots.push(None, flags)?;
    }
    Ok(slots)
}

impl Path {
    /// Queues a message, in larger storage if need be. Returns with the lock held.
    ///
    /// Errors: [`ENOMEM`], or, with the message, [`EAGAIN`] if its user has taken up what others have
    /// left.
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    #[inline(always)] // Every message goes through here.
    fn queue(
        &self,
        message: Outgoing,
        ack_required: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<Locked<'_>, (Error, Option<Outgoing>)> {
        let mut guard = self.state.lock();

        match guard.queue(message, ack_required) {
            Ok(seq) => {
                self.queued(&mut guard, seq);
                Ok(guard)
            }
            Err((message, lack)) => {
                drop(guard);
                self.queue_in_more(message, lack, ack_required, flags)
            }
        }
    }

    /// Has a message sent that was queued just now.
    #[inline(always)] // As above.
    fn queued(&self, state: &mut State, seq: u64) {
        if let Some(message) = state.engine.sender().queue.last() {
            message.message().set_seq(seq);
            trace::sent(&self.key, message.message());
        }
        if state.engine.state() == ConnState::Up {
            state.engine.want();
        } else {
            state.engine.connect(clock::now());
            self.waker.wake();
        }
    }

    /// Queues a message, in larger storage, for which there was none.
    #[allow(clippy::result_large_err)] // As above.
    #[cold]
    fn queue_in_more(
        &self,
        mut message: Outgoing,
        mut lack: Lack,
        ack_required: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<Locked<'_>, (Error, Option<Outgoing>)> {
        loop {
            let has_grown = self.grow(lack, flags).map_err(|err| (err, None))?;
            let mut guard = self.state.lock();
            if !has_grown {
                let used = guard.engine.sender().queue.occupied();
                guard.room.refuse(used);
                return Err((EAGAIN, Some(message)));
            }
            match guard.queue(message, ack_required) {
                Ok(seq) => {
                    self.queued(&mut guard, seq);
                    return Ok(guard);
                }
                Err((back, still)) => (message, lack) = (back, still),
            }
        }
    }

    /// Makes storage that is lacking. Returns `false` if there is to be no more of it.
    ///
    /// Errors: [`ENOMEM`].
    fn grow(&self, lack: Lack, flags: kernel::alloc::Flags) -> Result<bool> {
        match lack {
            Lack::Share(count) => {
                let more = shares_for(count, flags)?;
                // Dropped after the lock.
                let _old = self.state.lock().room.grow(more);
            }
            Lack::Slots(count) if count >= MAX_SLOTS => return Ok(false),
            Lack::Slots(count) => {
                let wanted = count.saturating_mul(2).clamp(SLOTS, MAX_SLOTS);
                let more = match slots(wanted, flags) {
                    Err(_) if count >= ENOUGH_SLOTS => return Ok(false),
                    more => more?,
                };
                // As above. It may be the new one: another task was faster, and has made as much or more.
                let _old = self.state.lock().engine.grow(more);
            }
        }
        Ok(true)
    }

    /// Whether a user may queue one more message. Else [`Space::relieve`] follows when it is worth another
    /// try. Any context.
    fn has_room(&self, user: Option<u32>) -> bool {
        let mut guard = self.state.lock();
        let State { engine, room, .. } = &mut *guard;
        let queue = &engine.sender().queue;

        room.is_left(user, queue.occupied(), queue.capacity())
    }
}

/// What a message that was not queued lacks.
enum Lack {
    /// Storage of the shares, for so many users.
    Share(usize),
    /// A slot: all of these are taken, or the user has taken up what the others have left of them.
    Slots(usize),
}

impl State {
    /// Queues a message if its user may have one more, and there is a slot. Returns its number.
    #[allow(clippy::result_large_err)] // The message comes back.
    #[inline(always)] // Every message goes through here.
    fn queue(&mut self, message: Outgoing, ack_required: bool) -> Result<u64, (Outgoing, Lack)> {
        let user = message.owner().user();
        let queue = &self.engine.sender().queue;
        let (used, slots) = (queue.occupied(), queue.capacity());

        match self.room.take(user, used, slots) {
            Take::Taken => {}
            Take::Refused => return Err((message, Lack::Slots(slots))),
            Take::NoSlot => return Err((message, Lack::Share(self.room.wanted()))),
        }
        self.engine.queue(message, ack_required).map_err(|message| {
            self.room.put_back(user);
            (message, Lack::Slots(slots))
        })
    }
}

impl Work for Path {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        this.let_go();
        this.carry_out();
        this.pump();
        let is_relieved = this.state.lock().room.take_relief();
        if is_relieved {
            this.space.relieve();
        }
        this.retire();

        let mut state = this.state.lock();
        if state.starved {
            return Some(RETRY);
        }
        let due = state.engine.next_timeout();
        state.timed = due.is_some();
        due.map(|due| until(due, clock::now()))
    }
}
