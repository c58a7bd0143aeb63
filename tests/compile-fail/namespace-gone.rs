// SPDX-License-Identifier: GPL-2.0

//! A namespace that goes has no reference any more, so who is told of it does not get at it.

use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};
use krdma::net::{
    pernet::{
        NewNamespace,
        PerNamespace, //
    },
    Namespace, //
};

/// Something of each namespace.
pub struct Mine;

krdma::pernet_slot!(Mine);

impl PerNamespace for Mine {
    type Shared = ();

    fn create(_: &(), _: NewNamespace<'_>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self, GFP_KERNEL)?)
    }

    /// Would keep one that is freed.
    fn remove(_this: ArcBorrow<'_, Self>, _ns: &Namespace) {} //~ E0050
}
