// SPDX-License-Identifier: GPL-2.0

//! The bytes on the wire: parsing is total and never panics, emitting is exact.
//!
//! Parsing takes any bytes and gives plain values in host order or a [`WireError`] that names the
//! rule broken; emitting gives the bytes that a C peer would have sent for the same values. The
//! congestion bitmap, which has no structure beside its bits, is in [`cong`](crate::cong).

mod addr;
mod cookie;
mod error;
mod ext;
mod header;
mod private;

pub use addr::{Addr, Family};
pub use cookie::Cookie;
pub use error::WireError;
pub use ext::{Direction, Extension, ExtensionWriter, Extensions};
pub use header::{checksum, Flags, Header};
pub use private::{
    private_len, Capabilities, OwnKind, PrivateBytes, PrivateData, RejectDatum, Version, MINOR_MASK,
};

/// Writes `bytes` into `data` at `at`, as far as they fit, and returns where they end.
pub(crate) fn put(data: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let free = data.get_mut(at..).unwrap_or_default();

    for (to, from) in free.iter_mut().zip(bytes) {
        *to = *from;
    }
    at.saturating_add(bytes.len())
}
