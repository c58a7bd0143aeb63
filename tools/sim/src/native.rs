// SPDX-License-Identifier: GPL-2.0

//! Worlds of the native protocol.
//!
//! Two to four nodes have a session with each other node, and each session up to four lanes of all roles
//! and both kinds. Lanes die and come again, packets on their way with them, or fall silent for a while;
//! datagrams are lost, doubled, overtaken and marked; nodes crash and come back in
//! another life; memory fails, readers are slow, messages are cancelled, ports congest. One node may be
//! hostile, and change the packets that it sends: then it has no promises, and the others keep theirs.

pub mod config;
pub mod link;
pub mod node;
mod report;
pub mod world;

pub use config::Config;
pub use report::Report;
pub use world::World;
