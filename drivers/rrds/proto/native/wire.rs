// SPDX-License-Identifier: GPL-2.0

//! The bytes of the native protocol: parsing is total, emitting is exact.
//!
//! `Documentation/spec/native.rst` has them one by one. A packet is a [`PacketHeader`] and frames up to
//! its end; each frame says its type and its length, so that a receiver skips what it does not know.

mod error;
mod packet;

pub use error::PacketError;
pub use packet::{PacketFlags, PacketHeader, PacketType, PACKET_HEADER_LEN, VERSION};
