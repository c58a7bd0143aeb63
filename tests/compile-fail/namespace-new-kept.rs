// SPDX-License-Identifier: GPL-2.0

//! A namespace that is being made can't be kept: if a later step fails it is freed, whoever has it.

use kernel::sync::aref::ARef;
use krdma::net::{
    pernet::NewNamespace,
    Namespace, //
};

/// Compiles: the initial one is always there.
pub fn initial(ns: NewNamespace<'_>) -> Option<ARef<Namespace>> {
    ns.initial().map(ARef::from)
}

/// Would keep one that may be freed.
pub fn keep(ns: NewNamespace<'_>) -> ARef<Namespace> {
    ns.into() //~ E0277
}
