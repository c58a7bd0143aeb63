// SPDX-License-Identifier: GPL-2.0

//! The receiving side of a path.
//!
//! [`Reassembly`] turns frames into messages, [`AckState`] decides when to acknowledge them, and
//! [`Refusal`] what follows if there is no memory for them.

mod ack;
mod reassembly;
mod refusal;

pub use ack::AckState;
pub use reassembly::{Completed, Fault, Fragment, Ignored, Reassembly, Received};
pub use refusal::Refusal;
