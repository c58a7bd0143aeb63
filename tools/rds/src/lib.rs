// SPDX-License-Identifier: GPL-2.0

//! Reliable datagram sockets (`AF_RDS`) for programs.
//!
//! An RDS socket sends whole messages, each to any peer, and the kernel delivers them once and in
//! order over one connection for each pair of hosts. This crate is the socket interface of
//! `include/uapi/linux/rds.h` in types of Rust. It speaks to any implementation of it: the kernel's
//! own (`rds.ko`) and `rrds.ko`, which can be loaded under another number of the address family
//! ([`Family`]).
//!
//! ```no_run
//! use rds::{Family, Socket};
//!
//! let socket = Socket::new(Family::from_env()?)?;
//! socket.bind("10.0.0.1:0".parse().unwrap())?;
//! socket.send_to(b"hello", "10.0.0.2:4000".parse().unwrap())?;
//!
//! let mut buffer = [0; 4096];
//! let received = socket.recv_from(&mut buffer)?;
//! match received.from {
//!     Some(from) => println!("{} bytes from {from}", received.len),
//!     None => println!("only notices: {:?}", received.control),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Event loops
//!
//! [`Socket`] is [`AsFd`](std::os::fd::AsFd): make it non-blocking and give it to whatever watches
//! file descriptors, or use [`Socket::wait`]. Two things differ from other sockets.
//!
//! - A socket may be reported as readable without anything to read: receiving then gives
//!   [`WouldBlock`](std::io::ErrorKind::WouldBlock).
//! - Sending fails with `ENOBUFS` ([`is_congested`]) while the destination's socket is full. The
//!   socket stays writable meanwhile. With [`Socket::set_congestion_monitor`] a
//!   [`Control::CongestionUpdate`] tells when to try again.
//!
//! # Why libc
//!
//! What `rustix` offers in safe form is taken from there. No crate passes control messages of a
//! level that it does not know, in both directions, nor the positive result that `getsockopt` has
//! for information records. These calls are in `sys.rs`, by `libc`; with the mappings of `sys/memory.rs`
//! they are the only `unsafe` here.
//!
//! Control messages that name memory (`RDS_CMSG_RDMA_ARGS`, `RDS_CMSG_RDMA_MAP`, atomics) are those of
//! [`rdma`], which owns the memory: nowhere else may the kernel write where Rust does not expect it.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod addr;
mod bytes;
mod cmsg;
mod delivered;
mod error;
mod family;
mod flags;
pub mod info;
mod options;
pub mod rdma;
mod socket;
#[allow(unsafe_code)]
mod sys;

pub use addr::{parse_endpoint, parse_ip, scope_name, source_for, AddrError, Endpoint};
pub use cmsg::{Control, PortMask, RdmaOutcome, RxLatency, SendControl, TracePoint};
pub use error::{is_congested, must_wait, name as errno_name};
pub use family::Family;
pub use options::Transport;
pub use socket::{Interest, Received, RecvFlags, SendFlags, Socket};

/// Longest message, in bytes. A socket whose send buffer is smaller sends only up to that.
pub const MAX_MESSAGE: usize = 1 << 20;

/// The port that answers: a message to it comes back empty, with this as the sender's port.
pub const PING_PORT: u16 = 0;

/// Where RDS over TCP listens.
pub const TCP_PORT: u16 = rds_proto::tcp::PORT;
