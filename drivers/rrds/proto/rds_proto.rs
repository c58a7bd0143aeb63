// SPDX-License-Identifier: GPL-2.0

//! The RDS protocol as a pure state machine.
//!
//! This crate holds every decision of the Reliable Datagram Sockets protocol as it is spoken over
//! RDMA reliable connections, and nothing else: no allocation, no clock, no randomness, no locking,
//! no logging and no `unsafe`. The caller hands in memory, the time, random numbers and frames, and
//! polls for frames to post and for events. The same source is compiled by kbuild into `rrds.ko` and
//! by Cargo on the host, where tests, fuzzers and a simulator run it.
//!
//! `spec-NAME` in these pages is a section of the specification in `Documentation/spec/`, by its label;
//! the C implementation it was taken from is `net/rds` of Linux 7.3.
//!
//! # Where to look
//!
//! | Question | Module |
//! |---|---|
//! | What are the bytes of a frame, an extension, the private data? | [`wire`] |
//! | What numbers does the protocol fix, and which can be tuned? | [`consts`], [`settings`] |
//! | Is this device fit for RDS, and how large may its queues be? | [`limits`] |
//! | What does the transport call, and what does it do next? | [`path`] |
//! | Who dials, who gives way, when is it tried again? | [`conn`] |
//! | Is this the same life of the peer as before? | [`incarnation`] |
//! | What is sent, in what order, and what is sent again? | [`send`] |
//! | What do frames that come in mean, and when are they acknowledged? | [`recv`] |
//! | Which numbers do messages get? | [`seq`] |
//! | Which ports are congested, and who is told when they are free? | [`cong`] |
//! | How is a peer noticed that is gone? | [`probe`] |
//! | May a socket send more, and has it received too much? | [`account`] |
//! | Why was a connection dropped? | [`error`] |
//! | Which memory is lent, and which programs are told that it is theirs again? | [`cookies`] |
//! | Which user may queue one more message, and when do those try again who may not? | [`shares`], [`room`] |
//! | What is counted? | [`stats`] |
//! | Which numbers and layouts do programs use? | [`uapi`] |
//! | How long does the peer take to acknowledge? | [`rtt`] |
//! | What has become of the connections, and how much of it may be logged? | [`conn::history`], [`throttle`] |
//! | How is memory handed in? | [`ring`] |
//! | How do the same messages lie in a TCP stream? | [`tcp`] |
//! | What do two hosts speak that both run this? | [`native`] |
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

pub mod account;
pub mod cong;
pub mod conn;
pub mod consts;
pub mod cookies;
pub mod error;
pub mod incarnation;
pub mod limits;
pub mod linger;
pub mod native;
pub mod path;
pub mod probe;
pub mod recv;
pub mod ring;
pub mod room;
pub mod rtt;
pub mod send;
pub mod seq;
pub mod settings;
pub mod shares;
pub mod stats;
pub mod tcp;
pub mod throttle;
pub mod time;
pub mod uapi;
pub mod wire;

#[cfg(test)]
extern crate std;
