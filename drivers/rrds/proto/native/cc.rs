// SPDX-License-Identifier: GPL-2.0

//! Congestion control of datagram lanes.
//!
//! A [`Controller`] decides how many bytes may be in flight and how fast they leave. It sees what
//! the `Delivery` of its flow measured; it holds no packets, reads no clock and allocates nothing.
//! All arithmetic is on integers: volumes in bytes, rates in bytes a second, times in nanoseconds,
//! gains in hundredths.
//!
//! | Controller | Law |
//! |---|---|
//! | [`bbr::Bbr`] | BBR version 3, draft-ietf-ccwg-bbr |
//! | [`cubic::Cubic`] | RFC 9438 |
//! | [`reno::Reno`] | RFC 5681 as RFC 9002 states it for packet numbers |

mod any;
pub mod bbr;
mod controller;
pub mod cubic;
pub mod delivery;
#[cfg(test)]
mod hand;
pub mod reno;
pub mod units;
mod window;

pub use any::{AnyController, Kind};
pub use controller::{Config, Controller, Lost};
