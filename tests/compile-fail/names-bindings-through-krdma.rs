// SPDX-License-Identifier: GPL-2.0

//! A client cannot reach the C bindings through krdma either: the name is private there.

use krdma::bindings::ib_device; //~ E0603

/// Would be a raw C structure in a client's hands.
pub fn leak(device: &ib_device) {}
