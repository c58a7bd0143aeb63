// SPDX-License-Identifier: GPL-2.0

//! Round trips over a reliable connection, of messages from one byte to a mebibyte.
//!
//! The module listens on a port and sends back what it gets. With the parameter `peer` it also plays
//! against the module at that address, which may be its own: it sends messages of each power of two,
//! `rounds` times each, checks what comes back, and prints how long the round trips took.
//!
//! With `source` it connects from that address, and so from the device that has it. Without, the kernel
//! chooses: for a peer on the same host the peer's own device, which carries the messages inside.
//!
//! With the parameter `window` it sends instead `rounds` messages of `max_size` bytes, so many of them
//! at a time, to a server that does not send them back, and prints how long that took.
//!
//! Nothing waits in here. The messages go back and forth between completion handlers, which run in
//! softirq context; a job in process context makes the connections, prints, cleans up, and notices
//! when nothing happens any more.
//!
//! To try it, on a machine with address 10.0.0.1, then on another one (or the same: leave out the
//! first):
//!
//! ```sh
//! modprobe -a rdma_rxe rdma_cm
//! rdma link add rxe0 type rxe netdev eth0
//! insmod krdma.ko
//! insmod rdma_pingpong.ko                  # on the other one: peer=0x0a000001
//! dmesg | grep rdma_pingpong
//! ```

use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            Listener,
            PortSpace, //
        },
        cq::{
            Cq,
            Poll, //
        },
        dma::{
            Bidirectional,
            Mapping, //
        },
        qp::{
            Capabilities,
            QpInit,
            Receive, //
        },
        Device,
        Pd,
        Qp, //
    },
    work::Job, //
};

#[path = "rdma_pingpong/client.rs"]
mod client;
#[path = "rdma_pingpong/game.rs"]
mod game;
#[path = "rdma_pingpong/server.rs"]
mod server;
#[path = "rdma_pingpong/table.rs"]
mod table;

module! {
    type: Pingpong,
    name: "rdma_pingpong",
    authors: ["The krdma developers"],
    description: "Round trips over a reliable connection",
    license: "GPL",
    params: {
        peer: u32 {
            default: 0,
            description: "The IPv4 address to play against, as a number; only a server if zero",
        },
        source: u32 {
            default: 0,
            description: "The IPv4 address to connect from, as a number; the kernel chooses one if zero",
        },
        port: u16 {
            default: 7472,
            description: "The port to listen on and to connect to",
        },
        rounds: u32 {
            default: 100,
            description: "Round trips of each size",
        },
        max_size: u32 {
            default: 1 << 20,
            description: "The largest message in bytes: up to 1048576",
        },
        cycles: u32 {
            default: 1,
            description: "How often to connect, play and disconnect",
        },
        window: u32 {
            default: 0,
            description: "Messages to have under way at a time, one way; round trips if zero",
        },
        ack_timeout: u8 {
            default: 16,
            description: "How long to wait for an acknowledgement: 4.096 µs times two to the power of this",
        },
        tos: u8 {
            default: 0,
            description: "The type of service of the packets",
        },
        timeout: u32 {
            default: 10_000,
            description: "Milliseconds without a sign of the peer that are taken for its end",
        },
    },
}

/// The longest message.
const LIMIT: u32 = 1 << 20;
/// The most messages under way.
const WINDOW: u32 = 64;
/// How long a queue pair waits for an acknowledgement.
fn ack_timeout() -> u8 {
    module_parameters::ack_timeout.value()
}

/// How long the peer is to wait when it was faster than our receives: 0.64 ms.
const RNR_TIMER: u8 = 12;

/// What the parameters say.
#[derive(Clone, Copy)]
struct Config {
    peer: SocketAddr,
    source: Option<SocketAddr>,
    rounds: u32,
    max_size: u32,
    cycles: u32,
    window: u32,
    tos: u8,
    timeout: Delta,
}

struct Pingpong {
    // Dropped first: no new connections come in then.
    _listener: Listener<server::Door>,
    _client: Option<Job<client::Client>>,
    _server: Job<server::Server>,
}

impl kernel::Module for Pingpong {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let port = module_parameters::port.value();
        let peer = Ipv4Addr::from_bits(module_parameters::peer.value());
        let source = Ipv4Addr::from_bits(module_parameters::source.value());
        let config = Config {
            peer: SocketAddr::from((peer, port)),
            source: (!source.is_unspecified()).then(|| SocketAddr::from((source, 0))),
            rounds: module_parameters::rounds.value(),
            max_size: module_parameters::max_size.value(),
            cycles: module_parameters::cycles.value(),
            window: module_parameters::window.value(),
            tos: module_parameters::tos.value(),
            timeout: Delta::from_millis(i64::from(module_parameters::timeout.value())),
        };
        if !(1..=LIMIT).contains(&config.max_size) || config.rounds == 0 {
            pr_err!("max_size must be 1 to {}, rounds at least 1\n", LIMIT);
            return Err(EINVAL);
        }
        if config.window > WINDOW {
            pr_err!("window must be at most {}\n", WINDOW);
            return Err(EINVAL);
        }

        let timeout = config.timeout;
        let server = krdma::new_job!(module, |waker| server::Server::new(module, timeout, waker))?;
        let door = server::Door(server.data().clone());
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = Builder::new(Namespace::initial(), PortSpace::Tcp, module)
            .listen(any, 16, door)
            .inspect_err(|err| pr_err!("can't listen on port {}: {:?}\n", port, err))?;
        pr_info!("listening on port {}\n", port);

        let client = if peer.is_unspecified() {
            None
        } else {
            let job = krdma::new_job!(module, |waker| client::Client::new(module, config, waker))?;

            job.wake();
            Some(job)
        };

        Ok(Self {
            _listener: listener,
            _client: client,
            _server: server,
        })
    }
}

/// Memory of messages, which both are received into and sent from.
type Buffer = Mapping<KVec<u8>, Bidirectional>;

fn new_buffer(dev: &Device, len: u32) -> Result<Buffer> {
    let len = kernel::num::casts::u32_as_usize(len);

    Mapping::new(dev, KVec::from_elem(0, len, GFP_KERNEL | __GFP_NOWARN)?)
}

/// Makes a queue pair with all that it needs, for so many messages each way at a time.
fn new_qp(dev: &Device, module: &'static ThisModule, depth: u32) -> Result<Qp> {
    // The queues are larger than what is asked for, and need an entry to be drained.
    let cq = Cq::new(dev, module, 8 * depth, 0, Poll::Softirq)?;

    Qp::new(
        QpInit {
            pd: Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?,
            send_cq: cq.clone(),
            receive: Receive::Own(cq),
            cap: Capabilities {
                max_send_wr: depth,
                max_recv_wr: depth,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            },
            port: 0,
            context: None,
        },
        module,
    )
}

/// What the client asks for, as private data of its request.
#[derive(Clone, Copy)]
struct Wish {
    /// The longest message in bytes.
    size: u32,
    /// Messages under way at a time that are not sent back, or zero.
    window: u32,
}

impl Wish {
    fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.window) << 32 | u64::from(self.size)).to_le_bytes()
    }

    /// Errors: [`EINVAL`] if it is none, [`EMSGSIZE`] if it is too much.
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.first_chunk().ok_or(EINVAL)?;
        let word = u64::from_le_bytes(*bytes);
        let this = Self {
            // CAST: Each is one half.
            size: word as u32,
            window: (word >> 32) as u32,
        };

        if !(1..=LIMIT).contains(&this.size) || this.window > WINDOW {
            return Err(EMSGSIZE);
        }
        Ok(this)
    }
}
