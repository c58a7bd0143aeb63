// SPDX-License-Identifier: GPL-2.0

//! The name of the carrier.

/// TCP, as a [`Carrier`](crate::path::Carrier).
///
/// It is no more than a name: what paths are made of names it, and what it is made of names paths.
pub(crate) struct Tcp;
