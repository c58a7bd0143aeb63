// SPDX-License-Identifier: GPL-2.0

//! A handler can post to the queue pair. It can neither change its state nor wait for it.

use krdma::rdma::{
    qp_attr::QpAttr,
    Completion, //
};

/// Would wait for itself.
pub fn drain(completion: &Completion<'_>) {
    completion.poster().drain(); //~ E0599
}

/// Would sleep.
pub fn modify(completion: &Completion<'_>, attr: &QpAttr) {
    let _ = completion.poster().modify(attr); //~ E0599
}
