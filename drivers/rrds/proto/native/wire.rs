// SPDX-License-Identifier: GPL-2.0

//! The bytes of the native protocol: parsing is total, emitting is exact.
//!
//! `Documentation/spec/native.rst` has them one by one. A packet is a [`PacketHeader`] and frames up to
//! its end; each frame says its type and its length, so that a receiver skips what it does not know.

mod ack;
mod bytes;
mod control;
mod endpoint;
mod error;
mod frame;
mod hello;
mod lanes;
mod map;
mod message;
mod packet;

pub use ack::{Ack, Ecn, Holes, ACK_MAX_LEN, ACK_REACH};
pub use bytes::{Reader, Writer};
pub use control::{Bye, Gone, GoneEntry, Reason, Reset};
pub use endpoint::{EndpointData, GidList, QpnList, SIDR_REPLY_LEN, SIDR_REQUEST_LEN};
pub use error::PacketError;
pub use frame::{frame_header, Frame, FrameType, Frames, FRAME_HEADER_LEN};
pub use hello::{Hello, LaneData, LaneKind, HELLO_LEN, LANE_MAJOR};
pub use lanes::{LaneAddress, LaneAddresses, LANES_MAX_LEN, LANE_ADDRESS_LEN, MAX_ADDRESSES};
pub use map::{MapUpdate, Ports, BLOCKS, BLOCK_LEN};
pub use message::{Message, Part, EXT_FLAG, MESSAGE_HEADER_LEN, PART_HEADER_LEN, PART_UNIT};
pub use packet::{PacketFlags, PacketHeader, PacketType, PACKET_HEADER_LEN, VERSION};
