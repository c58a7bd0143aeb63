// SPDX-License-Identifier: GPL-2.0

//! The clocks.

use kernel::time::{
    ClockSource,
    Monotonic,
    RealTime, //
};
use rds_proto::time::Instant;

/// Returns the time, on the clock that paths use. Any context.
pub(crate) fn now() -> Instant {
    Instant(u64::try_from(Monotonic::ktime_get()).unwrap_or(0))
}

/// Returns the time of day in nanoseconds since 1970. Any context.
pub(crate) fn time_of_day() -> u64 {
    u64::try_from(RealTime::ktime_get()).unwrap_or(0)
}
