// SPDX-License-Identifier: GPL-2.0

//! The side that connects: as often as it is told, one game each time.

use crate::{
    ack_timeout,
    game::{
        Failure,
        Game, //
    },
    table,
    Config,
    RNR_TIMER, //
};
use kernel::{
    new_mutex,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id,
            PortSpace,
            State, //
        },
        qp_attr::QpState,
    },
    work::{
        Waker,
        Work, //
    },
};

/// What the job works with.
#[pin_data]
pub(crate) struct Client {
    module: &'static ThisModule,
    config: Config,
    waker: Waker,
    /// Nobody but the job takes this.
    #[pin]
    round: Mutex<Round>,
}

/// The connection, and how far the client is.
struct Round {
    connection: Option<Connection<Player>>,
    /// What was seen of the connection at the last look, and when it was new.
    seen: (State, usize),
    since: Instant<Monotonic>,
    leaving: bool,
    over: bool,
    cycles: u32,
    round_trips: usize,
    begun: Instant<Monotonic>,
}

impl Client {
    pub(crate) fn new(
        module: &'static ThisModule,
        config: Config,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                config,
                waker,
                round <- new_mutex!(Round {
                    connection: None,
                    seen: (State::New, 0),
                    since: Instant::now(),
                    leaving: false,
                    over: false,
                    cycles: 0,
                    round_trips: 0,
                    begun: Instant::now(),
                }),
            }),
            GFP_KERNEL,
        )
    }

    fn connect(&self) -> Result<Connection<Player>> {
        Builder::new(Namespace::initial(), PortSpace::Tcp, self.module)
            .service_type(self.config.tos)
            .ack_timeout(ack_timeout())
            .min_rnr_timer(RNR_TIMER)
            .resolve(
                self.config.source,
                self.config.peer,
                self.config.timeout,
                Player::new(self.module, self.config, self.waker.clone()),
            )
    }
}

impl Work for Client {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let round = &mut *this.round.lock();

        if round.over {
            return None;
        }
        if let Some(connection) = &round.connection {
            let player = connection.handler();
            let seen = (connection.state(), player.progress());

            if seen != round.seen {
                round.seen = seen;
                round.since = Instant::now();
            }
            let left = this.config.timeout.as_millis() - round.since.elapsed().as_millis();
            let end = match player.end() {
                None if left > 0 => return Some(Delta::from_millis(left)),
                None => Err(Failure::Silence),
                // All is played. The peer is told, and that it knows is waited for.
                Some(Ok(())) if connection.state() == State::Established && left > 0 => {
                    if !core::mem::replace(&mut round.leaving, true) {
                        let _ = connection.disconnect();
                    }
                    return Some(Delta::from_millis(left));
                }
                Some(end) => end,
            };
            let times = player.take_times();

            // Waits for the callbacks and for the requests, which take nothing that we hold.
            round.connection = None;
            if this.ended(round, end, times) {
                round.over = true;
                return None;
            }
        }

        round.seen = (State::New, 0);
        round.since = Instant::now();
        round.leaving = false;
        match this.connect() {
            Ok(connection) => round.connection = Some(connection),
            Err(err) => {
                pr_err!(
                    "{:?}: failed: {:?}\n",
                    this.config.peer,
                    Failure::Local(err)
                );
                round.over = true;
                return None;
            }
        }
        Some(this.config.timeout)
    }
}

impl Client {
    /// Reports how a game has ended. Returns whether it was the last one.
    fn ended(&self, round: &mut Round, end: Result<(), Failure>, mut times: KVec<u64>) -> bool {
        if let Err(failure) = end {
            pr_err!(
                "{:?}: failed: {:?}, after {} games and {} round trips\n",
                self.config.peer,
                failure,
                round.cycles,
                round.round_trips + times.len()
            );
            return true;
        }

        round.cycles += 1;
        if self.config.window > 0 {
            // The time of all messages.
            let ns = times.first().copied().unwrap_or(0);
            pr_info!(
                "{:?}: {} messages of {} bytes in {} µs, window {}\n",
                self.config.peer,
                self.config.rounds,
                self.config.max_size,
                ns / 1000,
                self.config.window
            );
            return round.cycles >= self.config.cycles;
        }
        round.round_trips += times.len();
        if self.config.cycles == 1 {
            table::print(&mut times, u32_as_usize(self.config.rounds));
        }
        if round.cycles < self.config.cycles {
            return false;
        }
        pr_info!(
            "{:?}: {} games with {} round trips, all data intact, {} ms\n",
            self.config.peer,
            round.cycles,
            round.round_trips,
            round.begun.elapsed().as_millis()
        );
        true
    }
}

/// The handler of the connection.
#[pin_data(PinnedDrop)]
struct Player {
    module: &'static ThisModule,
    config: Config,
    waker: Waker,
    /// There is one once the device is known.
    game: SetOnce<Arc<Game>>,
    #[pin]
    failure: Mutex<Option<Failure>>,
}

impl Player {
    fn new(module: &'static ThisModule, config: Config, waker: Waker) -> impl PinInit<Self> {
        pin_init!(Self {
            module,
            config,
            waker,
            game: SetOnce::new(),
            failure <- new_mutex!(None),
        })
    }

    fn progress(&self) -> usize {
        self.game.as_ref().map_or(0, |game| game.progress())
    }

    fn end(&self) -> Option<Result<(), Failure>> {
        self.game
            .as_ref()
            .and_then(|game| game.end())
            .or_else(|| self.failure.lock().map(Err))
    }

    fn take_times(&self) -> KVec<u64> {
        self.game
            .as_ref()
            .map_or_else(KVec::new, |game| game.take_times())
    }

    /// Makes the queue pair, with a receive in it before there can be a message, and asks the peer.
    fn connect(&self, id: &Id<Self>) -> Result {
        let dev = id.device().ok_or(ENODEV)?;
        let game = Game::new(dev, self.module, self.config, self.waker.clone())?;

        if !self.game.populate(game.clone()) {
            return Err(EEXIST);
        }
        id.modify_qp(game.qp(), QpState::Init)?;
        game.prepare()?;
        id.connect(&ConnParams {
            private_data: &self.config.wish().to_bytes(),
            retry_count: 7,
            rnr_retry_count: 7,
            qp_number: game.qp().number(),
            ..ConnParams::default()
        })
    }

    /// The peer has accepted.
    fn start(&self, id: &Id<Self>) -> Result {
        let game = self.game.as_ref().ok_or(EINVAL)?;

        id.modify_qp(game.qp(), QpState::Rtr)?;
        id.modify_qp(game.qp(), QpState::Rts)?;
        id.accept_response()?;
        game.begin()
    }
}

impl Handler for Player {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let player = id.handler();
        let ret = match event {
            Event::AddressResolved => id
                .resolve_route(player.config.timeout)
                .map_err(Failure::Local),
            Event::RouteResolved => player.connect(id).map_err(Failure::Local),
            Event::Response(_) => player.start(id).map_err(Failure::Local),
            Event::AddressError(err) => Err(Failure::Address(err)),
            Event::RouteError(err) => Err(Failure::Route(err)),
            Event::ConnectError(err) | Event::Unreachable(err) => Err(Failure::Unreachable(err)),
            Event::Rejected(why) => Err(Failure::Rejected(why.reason())),
            Event::Disconnected => Err(Failure::Disconnected),
            Event::DeviceRemoval => Err(Failure::DeviceRemoved),
            _ => Ok(()),
        };

        if let Err(failure) = ret {
            player.failure.lock().get_or_insert(failure);
            player.waker.wake();
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Player {
    fn drop(self: Pin<&mut Self>) {
        if let Some(game) = self.game.as_ref() {
            game.clear();
        }
    }
}
