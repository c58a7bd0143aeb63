// SPDX-License-Identifier: GPL-2.0

//! Networking.

mod namespace;

pub use namespace::Namespace;
