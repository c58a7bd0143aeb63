// SPDX-License-Identifier: GPL-2.0

//! A simulator for the protocol engine.
//!
//! A world has two to five nodes, some of them running the engine and some a model of the C
//! implementation, sockets that send, read, cancel and close, and a network that delays, breaks
//! connections and lets nodes crash. Everything is decided by one number, the seed, so that a run that
//! fails can be repeated exactly. Promises of RDS are checked at every step, see [`check`]; a broken
//! one panics. [`native`] has worlds of the native protocol.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod app;
pub mod check;
pub mod config;
pub mod cpeer;
pub mod native;
pub mod net;
pub mod node;
pub mod ours;
pub mod queue;
pub mod rng;
pub mod world;
