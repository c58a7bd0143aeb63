// SPDX-License-Identifier: GPL-2.0

//! Compiles: what the others do wrong, done right.

use kernel::prelude::*;
use krdma::net::{Namespace, Timeout};
use rrds::api::{Data, Handler, Message, Socket, Turn};

struct Count;

impl Handler for Count {
    fn received(&self, turn: &Turn<'_>, message: Message) {
        let from = message.source();
        if let Ok(data) = message.into_data(GFP_ATOMIC) {
            let _ = turn.send_data(Some(from), data, None);
        }
    }
}

/// Takes a message and sends one.
pub fn exchange(module: &'static ThisModule, data: Data) -> Result<usize> {
    let socket = Socket::new(module, Namespace::initial())?;
    let len = data.len();
    let _ = socket.send_data(None, data, None, Timeout::NONE);
    let message = socket.receive(Timeout::FOREVER)?;
    Ok(message.len() + len)
}
