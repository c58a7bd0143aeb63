// SPDX-License-Identifier: GPL-2.0

//! The RDS protocol as a pure state machine.
//!
//! This crate holds every decision of the Reliable Datagram Sockets protocol as it is spoken over
//! RDMA reliable connections, and nothing else: no allocation, no clock, no randomness, no locking,
//! no logging and no `unsafe`. The caller hands in memory, the time, random numbers and frames, and
//! polls for frames to post and for events. The same source is compiled by kbuild into `rrds.ko` and
//! by Cargo on the host, where tests, fuzzers and a simulator run it.
//!
//! "Spec §x" in these pages is a section of the wire and ABI specification that the project follows;
//! the C implementation it was taken from is `net/rds` of Linux 7.3.
//!
//! # Where to look
//!
//! | Question | Module |
//! |---|---|
//! | What are the bytes of a frame, an extension, a bitmap, the private data? | [`wire`] |
//! | What numbers does the protocol fix? | [`consts`] |
//! | Is this device fit for RDS, and how large may its queues be? | [`limits`] |
//!
//! # Reading a header
//!
//! ```
//! use rds_proto::wire::{Flags, Header};
//!
//! let ping = Header { seq: 1, sport: 40000, flags: Flags::ACK_REQUIRED, ..Header::default() };
//! let bytes = ping.emit();
//! assert_eq!(bytes[30..32], [0x61, 0xbe]);
//! assert_eq!(Header::parse(&bytes), Ok(ping));
//! ```

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs, rust_2018_idioms, unreachable_pub)]

pub mod consts;
pub mod limits;
pub mod wire;

#[cfg(test)]
extern crate std;
