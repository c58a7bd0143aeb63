// SPDX-License-Identifier: GPL-2.0

//! A handler is called by any processor.

use core::cell::Cell;
use rrds::api::{Handler, Message, Turn};

struct Count(Cell<u64>);

impl Handler for Count { //~ E0277
    fn received(&self, _turn: &Turn<'_>, _message: Message) {
        self.0.set(self.0.get() + 1);
    }
}
