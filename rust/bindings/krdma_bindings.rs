// SPDX-License-Identifier: GPL-2.0

//! Bindings to the RDMA core.
//!
//! What `bindgen` makes of the headers named in `bindgen_parameters`. Types that these headers
//! only use, and do not declare, are the `kernel` crate's.
//!
//! Only the `krdma` crate may use this one: the build does not let anything above it name it.

#![allow(
    clippy::all,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

#[allow(dead_code)]
#[allow(clippy::as_underscore)]
#[allow(clippy::cast_lossless)]
#[allow(clippy::ptr_as_ptr)]
#[allow(clippy::ref_as_ptr)]
#[allow(clippy::undocumented_unsafe_blocks)]
#[cfg_attr(not(CONFIG_RUSTC_HAS_UNNECESSARY_TRANSMUTES), allow(unknown_lints))]
#[allow(unnecessary_transmutes)]
mod bindings_raw {
    // Local items shadow this glob. It must be public: the krdma crate uses the kernel's types and
    // ours as one namespace.
    pub use kernel::bindings::*;
    use kernel::ffi;
    use pin_init::{
        MaybeZeroable,
        Zeroable, //
    };

    // The kernel's bindings have these as private items.
    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    // SAFETY: `__BindgenBitfieldUnit<Storage>` is a newtype around `Storage`.
    unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

    pub use super::bindings_helper::*;
    include!(concat!(
        env!("KRDMA_OBJ"),
        "/rust/bindings/bindings_generated.rs"
    ));
}

#[allow(dead_code)]
mod bindings_helper {
    use super::bindings_raw::*;
    use kernel::ffi;
    include!(concat!(
        env!("KRDMA_OBJ"),
        "/rust/bindings/bindings_helpers_generated.rs"
    ));
}

pub use bindings_raw::*;
