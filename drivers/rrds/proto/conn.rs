// SPDX-License-Identifier: GPL-2.0

//! Connecting: who dials, who gives way, what is said, and when to try again.
//!
//! Nothing here knows of messages; [`Path`](crate::path::Path) joins the two.

mod backoff;
mod handshake;
pub mod history;
mod machine;

pub use backoff::Backoff;
pub use handshake::{Handshake, Identity};
pub use history::History;
pub use machine::{Action, ConnId, Machine, State, Verdict};
