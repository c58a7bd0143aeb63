// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the kernel's RDMA core.
//!
//! This crate is what the [`kernel`] crate lacks for drivers that use RDMA: it is laid out as it
//! would land there, and becomes `krdma.ko`. Modules that use it are built against its metadata and
//! link to its exported symbols.
//!
//! The `unsafe` code of the modules is here, but for `drivers/rrds/capi.rs`, which modules in C call.
//! Clients in Rust need none, and nothing above this crate can name the C bindings.

use kernel::prelude::*;

// One namespace for the kernel's bindings and our own.
use krdma_bindings as bindings;

mod account;
mod callback;
pub mod clock;
pub mod memory;
pub mod net;
pub mod page;
pub mod random;
pub mod rdma;
mod reaper;
pub mod user;
pub mod work;

pub use account::settle;

module! {
    type: Krdma,
    name: "krdma",
    authors: ["The krdma developers"],
    description: "Safe Rust over the RDMA core",
    license: "GPL",
}

/// The module itself: a library, with little to set up.
///
/// It is public because the impl of [`ModuleMetadata`](kernel::ModuleMetadata) that `module!` makes
/// is used in public items.
#[pin_data]
pub struct Krdma {
    #[pin]
    reaper: reaper::Reaper,
    polling: rdma::Polling,
    tcp: net::tcp::Unload,
}

impl kernel::InPlaceModule for Krdma {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _: {
                // SAFETY: This runs once, before anything else of the crate.
                unsafe { account::init() }
            },
            reaper <- reaper::Reaper::new(),
            polling: rdma::Polling::new()?,
            tcp: net::tcp::Unload,
        })
    }
}

/// What ties a module to the krdma it was built against.
///
/// Names of symbols do not tell the layouts of types, so each exported symbol of this crate carries
/// a hash of all that decides them (see `krdma.abi` in `Kbuild`). A client that used nothing but
/// inlined code of this crate would need none of its symbols: by referring to [`ABI`] each does.
pub struct Abi(());

/// The [`Abi`] of this build.
pub static ABI: Abi = Abi(());
