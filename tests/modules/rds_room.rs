// SPDX-License-Identifier: GPL-2.0

//! Sockets of a module on a path whose queue is full.
//!
//! Several send to a host that is not there, until the last of them is refused. A message with a token is refused
//! then as any other, comes back with its data, and nobody is told how it ended. When the messages of the other
//! sockets are cancelled, the handler of the one that was refused is told of room. All is done when the module is
//! loaded; it fails if anything is not so.

use core::net::{
    Ipv4Addr,
    SocketAddr,
    SocketAddrV4, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
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
    Data,
    Handled,
    Handler,
    Message,
    Outcome,
    Socket,
    Turn, //
};

module! {
    type: Full,
    name: "rds_room",
    authors: ["The krdma developers"],
    description: "Sockets of a module on a full path, for tests",
    license: "GPL",
    params: {
        local: u32 {
            default: 0,
            description: "Our IPv4 address, as a number",
        },
        peer: u32 {
            default: 0,
            description: "The IPv4 address of nobody, as a number",
        },
        patience: u32 {
            default: 60_000,
            description: "Milliseconds until something that is to happen is given up",
        },
    },
}

/// Sockets, and the messages that one of them sends at most: a path's queue has 65 536 slots, and 1024 at least
/// where there is no memory for more.
const SOCKETS: usize = 70;
const EACH: u32 = 1000;

/// More than all of them take.
const LIMIT: u32 = 256 << 20;

const DATA: &[u8] = b"comes back";

/// What a socket was told.
struct Told {
    rooms: Atomic<u32>,
    ends: Atomic<u32>,
}

impl Handler for Told {
    fn received(&self, _turn: &Turn<'_>, _message: Message) {}

    fn sent(&self, _turn: &Turn<'_>, _token: u64, _outcome: Outcome) {
        self.ends.fetch_add(1, Relaxed);
    }

    fn room(&self, _turn: &Turn<'_>) {
        self.rooms.fetch_add(1, Relaxed);
    }
}

/// A socket, and what it was told.
struct Sender {
    socket: Socket<Handled>,
    told: Arc<Told>,
}

impl Sender {
    fn new(module: &'static ThisModule, local: Ipv4Addr, peer: SocketAddr) -> Result<Self> {
        let told = Arc::new(
            Told {
                rooms: Atomic::new(0),
                ends: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let socket = Socket::with_handler(module, Namespace::initial(), told.clone())?;

        socket.set_limits(LIMIT, LIMIT);
        socket.bind(SocketAddrV4::new(local, 0).into())?;
        socket.connect(peer)?;
        socket.prepare(peer)?;
        Ok(Self { socket, told })
    }

    /// Sends until it is refused. Returns whether it was.
    fn fill(&self) -> Result<bool> {
        for _ in 0..EACH {
            match self.socket.send(None, &[], Timeout::NONE) {
                Ok(()) => {}
                Err(err) if err == EAGAIN => return Ok(true),
                Err(err) => return Err(err),
            }
        }
        Ok(false)
    }

    /// A message with a token is refused, as a handler would send it.
    fn is_refused_with_a_token(&self) -> Result<bool> {
        let data = Data::copy(DATA, GFP_KERNEL)?;

        match self.socket.turn().send_data(None, data, Some(7)) {
            Err((err, Some(back))) if err == EAGAIN => Ok(back.pieces().eq([DATA])),
            Err((err, back)) => {
                pr_err!("with a token: {:?}, data: {}\n", err, back.is_some());
                Ok(false)
            }
            Ok(()) => {
                pr_err!("with a token: taken\n");
                Ok(false)
            }
        }
    }
}

/// Waits until something is so.
fn within(patience: Delta, is_so: impl Fn() -> bool) -> bool {
    let began = Instant::<Monotonic>::now();

    while !is_so() {
        if began.elapsed() >= patience {
            return false;
        }
        fsleep(Delta::from_millis(5));
    }
    true
}

fn run(module: &'static ThisModule) -> Result {
    let local = Ipv4Addr::from_bits(module_parameters::local.value());
    let peer = Ipv4Addr::from_bits(module_parameters::peer.value());
    let peer = SocketAddrV4::new(peer, 4000).into();
    let patience = Delta::from_millis(module_parameters::patience.value().into());
    let mut others = KVec::with_capacity(SOCKETS, GFP_KERNEL)?;

    let last = loop {
        let sender = Sender::new(module, local, peer)?;
        if sender.fill()? {
            break sender;
        }
        others.push_within_capacity(sender).map_err(|_| ENOSPC)?;
    };
    pr_info!("{} sockets have filled the queue\n", others.len());

    if !last.is_refused_with_a_token()? {
        return Err(EPROTO);
    }
    let rooms = last.told.rooms.load(Relaxed);
    for sender in &others {
        sender.socket.cancel(None)?;
    }
    if !within(patience, || last.told.rooms.load(Relaxed) > rooms) {
        pr_err!("nobody tells of room\n");
        return Err(ETIMEDOUT);
    }
    if last.told.ends.load(Relaxed) != 0 {
        pr_err!("the end of a message is told that was refused\n");
        return Err(EPROTO);
    }
    last.socket.send(None, DATA, Timeout::NONE)
}

/// The module. All is done when it is loaded, if there is a peer.
struct Full;

impl kernel::Module for Full {
    fn init(module: &'static ThisModule) -> Result<Self> {
        if module_parameters::peer.value() != 0 {
            run(module).inspect_err(|err| pr_err!("failed: {:?}\n", err))?;
        }
        Ok(Self)
    }
}
