// SPDX-License-Identifier: GPL-2.0

//! What a handler has of a queue pair is for the call only.

use kernel::{
    prelude::*,
    sync::Mutex, //
};
use krdma::rdma::{
    qp::{
        Any,
        Poster, //
    },
    Completion,
    Operation,
    Request, //
};

struct Keeper {
    poster: Pin<KBox<Mutex<Option<Poster<'static, Any>>>>>,
}

impl Operation for Keeper {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        *this.data().poster.lock() = Some(completion.poster()); //~ E0521
    }
}
