// SPDX-License-Identifier: GPL-2.0

//! The receiving side of a path.
//!
//! [`Reassembly`] turns frames into messages, [`AckState`] decides when to acknowledge them, [`Refusal`]
//! what follows if there is no memory for them, and [`refill`] when to post receive buffers.

mod ack;
mod reassembly;
pub mod refill;
mod refusal;

pub use ack::AckState;
pub use reassembly::{Completed, Fault, Fragment, Ignored, Reassembly, Received};
pub use refusal::Refusal;
