// SPDX-License-Identifier: GPL-2.0

//! A server in the kernel that answers each reliable datagram with the same data.
//!
//! It answers in the context that messages come in, softirq, and sends the very memory that it received:
//! nothing is copied, but for messages of up to 1 KiB, which are on the way in. While as much is under way as
//! the socket may have, no message is taken, so that those who ask wait. Who asks without reading what comes
//! back is no reason for others to wait: of its answers a few are kept until it does, and no more are made.
//!
//! ```sh
//! insmod krdma.ko && insmod rrds.ko && insmod rds_echo.ko local=0x0a000001
//! rds ping --port 4600 10.0.0.1           # on any host, or any other program that uses RDS
//! ```

use core::net::{
    Ipv4Addr,
    SocketAddr,
    SocketAddrV4, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        SpinLock, //
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
    Peer,
    Socket,
    Transport,
    Turn, //
};

module! {
    type: Module,
    name: "rds_echo",
    authors: ["The krdma developers"],
    description: "Answers reliable datagrams in the kernel",
    license: "GPL",
    params: {
        local: u32 {
            default: 0x7f00_0001,
            description: "The IPv4 address to answer at, as a number",
        },
        port: u16 {
            default: 4600,
            description: "The port to answer at",
        },
        tcp: u8 {
            default: 0,
            description: "1: over TCP, whatever else could carry it",
        },
    },
}

/// So many answers are kept for an address that does not read, and for all of them.
const KEPT: usize = 8;
const ALL_KEPT: usize = 1024;

/// Answers that were not sent.
#[derive(Default)]
struct Waiting {
    /// In the order in which the messages came.
    answers: KVec<(SocketAddr, Data)>,
    /// The socket's buffer is full: there is no room for any answer.
    is_full: bool,
}

impl Waiting {
    /// Whether an answer has to wait because of others, unless it is to be dropped.
    fn has_before(&self, to: &SocketAddr) -> bool {
        self.is_full || self.answers.iter().any(|(other, _)| other == to)
    }

    /// Keeps an answer, if there may be that many.
    fn keep(&mut self, to: SocketAddr, data: Data) -> Result {
        let same = self.answers.iter().filter(|(other, _)| *other == to);
        let too_many = self.answers.len() >= ALL_KEPT || same.count() >= KEPT;

        // With a full buffer no message is taken: these are the ones that there are.
        if too_many && !self.is_full {
            return Err(ENOBUFS);
        }
        Ok(self.answers.push((to, data), GFP_ATOMIC)?)
    }
}

/// Answers, and those that wait for room.
#[pin_data]
struct Echo {
    answered: Atomic<u64>,
    failed: Atomic<u64>,
    #[pin]
    waiting: SpinLock<Waiting>,
}

impl Echo {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            answered: Atomic::new(0),
            failed: Atomic::new(0),
            waiting <- new_spinlock!(Waiting::default(), "rds_echo::Echo::waiting"),
        })
    }

    /// Sends an answer, or keeps it until there is room. Those to the same address that wait go first.
    fn answer(&self, turn: &Turn<'_>, to: SocketAddr, data: Data) {
        let has_before = self.waiting.lock().has_before(&to);
        let kept = match has_before {
            true => Some(data),
            false => match turn.send_data(Some(to), data, None) {
                Ok(()) => {
                    self.answered.fetch_add(1, Relaxed);
                    return;
                }
                Err((err, data)) if err == EAGAIN || err == ENOBUFS => {
                    self.waiting.lock().is_full |= err == EAGAIN;
                    data
                }
                Err(_) => None,
            },
        };
        let kept = kept.map(|data| self.waiting.lock().keep(to, data));

        if !matches!(kept, Some(Ok(()))) {
            self.failed.fetch_add(1, Relaxed);
        }
    }
}

impl Handler for Echo {
    fn received(&self, turn: &Turn<'_>, message: Message) {
        let from = message.source();
        let Ok(data) = message.into_data(GFP_ATOMIC) else {
            self.failed.fetch_add(1, Relaxed);
            return;
        };

        self.answer(turn, from, data);
    }

    fn is_ready(&self) -> bool {
        !self.waiting.lock().is_full
    }

    fn room(&self, turn: &Turn<'_>) {
        let waiting = core::mem::take(&mut *self.waiting.lock());

        for (to, data) in waiting.answers {
            self.answer(turn, to, data);
        }
    }

    fn peer(&self, _turn: &Turn<'_>, peer: Peer) {
        pr_info!(
            "{:?} is {}\n",
            peer.addr,
            if peer.is_up { "up" } else { "down" }
        );
    }
}

/// The module: the socket goes first.
struct Module {
    socket: Option<Socket<Handled>>,
    echo: Arc<Echo>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let local = Ipv4Addr::from_bits(module_parameters::local.value());
        let local = SocketAddrV4::new(local, module_parameters::port.value()).into();
        let echo = Arc::pin_init(Echo::new(), GFP_KERNEL)?;
        let socket = Socket::with_handler(module, Namespace::initial(), echo.clone())?;

        if module_parameters::tcp.value() != 0 {
            socket.choose_transport(Transport::Tcp)?;
        }
        socket.bind(local).inspect_err(|err| {
            pr_err!(
                "can't answer at {:?}: {:?}; is it an address of this host?\n",
                local,
                err
            )
        })?;
        Ok(Self {
            socket: Some(socket),
            echo,
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // From here on nothing comes.
        if let Some(socket) = self.socket.take() {
            // What is not acknowledged is not waited for.
            let _ = socket.close(Timeout::NONE);
        }
        pr_info!(
            "{} answered, {} failed\n",
            self.echo.answered.load(Relaxed),
            self.echo.failed.load(Relaxed)
        );
    }
}
