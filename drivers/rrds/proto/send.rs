// SPDX-License-Identifier: GPL-2.0

//! The sending side of a path.
//!
//! [`SendQueue`] holds messages from the moment they are accepted until they are acknowledged,
//! cancelled or dropped; [`Sender`] turns them into frames.

mod control;
mod demand;
mod frame;
mod message;
mod overtake;
mod queue;
mod retransmit;
mod slots;
mod transmit;

pub use demand::AckDemand;
pub use frame::{Body, Data, Frame, Transmit};
pub use message::{Item, Operation, Outcome, Payload};
pub use queue::{Cancel, Entry, SendQueue};
pub use slots::Slots;
pub use transmit::{Context, Sender};
