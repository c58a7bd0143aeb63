// SPDX-License-Identifier: GPL-2.0

//! How long a reliable datagram takes from one kernel module to another and back.
//!
//! It sends messages to a server that answers with the same data (`rds_echo`), sends each answer on as the
//! next message, in the context that it came in, and tells how long all took. The memory stays the same all
//! the way: what the device wrote is what it reads.
//!
//! ```sh
//! insmod rds_pingpong.ko local=0x0a000002 peer=0x0a000001 length=4096 window=16
//! dmesg | tail -n 1
//! ```

use core::net::{
    Ipv4Addr,
    SocketAddr,
    SocketAddrV4, //
};
use kernel::{
    new_spinlock_irq,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};
use krdma::net::{
    Namespace,
    Timeout, //
};
use rrds::api::{
    Handler,
    Message,
    Socket,
    Turn, //
};

module! {
    type: PingPong,
    name: "rds_pingpong",
    authors: ["The krdma developers"],
    description: "Measures reliable datagrams between modules",
    license: "GPL",
    params: {
        local: u32 {
            default: 0x7f00_0001,
            description: "Our IPv4 address, as a number",
        },
        peer: u32 {
            default: 0x7f00_0001,
            description: "The IPv4 address of the server, as a number",
        },
        port: u16 {
            default: 4600,
            description: "The port of the server",
        },
        length: u32 {
            default: 64,
            description: "The bytes of a message",
        },
        window: u32 {
            default: 1,
            description: "How many messages are under way",
        },
        count: u32 {
            default: 1000,
            description: "How many round trips to make",
        },
    },
}

/// How long to wait until all answers are there.
const PATIENCE: Delta = Delta::from_secs(60);

/// Bytes that may be under way.
const LIMIT: u32 = 16 << 20;

/// What is looked at in a message: that it is the one that was sent is the test of others.
const MARK: u8 = 0xa5;

/// One game.
#[pin_data]
struct Game {
    length: usize,
    /// Taken by the handler, and by whoever waits, whom that must not interrupt.
    #[pin]
    state: SpinLockIrq<State>,
}

struct State {
    /// Messages that are still to be sent.
    left: u32,
    /// Answers that are still to come.
    missing: u32,
    ended: Option<Result<Instant<Monotonic>>>,
}

impl Game {
    fn new(length: usize, window: u32, count: u32) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                length,
                state <- new_spinlock_irq!(
                    State {
                        left: count.saturating_sub(window),
                        missing: count,
                        ended: None,
                    },
                    "rds_pingpong::Game::state"
                ),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes an answer. Returns whether it is to be sent on.
    fn take(&self, message: &Message) -> bool {
        let right = message.len() == self.length
            && message.pieces().all(|piece| piece.first() == Some(&MARK));
        let mut state = self.state.lock();

        if !right {
            state.ended.get_or_insert(Err(EBADMSG));
            return false;
        }
        state.missing = state.missing.saturating_sub(1);
        if state.missing == 0 {
            state.ended.get_or_insert(Ok(Instant::now()));
        }
        match state.left.checked_sub(1) {
            Some(left) => {
                state.left = left;
                true
            }
            None => false,
        }
    }

    fn fail(&self, err: Error) {
        self.state.lock().ended.get_or_insert(Err(err));
    }

    /// Waits for the end.
    fn wait(&self) -> Result<Instant<Monotonic>> {
        let began = Instant::<Monotonic>::now();

        while began.elapsed() < PATIENCE {
            if let Some(ended) = self.state.lock().ended {
                return ended;
            }
            fsleep(Delta::from_millis(5));
        }
        Err(ETIMEDOUT)
    }
}

impl Handler for Game {
    fn received(&self, turn: &Turn<'_>, message: Message) {
        if !self.take(&message) {
            return;
        }
        let from = message.source();
        let sent = message.into_data(GFP_ATOMIC).and_then(|data| {
            turn.send_data(Some(from), data, None)
                .map_err(|(err, _)| err)
        });

        if let Err(err) = sent {
            self.fail(err);
        }
    }
}

/// Makes `count` round trips with so many messages under way, and tells how long they took.
fn play(
    module: &'static ThisModule,
    peer: SocketAddr,
    length: u32,
    window: u32,
    count: u32,
) -> Result<Delta> {
    let local = Ipv4Addr::from_bits(module_parameters::local.value());
    let length = u32_as_usize(length);
    let window = window.min(count);
    let game = Game::new(length, window, count)?;
    let socket = Socket::with_handler(module, Namespace::initial(), game.clone())?;
    let bytes = KVec::from_elem(MARK, length, GFP_KERNEL)?;

    // Answers are sent on at once, whether what was sent before is acknowledged or not.
    socket.set_limits(LIMIT, LIMIT);
    socket.bind(SocketAddrV4::new(local, 0).into())?;
    socket.connect(peer)?;
    let began = Instant::<Monotonic>::now();
    for _ in 0..window {
        socket.send(None, &bytes, Timeout::new(PATIENCE))?;
    }
    Ok(game.wait()? - began)
}

/// The module. There is nothing to be kept: all is done when it is loaded.
struct PingPong;

impl kernel::Module for PingPong {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let length = module_parameters::length.value().max(1);
        let window = module_parameters::window.value().max(1);
        let count = module_parameters::count.value().max(1);
        let peer = Ipv4Addr::from_bits(module_parameters::peer.value());
        let peer = SocketAddrV4::new(peer, module_parameters::port.value()).into();

        // The first message makes the connection.
        let took = play(module, peer, length, 1, 1)
            .and_then(|_| play(module, peer, length, window, count));
        match took {
            Ok(took) => {
                pr_info!(
                    "{} bytes, {} under way: {} round trips, {} ns each\n",
                    length,
                    window,
                    count,
                    took.as_nanos() / i64::from(count)
                );
                Ok(Self)
            }
            Err(err) => {
                pr_err!(
                    "no game with {:?}: {:?}; does rds_echo run there?\n",
                    peer,
                    err
                );
                Err(err)
            }
        }
    }
}
