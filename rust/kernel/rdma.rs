// SPDX-License-Identifier: GPL-2.0

//! RDMA devices and what is made of them.
//!
//! # Lifetimes
//!
//! A reference to a [`Device`] says that the device is registered with the RDMA core, so that its
//! driver's operations may be called. Code gets one in the callbacks of a [`Client`]; an
//! [`ARef<Device>`](kernel::sync::aref::ARef) keeps one longer and makes the removal of the device
//! wait. Everything made of a device ([`Pd`], ...) holds such a reference. A client therefore keeps
//! what it makes of a device in its per-device data, which is dropped before the device goes.
//!
//! # Contexts
//!
//! Unless a method says otherwise it may sleep and must be called from process context.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

mod addr;
pub mod client;
pub mod cm;
pub mod device;
pub mod gid;
mod name;
mod pd;
pub mod port;

pub use addr::{
    Guid,
    Lid,
    PKey, //
};
pub use client::Client;
pub use device::Device;
pub use gid::Gid;
pub use name::Name;
pub use pd::Pd;
pub use port::Port;
