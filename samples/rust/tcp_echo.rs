// SPDX-License-Identifier: GPL-2.0

//! A server in the kernel that sends back what TCP connections bring, and a client that verifies it.
//!
//! TCP calls the module in softirq context. There it reads nothing and wakes a job, which reads and sends without
//! waiting. A connection whose peer does not read what comes back is not read any more, so that it takes
//! no more memory than its buffer.
//!
//! ```sh
//! insmod krdma.ko && insmod tcp_echo.ko port=4700                     # a server, for IPv4 and IPv6
//! insmod tcp_echo.ko port=0 server=0x0a000001 server_port=4700 bytes=1000000       # a client, elsewhere
//! ```

use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr, //
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
    net::{
        tcp::{
            Acceptor,
            Arrived,
            Bytes,
            Connection,
            Handler,
            Keepalive,
            Listener,
            Options,
            State, //
        },
        Namespace, //
    },
    work::{
        Job,
        Waker,
        Work, //
    },
};

module! {
    type: Module,
    name: "tcp_echo",
    authors: ["The krdma developers"],
    description: "Sends back what TCP connections bring",
    license: "GPL",
    params: {
        port: u16 {
            default: 4700,
            description: "The port to serve at, 0 not to serve",
        },
        server: u32 {
            default: 0,
            description: "The IPv4 address of a server to try, as a number; 0 for none",
        },
        server_port: u16 {
            default: 4700,
            description: "Its port",
        },
        bytes: u64 {
            default: 1_000_000,
            description: "How many bytes to send to it",
        },
    },
}

/// What a connection keeps of what it is to send.
const BUFFER: usize = 64 * 1024;
/// Bytes that are copied at a time.
const CHUNK: usize = 256;
/// So often a connection may send and read before the others have their turn.
const ROUNDS: u32 = 16;
/// So many are served at a time.
const MAX_PEERS: usize = 64;

/// Wakes the job.
struct Bell(Waker);

impl Handler for Bell {
    fn data_ready(&self, _: &mut Arrived<'_>) {
        self.0.wake();
    }

    fn write_space(&self) {
        self.0.wake();
    }

    fn state_changed(&self, _: State) {
        self.0.wake();
    }
}

impl Acceptor for Bell {
    fn connection_waiting(&self) {
        self.0.wake();
    }
}

/// Bytes that wait for room.
struct Outgoing {
    bytes: KVec<u8>,
    /// Those before this were sent.
    sent: usize,
}

impl Outgoing {
    fn new() -> Result<Self> {
        Ok(Self {
            bytes: KVec::with_capacity(BUFFER, GFP_KERNEL)?,
            sent: 0,
        })
    }

    fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Returns how many bytes wait.
    fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Takes as much as there is room for. Returns how much that is.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let room = self.bytes.capacity() - self.bytes.len();
        let taken = bytes.get(..room).unwrap_or(bytes);

        // It does not allocate.
        match self.bytes.extend_from_slice(taken, GFP_ATOMIC) {
            Ok(()) => taken.len(),
            Err(_) => 0,
        }
    }

    /// As [`take`](Self::take), of what has come.
    fn take_arrived(&mut self, bytes: Bytes<'_>) -> usize {
        let mut taken = 0;
        let mut chunk = [0; CHUNK];

        loop {
            let count = bytes.copy(taken, &mut chunk);
            let took = self.take(chunk.get(..count).unwrap_or_default());

            taken += took;
            if took < CHUNK {
                return taken;
            }
        }
    }

    /// Sends what there is room for at the other end.
    fn send(&mut self, connection: &Connection<Bell>) -> Result {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match connection.send(&[rest], false) {
                Ok(count) => self.sent += count,
                Err(EAGAIN) => return Ok(()),
                Err(err) => return Err(err),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(())
    }
}

/// A connection that is served.
struct Peer {
    connection: Connection<Bell>,
    outgoing: Outgoing,
}

impl Peer {
    /// Sends back what has come. Returns whether it is over.
    fn serve(&mut self) -> Result<bool> {
        for _ in 0..ROUNDS {
            self.outgoing.send(&self.connection)?;
            if !self.outgoing.is_empty() {
                return Ok(false);
            }
            // Looked at first: what comes before it is read.
            let is_ended = self.connection.is_ended();
            let outgoing = &mut self.outgoing;

            if self.connection.read(|bytes| outgoing.take_arrived(bytes))? == 0 {
                self.connection.take_error()?;
                return Ok(is_ended);
            }
        }
        self.connection.handler().0.wake();
        Ok(false)
    }
}

/// A server that is tried.
struct Trial {
    connection: Connection<Bell>,
    outgoing: Outgoing,
    total: u64,
    made: u64,
    seen: u64,
    is_connected: bool,
    has_ended: bool,
}

/// The byte at a place of what is sent.
fn pattern(at: u64) -> u8 {
    // CAST: All of these bits but the lowest are left out on purpose.
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

impl Trial {
    fn new(
        module: &'static ThisModule,
        server: SocketAddr,
        total: u64,
        waker: Waker,
    ) -> Result<Self> {
        let connection = Connection::new(
            module,
            Namespace::initial(),
            server.is_ipv6(),
            Ok::<_, Error>(Bell(waker)),
        )?;

        connection.set(&Options {
            nodelay: Some(true),
            ..Options::default()
        })?;
        connection.connect(server)?;
        Ok(Self {
            connection,
            outgoing: Outgoing::new()?,
            total,
            made: 0,
            seen: 0,
            is_connected: false,
            has_ended: false,
        })
    }

    /// Sends and verifies. Returns whether it is over.
    fn go_on(&mut self) -> Result<bool> {
        match self.connection.state() {
            State::SynSent | State::SynReceived => return Ok(false),
            State::Closed if !self.is_connected => {
                self.connection.take_error()?;
                return Err(ENOTCONN);
            }
            _ => self.is_connected = true,
        }
        for _ in 0..ROUNDS {
            while self.made < self.total && self.outgoing.take(&[pattern(self.made)]) == 1 {
                self.made += 1;
            }
            let waiting = self.outgoing.waiting();
            self.outgoing.send(&self.connection)?;
            if self.outgoing.is_empty() && self.made == self.total && !self.has_ended {
                self.connection.end()?;
                self.has_ended = true;
            }

            let is_ended = self.connection.is_ended();
            let mut seen = self.seen;
            let mut is_good = true;
            let count = self.connection.read(|bytes| {
                let mut chunk = [0; CHUNK];
                let mut at = 0;

                while at < bytes.len() {
                    let count = bytes.copy(at, &mut chunk);

                    for byte in chunk.iter().take(count) {
                        is_good &= *byte == pattern(seen);
                        seen += 1;
                    }
                    at += count;
                }
                at
            })?;
            self.seen = seen;
            if !is_good {
                return Err(EBADMSG);
            }
            let has_sent = self.outgoing.waiting() != waiting;
            if count == 0 && !has_sent {
                self.connection.take_error()?;
                return Ok(is_ended);
            }
        }
        self.connection.handler().0.wake();
        Ok(false)
    }
}

/// What the job works with.
#[pin_data]
struct Echo {
    listener: Option<Listener<Bell>>,
    waker: Waker,
    #[pin]
    peers: Mutex<KVec<Peer>>,
    #[pin]
    trial: Mutex<Option<Trial>>,
}

impl Echo {
    fn new(module: &'static ThisModule, waker: Waker) -> Result<Arc<Self>> {
        let port = module_parameters::port.value();
        let server = module_parameters::server.value();
        let listener = match port {
            0 => None,
            port => Some(Listener::new(
                module,
                Namespace::initial(),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                16,
                &Options {
                    reuse_addr: Some(true),
                    ..Options::default()
                },
                Ok::<_, Error>(Bell(waker.clone())),
            )?),
        };
        let trial = match server {
            0 => None,
            server => {
                let server = SocketAddr::from((
                    Ipv4Addr::from_bits(server),
                    module_parameters::server_port.value(),
                ));
                let bytes = module_parameters::bytes.value();

                Some(Trial::new(module, server, bytes, waker.clone())?)
            }
        };

        Arc::pin_init(
            pin_init!(Self {
                listener,
                waker,
                peers <- new_mutex!(KVec::new(), "tcp_echo::Echo::peers"),
                trial <- new_mutex!(trial, "tcp_echo::Echo::trial"),
            }),
            GFP_KERNEL,
        )
    }

    /// Accepts those who wait, if there may be so many.
    fn accept(&self, peers: &mut KVec<Peer>) -> Result {
        let Some(listener) = &self.listener else {
            return Ok(());
        };

        while peers.len() < MAX_PEERS {
            let Some(connection) = listener.accept(Ok::<_, Error>(Bell(self.waker.clone())))?
            else {
                break;
            };
            connection.set(&Options {
                nodelay: Some(true),
                keepalive: Some(Keepalive {
                    idle: 5,
                    interval: 5,
                    probes: 5,
                }),
                ..Options::default()
            })?;
            let peer = Peer {
                connection,
                outgoing: Outgoing::new()?,
            };
            peers.push(peer, GFP_KERNEL)?;
        }
        Ok(())
    }
}

impl Work for Echo {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let mut peers = this.peers.lock();

        loop {
            if let Err(err) = this.accept(&mut peers) {
                pr_err!("a connection was not accepted: {:?}\n", err);
            }
            let before = peers.len();
            peers.retain(|peer| match peer.serve() {
                Ok(is_over) => !is_over,
                Err(err) => {
                    pr_info!("a connection has ended: {:?}\n", err);
                    false
                }
            });
            if peers.len() == before {
                break;
            }
        }
        drop(peers);

        let mut trial = this.trial.lock();
        let trial: &mut Option<Trial> = &mut trial;
        let over = trial.as_mut().and_then(|trial| match trial.go_on() {
            Ok(false) => None,
            Ok(true) if trial.seen == trial.total => Some(Ok(trial.seen)),
            Ok(true) => Some(Err(ECONNABORTED)),
            Err(err) => Some(Err(err)),
        });
        if let Some(over) = over {
            match over {
                Ok(seen) => pr_info!("{} bytes came back as they were sent\n", seen),
                Err(err) => pr_err!("the server was of no use: {:?}\n", err),
            }
            *trial = None;
        }
        None
    }
}

/// The module.
struct Module {
    _job: Job<Echo>,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let job = krdma::new_job!(module, |waker| Echo::new(module, waker))?;

        // What has come before the job was there is not told.
        job.data().waker.wake();
        Ok(Self { _job: job })
    }
}
