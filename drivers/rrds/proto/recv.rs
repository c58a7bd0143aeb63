// SPDX-License-Identifier: GPL-2.0

//! The receiving side of a path.
//!
//! [`Reassembly`] turns frames into messages, [`AckState`] decides when to acknowledge them, and
//! [`refill`] when to post receive buffers.

mod ack;
mod reassembly;
pub mod refill;

pub use ack::AckState;
pub use reassembly::{Completed, Fault, Fragment, Ignored, Reassembly, Received};
