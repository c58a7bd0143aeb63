// SPDX-License-Identifier: GPL-2.0

//! Addresses, as modules have them.

use crate::{
    message::Endpoint,
    socket::names::{
        self,
        Checked, //
    },
};
use core::net::SocketAddr;
use kernel::prelude::*;
use krdma::net::Name;

/// Checks an address of a caller.
pub(super) fn check(addr: SocketAddr) -> Result<Checked> {
    names::check_addr(addr).map_err(|_| EINVAL)
}

/// The form of an address for callers.
pub(super) fn shown(at: Endpoint, scope: u32) -> SocketAddr {
    match names::show(at, scope) {
        Name::V4(addr) => addr.into(),
        Name::V6(addr) => addr.into(),
        // No endpoint is shown like this.
        Name::Unspecified => SocketAddr::from(([0, 0, 0, 0], 0)),
    }
}
