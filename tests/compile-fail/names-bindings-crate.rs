// SPDX-License-Identifier: GPL-2.0

//! A client cannot name the crate of the C bindings: rustc is told to find it for krdma's needs only.

extern crate krdma_bindings; //~ E0463

/// Would be a raw C structure in a client's hands.
pub fn leak(device: &krdma_bindings::ib_device) {}
