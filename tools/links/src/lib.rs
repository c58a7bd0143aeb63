// SPDX-License-Identifier: GPL-2.0

//! Simulated links under the sending half of datagram lanes.
//!
//! A [`World`] is one bottleneck link and the flows that cross it. Each flow is a datagram
//! [`Lane`](rds_proto::native::lane::Lane) of the engine with its controller, and a receiver with the engine's
//! acknowledgements. Time is in whole nanoseconds and all chance comes from one seed: a run can be
//! repeated exactly.
//!
//! ```
//! use rds_links::{FlowConfig, LinkConfig, World, MS, SECOND};
//! use rds_proto::native::cc::Kind;
//!
//! // 100 Mbit/s, 20 ms there and back, a buffer of one path's volume.
//! let link = LinkConfig::new(12_500_000, 20 * MS);
//! let mut world = World::new(1, &link);
//! world.add(FlowConfig::new(Kind::Bbr, 1500));
//! world.run_until(2 * SECOND);
//! assert!(world.goodput(0, SECOND, 2 * SECOND) > 11_000_000);
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod events;
mod host;
mod link;
mod meter;
mod peer;
mod random;
mod sessions;
mod world;

pub use host::LaneConfig;
pub use link::{LinkConfig, Loss, Policer};
pub use meter::{jain, median};
pub use peer::{FlowConfig, Source};
pub use random::Random;
pub use sessions::{Sessions, SessionsConfig};
pub use world::{Point, World};

/// A microsecond in nanoseconds.
pub const US: u64 = 1_000;
/// A millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;
/// A second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;
