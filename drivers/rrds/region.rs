// SPDX-License-Identifier: GPL-2.0

//! Memory regions, as those who do not know what carries RDMA have them.

use rds_proto::wire::Cookie;

/// Memory that peers can use by its cookie, until this is dropped.
///
/// When it is dropped, in any context, the key is revoked soon, and the memory is given back after that.
pub(crate) trait Region: Send + Sync {
    /// Returns what peers name it by.
    fn cookie(&self) -> Cookie;

    /// Hands the memory to the processor, with what peers have written, or to the device, with what the program has. Any
    /// context.
    fn sync(&self, for_cpu: bool);

    /// Revokes the key: no peer can use the memory when this returns, and it was given back. Sleeps.
    fn revoke(&self);
}
