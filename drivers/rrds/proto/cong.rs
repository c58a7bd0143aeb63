// SPDX-License-Identifier: GPL-2.0

//! Congestion: which ports cannot take more, and who waits for them.
//!
//! spec-bitmap and spec-congestion. A receiver whose socket is full sets the socket's bit in the map of
//! its address and sends the whole map to every peer of that address; senders consult their copy.
//!
//! | Question | Type |
//! |---|---|
//! | Which of our ports are congested? | [`Map`] |
//! | Which ports of a peer are congested, and which just got free? | [`RemoteMap`] |
//! | Is the map that came last the newest one? | [`Doubt`] |
//! | Which freed ports does a monitoring socket want to know of? | [`Monitor`] |

mod doubt;
mod map;
mod monitor;
mod remote;

pub use doubt::{Doubt, Look};
pub use map::{Map, MapBytes};
pub use monitor::Monitor;
pub use remote::{NeedsStorage, RemoteMap};

/// Bit of a 64-bit mask that stands for `port`: ports are told modulo 64.
pub const fn mask_bit(port: u16) -> u64 {
    1 << (port % 64)
}
