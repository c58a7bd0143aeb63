// SPDX-License-Identifier: GPL-2.0

//! Numbers and layouts that the kernel and programs share: `include/uapi/linux/rds.h`.
//!
//! The kernel side and the library of `tools/rds` use this one source. Numbers are in the host's
//! order, addresses and ports in that of the network.

pub mod cmsg;
pub mod info;
pub mod option;
pub mod rdma;

/// Address and protocol family of RDS (spec-constants).
pub const AF_RDS: u8 = 21;

/// Level of the options and control messages of RDS (spec-constants).
pub const SOL_RDS: i32 = 276;
