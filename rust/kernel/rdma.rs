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
pub mod ah;
pub mod client;
pub mod cm;
pub mod cq;
pub mod device;
pub mod dma;
pub mod events;
pub mod gid;
pub mod mcast;
pub mod mr;
mod name;
mod pd;
pub mod port;
pub mod post;
pub mod qp;
pub mod qp_attr;
pub mod request;
mod room;
pub mod srq;

pub use addr::{
    Guid,
    Lid,
    PKey, //
};
pub use ah::Ah;
pub use client::Client;
pub use cq::Cq;
pub(crate) use cq::Polling;
pub use device::Device;
pub use dma::{
    Sge,
    SgeMut, //
};
pub use gid::Gid;
pub use mr::Mr;
pub use name::Name;
pub use pd::Pd;
pub use port::Port;
pub use qp::Qp;
pub use request::{
    Completion,
    Operation,
    Request, //
};
pub use srq::Srq;
