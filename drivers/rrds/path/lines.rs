// SPDX-License-Identifier: GPL-2.0

//! How many lines about connections may be logged.
//!
//! A peer must not fill the log: neither one path alone, nor all of them together when a switch restarts.

use rds_proto::throttle::Throttle;

/// Lines about all paths: how many at once, and after what time one more.
const BURST: u32 = 20;
const INTERVAL_NS: u64 = 500_000_000;

/// How long nothing is logged of a path after a line was.
const PATH_INTERVAL_NS: u64 = 1_000_000_000;

/// Room for lines about one path.
pub(super) const fn of_path() -> Throttle {
    // One line about how a connection ended and one about the next.
    Throttle::new(2, PATH_INTERVAL_NS)
}

/// Room for lines about all paths of a carrier.
pub(super) const fn of_all() -> Throttle {
    Throttle::new(BURST, INTERVAL_NS)
}
