// SPDX-License-Identifier: GPL-2.0

//! Reliable datagram sockets over RDMA: AF_RDS in safe Rust.
//!
//! This crate is glue. What the protocol decides is decided in [`rds_proto`], which runs on the host
//! as well; what touches C is in [`krdma`].

#![deny(unsafe_code)]

#[allow(dead_code)] // Until paths use it.
mod congestion;
mod device;
#[allow(dead_code)]
mod message;
#[allow(dead_code)]
mod socket;

use crate::device::Devices;
use kernel::prelude::*;
use krdma::rdma::client::Registration;

module! {
    type: Rrds,
    name: "rrds",
    authors: ["The krdma developers"],
    description: "Reliable datagram sockets over RDMA",
    license: "GPL",
}

/// The module.
#[pin_data]
struct Rrds {
    /// Tells us of RDMA devices.
    #[pin]
    devices: Registration<Devices>,
}

impl kernel::InPlaceModule for Rrds {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            devices <- Registration::new(Devices::new(module)),
        })
    }
}
