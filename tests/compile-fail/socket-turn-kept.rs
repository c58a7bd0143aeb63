// SPDX-License-Identifier: GPL-2.0

//! What a handler may use is for the call only.

use kernel::{
    prelude::*,
    sync::Mutex, //
};
use rrds::api::{Handler, Message, Turn};

struct Keeper {
    turn: Pin<KBox<Mutex<Option<&'static Turn<'static>>>>>,
}

impl Handler for Keeper {
    fn received(&self, turn: &Turn<'_>, _message: Message) {
        *self.turn.lock() = Some(turn); //~ E0521
    }
}
