// SPDX-License-Identifier: GPL-2.0

//! The bytes on the wire: parsing is total and never panics, emitting is exact.
//!
//! Each format has a raw form, borrowed from or copied to a buffer, and an owned form with plain
//! integers. Parsing takes any bytes and gives the owned form or a [`WireError`] that names the rule
//! broken; emitting gives the bytes a C peer would have sent for the same values.

mod error;
mod header;

pub use error::WireError;
pub use header::{checksum, Flags, Header};
