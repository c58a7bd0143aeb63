// SPDX-License-Identifier: GPL-2.0

//! What carries messages to other hosts.

pub(crate) mod rc;
pub(crate) mod tcp;
